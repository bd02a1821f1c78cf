//! `drawbridge run`.

use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

#[must_use]
pub fn run(_args: &Args) -> ExitCode {
    ExitCode::FAILURE
}
