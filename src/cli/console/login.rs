//! `drawbridge console login`: a one-time link to the web console.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::{CommandError, shown_or_reported};
use super::super::front_door::{FrontDoor, FrontDoorError};
use super::super::output::{Output, print_json};
use crate::role::Role;

/// Print a link that logs in once, within 5 minutes
///
/// The console needs [console] in the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge console login                   look at everything, change nothing
  drawbridge console login --role security   also search and write exclusions
  drawbridge console login --role ingress    also switch exposures

Exit codes:
  0  the link was printed
  1  no front door answers, or it has no console")]
pub(super) struct Args {
    #[command(flatten)]
    front: FrontDoor,
    /// What the login may do: ingress, security, certificates or viewer
    #[arg(long, default_value = "viewer")]
    role: Role,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Link {
    url: String,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let shown = match log_in(&args.front, args.role) {
        Ok((_, answer)) if args.output == Output::Json => print_json(&answer),
        Ok((link, _)) => writeln!(io::stdout(), "{link}"),
        Err(error) => return CommandError::from(error).report(args.output),
    };
    shown_or_reported(shown, args.output)
}

/// The link, and the whole answer: a newer front door may say more than [`Link`] knows.
pub(in super::super) fn log_in(
    front: &FrontDoor,
    role: Role,
) -> Result<(String, Value), FrontDoorError> {
    let body = json!({ "role": role.name() }).to_string();
    let mut answer = super::ask(front, "POST", "/console/login", &body)?;
    let Link { url } = Link::deserialize(&answer).map_err(FrontDoorError::InvalidAnswer)?;
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("ok".to_owned(), json!(true));
    }
    Ok((url, answer))
}
