//! `drawbridge expose`: shows exposures, and switches them off and on.
//!
//! One failure does not stop the other switches: in the emergency for which they exist, there is no time for a second
//! attempt.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

mod prove;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use self::prove::{Proof, prove};
use super::config_file;
use super::error::CommandError;
use super::exit;
use super::front_door::{FrontDoor, FrontDoorError};
use super::output::Output;
use crate::exposure::api::{ExposureStatus, SwitchRequest, TimeError, parse_duration};
use crate::time::parse_rfc3339;

/// Show the exposures of the running front door, and switch them off and on
///
/// A switch takes effect at once, without a reload, and survives a restart. Every other listener of the
/// same routes stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge expose status
  drawbridge expose off public --for 2h --reason 'token leak' --prove
  drawbridge expose off --all --reason 'under attack'
  drawbridge expose on public partners --admin unix:/run/drawbridge/admin.sock

Exit codes:
  0  done as asked
  1  no front door answers, there is no such exposure, the switch could not be saved, or the proof failed
  2  wrong usage")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A line for each exposure: whether it is on, who owns it, until when and why
    Status {
        #[command(flatten)]
        front: FrontDoor,
        /// How to show it
        #[arg(long, value_enum, default_value_t = Output::Human)]
        output: Output,
    },
    /// Switch an exposure off: its listeners refuse its routes, open streams are closed
    Off(SwitchArgs),
    /// Switch an exposure on
    On(SwitchArgs),
}

#[derive(Debug, clap::Args)]
struct SwitchArgs {
    /// The exposures, one or several
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all",
        add = ArgValueCompleter::new(config_file::exposures))]
    names: Vec<String>,
    /// Every exposure of the configuration
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    front: FrontDoor,
    /// When it switches back by itself, like 2026-11-21T18:00:00Z or 2026-11-21T18:00+01:00
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "duration")]
    until: Option<String>,
    /// After how long it switches back by itself, like 30m, 2h or 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Option<String>,
    /// Why; `status` and the audit show it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Send a request to the listeners as a client would, and show the answer
    #[arg(long)]
    prove: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let (done, output) = match &args.verb {
        Verb::Status { front, output } => (status(front, *output), *output),
        Verb::Off(args) => (switch_all(args, false), args.output),
        Verb::On(args) => (switch_all(args, true), args.output),
    };
    done.unwrap_or_else(|error| error.report(output))
}

fn list(front: &FrontDoor) -> Result<Vec<ExposureStatus>, FrontDoorError> {
    front.ask("GET", "/exposures")
}

fn status(front: &FrontDoor, output: Output) -> Result<ExitCode, CommandError> {
    let all = list(front)?;
    match output {
        Output::Json => print_json(&json!(all)),
        Output::Human if all.is_empty() => {
            print_text("the configuration names no exposure: every route is reachable\n");
        }
        Output::Human => print_text(&all.iter().map(|s| line(s) + "\n").collect::<String>()),
    }
    Ok(ExitCode::SUCCESS)
}

/// An exposure that was switched, and the proofs.
struct Switched {
    status: ExposureStatus,
    proofs: Vec<Proof>,
}

impl Switched {
    fn is_proven(&self) -> bool {
        self.proofs.iter().all(|proof| proof.as_expected)
    }

    fn to_json(&self, proven: bool) -> Value {
        let mut shown = json!(self.status);
        if proven {
            shown["proof"] = json!(self.proofs);
        }
        shown
    }
}

/// Switches the exposures one after the other, even if one fails.
fn switch_all(args: &SwitchArgs, on: bool) -> Result<ExitCode, CommandError> {
    let names: Vec<String> = match args.all {
        true => list(&args.front)?.into_iter().map(|s| s.name).collect(),
        false => args.names.clone(),
    };
    // Success would say that everything is off, where everything is reachable.
    if names.is_empty() {
        return Err(CommandError::because(
            "the configuration names no exposure, so nothing was switched and every route is reachable",
        ));
    }
    // One exposure by name gives one JSON object; several give a list, also if only one exists.
    let alone = !args.all && names.len() == 1;
    let word = if on { "on" } else { "off" };
    let mut shown = Vec::new();
    let mut problems = Vec::new();
    for name in &names {
        match switch(args, name, on) {
            Ok(switched) => {
                if !switched.is_proven() {
                    problems.push(format!(
                        "{name} is switched {word}, but a request shows otherwise"
                    ));
                }
                shown.push(switched);
            }
            // Nothing else was asked for, so this is the answer as a whole.
            Err(error) if alone => return Err(error),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    match args.output {
        Output::Human => shown.iter().for_each(show),
        Output::Json => {
            let all = shown.iter().map(|s| s.to_json(args.prove));
            let all: Vec<Value> = all.collect();
            match &all[..] {
                [one] if alone => print_json(one),
                _ => print_json(&json!({ "exposures": all, "problems": problems })),
            }
        }
    }
    for problem in &problems {
        eprintln!("drawbridge: {problem}");
    }
    Ok(exit::success_if(problems.is_empty()))
}

fn show(switched: &Switched) {
    let proofs = switched.proofs.iter();
    let proofs: String = proofs.map(|proof| format!("  {proof}\n")).collect();
    print_text(&format!("{}\n{proofs}", line(&switched.status)));
}

fn switch(args: &SwitchArgs, name: &str, on: bool) -> Result<Switched, CommandError> {
    // The name becomes a part of the request's path, where a slash or a space would make another request.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(CommandError::Problem(format!(
            "\"{name}\" is not a name of an exposure"
        )));
    }
    let request = SwitchRequest {
        until: args.until.clone(),
        duration: args.duration.clone(),
        reason: args.reason.clone(),
    };
    let request = serde_json::to_vec(&request).map_err(CommandError::because)?;
    let word = if on { "on" } else { "off" };
    let path = format!("/exposures/{name}/{word}");
    let body = args.front.request("POST", &path, &request)?;
    let status: ExposureStatus =
        serde_json::from_slice(&body).map_err(FrontDoorError::InvalidAnswer)?;
    // On standard error, so that it does not disturb the JSON.
    if !status.persistent {
        eprintln!(
            "drawbridge: the configuration has no state_dir, so {} is on after a restart",
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
    Ok(Switched { status, proofs })
}

/// `NAME on|off`, its owner, and how it was switched.
fn line(status: &ExposureStatus) -> String {
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

/// Checks the time here, so that a typing error is wrong usage and switches nothing.
fn time(text: &str) -> Result<String, TimeError> {
    match parse_rfc3339(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(TimeError::NotATime(text.to_owned())),
    }
}

fn duration(text: &str) -> Result<String, TimeError> {
    parse_duration(text).map(|_| text.to_owned())
}

/// Ignores a reader that hung up: it has seen what it wanted.
fn print_text(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn print_json(value: &Value) {
    print_text(&format!("{value:#}\n"));
}
