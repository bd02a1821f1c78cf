//! `drawbridge console token`: logins that last, for scripts and for people elsewhere.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::{CommandError, shown_or_reported};
use super::super::front_door::{FrontDoor, FrontDoorError};
use super::super::output::{Output, print_json};
use crate::role::Role;

/// Make, list and revoke tokens, which log in to the console and its API until they end
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Create(CreateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Print a new token, which is shown this once
///
/// The front door keeps only its hash, in the state_dir.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge console token create --name ci --role ingress --expires 90d
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:9901/api/status

Exit codes:
  0  the token was printed
  1  no front door answers, it has no console, or the name is taken")]
struct CreateArgs {
    #[command(flatten)]
    front: FrontDoor,
    /// What it is called in lists and in the audit
    #[arg(long)]
    name: String,
    /// What it may do: ingress, security, certificates or viewer
    #[arg(long)]
    role: Role,
    /// How long it lasts, like 12h or 90d [default: until it is revoked]
    #[arg(long, value_name = "AGE")]
    expires: Option<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// List the tokens: who made each, when it ends, when it was last used
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge console token list
  drawbridge console token list --output json

Exit codes:
  0  the list was printed
  1  no front door answers, or it has no console")]
struct ListArgs {
    #[command(flatten)]
    front: FrontDoor,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// Refuse a token from now on, and end the sessions that began with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge console token revoke ci

Exit codes:
  0  it is revoked
  1  no front door answers, it has no console, or no such token")]
struct RevokeArgs {
    /// The token's name
    name: String,
    #[command(flatten)]
    front: FrontDoor,
    /// How to show what was done
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// What is shown of a new token.
#[derive(Debug, Deserialize)]
struct Made {
    token: String,
}

#[derive(Debug, Deserialize)]
struct List {
    tokens: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    role: String,
    made_by: String,
    expires: Option<String>,
    last_used: Option<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let (answered, output) = match &args.verb {
        Verb::Create(args) => (create(args), args.output),
        Verb::List(args) => (list(args), args.output),
        Verb::Revoke(args) => (revoke(args), args.output),
    };
    let shown = match answered {
        Ok((_, answer)) if output == Output::Json => print_json(&answer),
        Ok((text, _)) => io::stdout().write_all(text.as_bytes()),
        Err(error) => return CommandError::from(error).report(output),
    };
    shown_or_reported(shown, output)
}

/// The text for people, and the whole answer.
type Answered = Result<(String, Value), FrontDoorError>;

fn create(args: &CreateArgs) -> Answered {
    let body = json!({
        "name": args.name,
        "role": args.role.name(),
        "expires": args.expires,
    });
    let answer = super::ask(&args.front, "POST", "/console/tokens", &body.to_string())?;
    let made = Made::deserialize(&answer).map_err(FrontDoorError::InvalidAnswer)?;
    Ok((format!("{}\n", made.token), with_ok(answer)))
}

fn list(args: &ListArgs) -> Answered {
    let answer = super::ask(&args.front, "GET", "/console/tokens", "")?;
    let list = List::deserialize(&answer).map_err(FrontDoorError::InvalidAnswer)?;
    let mut text = String::new();
    for token in &list.tokens {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}  {}, {}, {}, by {}",
            token.name,
            token.role,
            token.expires.as_ref().map_or_else(
                || "does not expire".to_owned(),
                |end| format!("until {end}")
            ),
            token
                .last_used
                .as_ref()
                .map_or_else(|| "never used".to_owned(), |at| format!("last used {at}")),
            token.made_by
        );
    }
    if list.tokens.is_empty() {
        text += "there are no tokens\n";
    }
    Ok((text, with_ok(answer)))
}

fn revoke(args: &RevokeArgs) -> Answered {
    let path = format!("/console/tokens/{}/revoke", args.name);
    let answer = super::ask(&args.front, "POST", &path, "")?;
    Ok((format!("{} is revoked\n", args.name), with_ok(answer)))
}

fn with_ok(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("ok".to_owned(), json!(true));
    }
    answer
}
