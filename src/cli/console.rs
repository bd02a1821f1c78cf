//! `drawbridge console login`: a one-time link to the web console.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{CommandError, shown_or_reported};
use super::front_door::{FrontDoor, FrontDoorError};
use super::output::{Output, print_json};
use crate::console::Role;

const NO_CONSOLE: &str = "the front door has no console: write [console] with bind = \"127.0.0.1:9901\" into its configuration and restart it";

/// Log in to the web console of the running front door
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Login(LoginArgs),
}

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
struct LoginArgs {
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
    let Verb::Login(args) = &args.verb;
    let shown = match log_in(&args.front, args.role) {
        Ok((_, answer)) if args.output == Output::Json => print_json(&answer),
        Ok((link, _)) => writeln!(io::stdout(), "{link}"),
        Err(error) => return CommandError::from(error).report(args.output),
    };
    shown_or_reported(shown, args.output)
}

/// The link, and the whole answer: a newer front door may say more than [`Link`] knows.
pub(super) fn log_in(front: &FrontDoor, role: Role) -> Result<(String, Value), FrontDoorError> {
    let body = json!({ "role": role.name() }).to_string();
    let answer = front.request("POST", "/console/login", body.as_bytes());
    let answer = answer.map_err(|error| match error {
        // Without [console] the admin API has no such path.
        FrontDoorError::Refused { status: 404, .. } => FrontDoorError::Refused {
            status: 404,
            message: Some(NO_CONSOLE.to_owned()),
        },
        error => error,
    })?;
    let mut answer: Value =
        serde_json::from_slice(&answer).map_err(FrontDoorError::InvalidAnswer)?;
    let Link { url } = Link::deserialize(&answer).map_err(FrontDoorError::InvalidAnswer)?;
    // A failure has this key too, so that a script tests one key in either case.
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("ok".to_owned(), json!(true));
    }
    Ok((url, answer))
}
