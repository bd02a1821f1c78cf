//! `drawbridge demo`: a front door, two on-premises gateways and curl lines that show what it does.

mod echo;

use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to put the demo's files, and to find them again [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where the front door listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    pub bind: std::net::SocketAddr,
}

#[must_use]
pub fn run(_args: &Args) -> ExitCode {
    ExitCode::FAILURE
}
