//! `drawbridge certs`: what there is, how long it lasts, and whether a new CA bundle would do.

use std::process::ExitCode;

use clap::Subcommand;

mod dev;
mod list;
mod rehearse;

const EXAMPLES: &str = "\
Examples:
  drawbridge certs list                              every certificate that matters, the next to end first
  drawbridge certs list --offline --output json      without dialling the upstreams
  drawbridge certs rehearse --trust onprem NEW.pem   would every backend be trusted with it?
  drawbridge certs dev --dir dev api.test gw.test    a private CA and leaves to try things out";

/// List certificates, rehearse a CA roll-over, make certificates to try things out
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every certificate that matters, with what each backend really presents
    List(list::Args),
    /// Dial every backend of a trust bundle with the old and a new bundle
    Rehearse(rehearse::Args),
    /// Make a private CA and leaves to try things out
    Dev(dev::Args),
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::List(args) => list::run(args),
        Verb::Rehearse(args) => rehearse::run(args),
        Verb::Dev(args) => dev::run(args),
    }
}
