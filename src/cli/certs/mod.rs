//! `drawbridge certs`: lists certificates, rehearses a new CA bundle, makes certificates for development.

use std::process::ExitCode;

use clap::Subcommand;

mod dev;
mod list;
mod rehearse;

const EXAMPLES: &str = "\
Examples:
  drawbridge certs list                              every certificate, the next to expire first
  drawbridge certs list --offline --output json      without dialling the upstreams
  drawbridge certs rehearse --trust onprem NEW.pem   would it trust every backend?
  drawbridge certs dev --dir dev api.test gw.test    a private CA and leaves for development";

/// List certificates, rehearse a new CA, make certificates for development
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every certificate that the front door depends on, and what each backend presents
    List(list::Args),
    /// Dial every backend of a trust bundle with the old and a new bundle
    Rehearse(rehearse::Args),
    /// Make a private CA and leaves for development
    Dev(dev::Args),
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::List(args) => list::run(args),
        Verb::Rehearse(args) => rehearse::run(args),
        Verb::Dev(args) => dev::run(args),
    }
}
