//! `drawbridge rules`.

use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {}

#[must_use]
pub fn run(_args: &Args) -> ExitCode {
    ExitCode::FAILURE
}
