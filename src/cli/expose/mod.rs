//! `drawbridge expose`: what is reachable, and taking it off and on.

mod prove;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use self::prove::{Proof, prove};
use super::check::Output;
use super::fail;
use super::front::Front;
use crate::exposure::api::{Order, Status, parse_duration};
use crate::telemetry::parse_rfc3339;

/// Show exposures and switch them off and on, in a front door that runs
///
/// A switch takes effect at once, without a reload, and survives a restart. Every other listener of the
/// same routes stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge expose status --config drawbridge.toml
  drawbridge expose off public --config drawbridge.toml --for 2h --reason 'token leak' --prove
  drawbridge expose on public --admin unix:/run/drawbridge/admin.sock

Exit codes:
  0  as asked
  1  no front door answers, there is no such exposure, it could not be kept, or the proof failed
  2  wrong usage")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A line for each exposure: whether it is on, whose it is, until when and why
    Status {
        #[command(flatten)]
        front: Front,
        /// How to show it
        #[arg(long, value_enum, default_value_t = Output::Human)]
        output: Output,
    },
    /// Take an exposure off: its routes are refused on its listeners, open streams are closed
    Off(SwitchArgs),
    /// Put an exposure on
    On(SwitchArgs),
}

#[derive(Debug, clap::Args)]
struct SwitchArgs {
    /// The exposure
    name: String,
    #[command(flatten)]
    front: Front,
    /// When it turns back by itself, like 2026-11-21T18:00:00Z or 2026-11-21T18:00+01:00
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "duration")]
    until: Option<String>,
    /// After how long it turns back by itself, like 30m, 2h or 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Option<String>,
    /// Why; it stands in `status` and in the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Call the listeners as a client would and show what comes
    #[arg(long)]
    prove: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let done = match &args.verb {
        Verb::Status { front, output } => status(front, *output),
        Verb::Off(args) => switch(args, false),
        Verb::On(args) => switch(args, true),
    };
    match done {
        Ok(code) => code,
        Err(problem) => fail(&problem),
    }
}

fn status(front: &Front, output: Output) -> Result<ExitCode, String> {
    let body = ask(front, "GET", "/exposures", &[])?;
    let all: Vec<Status> = serde_json::from_slice(&body).map_err(not_ours)?;
    match output {
        Output::Json => print_json(&json!(all)),
        Output::Human if all.is_empty() => print_text(
            "the configuration names no exposure: everything that has a route is reachable\n",
        ),
        Output::Human => print_text(&all.iter().map(|s| line(s) + "\n").collect::<String>()),
    }
    Ok(ExitCode::SUCCESS)
}

fn switch(args: &SwitchArgs, on: bool) -> Result<ExitCode, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if args.name.is_empty() || !args.name.chars().all(plain) {
        return Err(format!("\"{}\" is no name of an exposure", args.name));
    }
    let order = Order {
        until: args.until.clone(),
        duration: args.duration.clone(),
        reason: args.reason.clone(),
    };
    let order = serde_json::to_vec(&order).map_err(|error| error.to_string())?;
    let word = if on { "on" } else { "off" };
    let path = format!("/exposures/{}/{word}", args.name);
    let body = ask(&args.front, "POST", &path, &order)?;
    let status: Status = serde_json::from_slice(&body).map_err(not_ours)?;
    if !status.kept {
        eprintln!(
            "drawbridge: there is no state_dir: after a restart {} is on",
            status.name
        );
    }
    let proofs: Vec<Proof> = match args.prove {
        true => status
            .pairs
            .iter()
            .map(|pair| prove(pair, &status.off, on))
            .collect(),
        false => Vec::new(),
    };
    match args.output {
        Output::Json => {
            let mut shown = json!(status);
            if args.prove {
                shown["proof"] = json!(proofs);
            }
            print_json(&shown);
        }
        Output::Human => {
            let proofs: String = proofs.iter().map(|proof| format!("  {proof}\n")).collect();
            print_text(&format!("{}\n{proofs}", line(&status)));
        }
    }
    match proofs.iter().all(|proof| proof.as_expected) {
        true => Ok(ExitCode::SUCCESS),
        false => Err(format!(
            "{} is switched {word}, but a call shows another thing",
            status.name
        )),
    }
}

/// `NAME on|off`, and what is known of it.
fn line(status: &Status) -> String {
    let mut line = format!("{} {}  owner {}", status.name, status.state, status.owner);
    for (word, value) in [
        ("since", &status.since),
        ("until", &status.until),
        ("by", &status.by),
        ("reason", &status.reason),
    ] {
        if let Some(value) = value {
            line += &format!(", {word} {value}");
        }
    }
    line
}

fn ask(front: &Front, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let answer = front.call(method, path, body)?;
    if answer.is_ok() {
        return Ok(answer.body);
    }
    let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let told = told.and_then(|told| Some(told.get("error")?.as_str()?.to_owned()));
    Err(told.unwrap_or_else(|| format!("the front door answered {}", answer.status)))
}

#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
fn not_ours(error: serde_json::Error) -> String {
    format!("what answers is no front door of this version: {error}")
}

fn time(text: &str) -> Result<String, String> {
    match parse_rfc3339(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write it like 2026-11-21T18:00:00Z or 2026-11-21T18:00+01:00".to_owned()),
    }
}

fn duration(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}

/// A reader that hung up has seen what it wanted.
fn print_text(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn print_json(value: &Value) {
    print_text(&format!("{value:#}\n"));
}
