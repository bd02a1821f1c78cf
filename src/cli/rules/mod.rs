//! `drawbridge rules`: checks, lints, lists, tests, explains and replays rules, and shows what they cost.

mod check;
mod exclude;
mod explain;
mod lint;
mod list;
mod progress;
mod replay;
mod shadow;
mod source;
mod test;
mod tls_client;
mod top;

use std::process::ExitCode;

use clap::Subcommand;

pub(super) use explain::show::{marked, write_human};
pub use tls_client::TlsClient;

/// Check, lint, list, test and explain rules; replay requests through them; see what they cost
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Args),
    Lint(lint::Args),
    List(list::Args),
    Test(test::Args),
    Explain(explain::Args),
    Replay(replay::Args),
    Exclude(exclude::Args),
    Shadow(shadow::Args),
    Top(top::Args),
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::Check(args) => check::run(args),
        Verb::Lint(args) => lint::run(args),
        Verb::List(args) => list::run(args),
        Verb::Test(args) => test::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Replay(args) => replay::run(args),
        Verb::Exclude(args) => exclude::run(args),
        Verb::Shadow(args) => shadow::run(args),
        Verb::Top(args) => top::run(args),
    }
}
