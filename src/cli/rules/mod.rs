//! `drawbridge rules`: check, list, test and explain rules.

mod check;
mod escape;
mod explain;
mod list;
mod progress;
mod source;
mod test;
mod tls_client;

use std::process::ExitCode;

use clap::Subcommand;

pub use tls_client::TlsClient;

/// Check, list, test and explain rules
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Args),
    List(list::Args),
    Test(test::Args),
    Explain(explain::Args),
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::Check(args) => check::run(args),
        Verb::List(args) => list::run(args),
        Verb::Test(args) => test::run(args),
        Verb::Explain(args) => explain::run(args),
    }
}
