//! `drawbridge limits`: who is near a limit, and which limits honest clients would keep.

mod suggest;
mod top;

use std::process::ExitCode;

use clap::Subcommand;

const EXAMPLES: &str = "\
Examples:
  drawbridge limits top                              which keys are near their limits
  drawbridge limits suggest --since 7d               limits that 99.9 % of clients would have kept";

/// Show who is near a limit, and suggest limits from recorded requests
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Top(top::Args),
    Suggest(suggest::Args),
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::Top(args) => top::run(args),
        Verb::Suggest(args) => suggest::run(args),
    }
}
