//! `drawbridge console`: logins to the web console of the running front door.

mod login;
mod token;

use std::process::ExitCode;

use serde_json::Value;

use super::front_door::{FrontDoor, FrontDoorError};

pub(super) use login::log_in;

const NO_CONSOLE: &str = "the front door has no console: write [console] with bind = \"127.0.0.1:9901\" into its configuration and restart it";

/// Log in to the web console of the running front door
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Login(login::Args),
    Token(token::Args),
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::Login(args) => login::run(args),
        Verb::Token(args) => token::run(args),
    }
}

/// Asks the front door for something of its console.
fn ask(front: &FrontDoor, method: &str, path: &str, body: &str) -> Result<Value, FrontDoorError> {
    let answer = front.request(method, path, body.as_bytes());
    let answer = answer.map_err(|error| match error {
        FrontDoorError::Refused { status: 404, .. } => FrontDoorError::Refused {
            status: 404,
            message: Some(NO_CONSOLE.to_owned()),
        },
        error => error,
    })?;
    serde_json::from_slice(&answer).map_err(FrontDoorError::InvalidAnswer)
}
