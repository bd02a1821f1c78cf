//! `drawbridge identity keys`: the keys that sign tokens for gateways, in the running front door.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::super::front_door::FrontDoor;
use super::super::output::Output;

const LIST_EXAMPLES: &str = "\
Examples:
  drawbridge identity keys list
  drawbridge identity keys list --output json

Exit codes:
  0  as asked
  1  no front door answers
  2  wrong usage";

const ROTATE_EXAMPLES: &str = "\
Examples:
  drawbridge identity keys rotate
  drawbridge identity keys rotate --admin unix:/run/drawbridge/admin.sock

Exit codes:
  0  the new key is published
  1  no front door answers, another key waits already, the keys are files, or the key could not be written
  2  wrong usage";

/// Show and rotate the keys that sign tokens for gateways
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A line for each key: its id, whether it signs, and since when
    #[command(after_help = LIST_EXAMPLES)]
    List(Asked),
    /// Publish a new key now, which signs after the `overlap` of [signing]
    #[command(after_help = ROTATE_EXAMPLES)]
    Rotate(Asked),
}

#[derive(Debug, clap::Args)]
struct Asked {
    #[command(flatten)]
    front: FrontDoor,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &KeysArgs) -> ExitCode {
    let (asked, method, path) = match &args.verb {
        Verb::List(asked) => (asked, "GET", "/identity/keys"),
        Verb::Rotate(asked) => (asked, "POST", "/identity/keys/rotate"),
    };
    asked.front.show(method, path, asked.output, human)
}

fn human(signing: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let word = |of: &Value, name: &str| {
        let value = of.get(name).and_then(Value::as_str);
        value.unwrap_or("-").to_owned()
    };
    let Some(keys) = signing.get("keys").and_then(Value::as_array) else {
        return writeln!(
            out,
            "there is no [signing] table, so the front door signs no tokens"
        );
    };
    for key in keys {
        let (kid, algorithm) = (word(key, "kid"), word(key, "algorithm"));
        let (state, from) = (word(key, "state"), word(key, "signs_from"));
        writeln!(out, "{kid}  {algorithm}  {state}  from {from}")?;
    }
    writeln!(out, "next rotation: {}", word(signing, "next_rotation"))
}
