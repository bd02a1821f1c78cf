//! `drawbridge reload`: makes the running front door read its files now, and waits for the outcome.

#![allow(
    clippy::indexing_slicing,
    reason = "a member that JSON lacks is null, and one that is set is added"
)]

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::CommandError;
use super::exit;
use super::front_door::{FrontDoor, FrontDoorError};
use super::output::Output;

/// The status of the admin API's answer if something was refused. It carries an outcome like a success.
const PARTLY_REFUSED: u16 = 422;

/// Make the running front door read its files now, and say what it applied
///
/// Waits until the reload has finished. For what is invalid, the last good version stays in use; everything
/// else is applied.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge reload
  drawbridge reload --config /etc/drawbridge/drawbridge.toml --output json

Exit codes:
  0  everything was applied
  1  something was refused, or no front door answers")]
pub(super) struct Args {
    #[command(flatten)]
    front: FrontDoor,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    generation: u64,
    refused: Vec<RefusedUnit>,
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct RefusedUnit {
    unit: String,
    reasons: Vec<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let answer = match reload(&args.front) {
        Ok(answer) => answer,
        Err(error) => return CommandError::from(error).report(args.output),
    };
    let outcome: Outcome = match serde_json::from_value(answer.clone()) {
        Ok(outcome) => outcome,
        Err(error) => {
            let error = FrontDoorError::InvalidAnswer(error);
            return CommandError::from(error).report(args.output);
        }
    };
    let ok = outcome.refused.is_empty();
    let shown = match args.output {
        Output::Human => show(&outcome),
        // The answer as it came: a newer front door may say more than `Outcome` knows.
        Output::Json => show_json(answer, ok),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    exit::success_if(ok)
}

fn reload(front: &FrontDoor) -> Result<Value, FrontDoorError> {
    let answer = front.call("POST", "/reload", &[])?;
    if !answer.is_ok() && answer.status != PARTLY_REFUSED {
        return Err(front.refusal(&answer));
    }
    serde_json::from_slice(&answer.body).map_err(FrontDoorError::InvalidAnswer)
}

fn show(outcome: &Outcome) -> io::Result<()> {
    let mut err = io::stderr().lock();
    for warning in &outcome.warnings {
        writeln!(err, "warning: {warning}")?;
    }
    for RefusedUnit { unit, reasons } in &outcome.refused {
        for reason in reasons {
            writeln!(err, "refused: {unit}: {reason}")?;
        }
    }
    drop(err);
    let generation = outcome.generation;
    match outcome.refused.len() {
        0 => writeln!(io::stdout(), "reloaded, generation {generation}"),
        refused => writeln!(
            io::stdout(),
            "{refused} refused, their last good versions stay in use; generation {generation}"
        ),
    }
}

fn show_json(mut answer: Value, ok: bool) -> io::Result<()> {
    // The admin API says it by its status, which the output does not show.
    answer["ok"] = json!(ok);
    writeln!(io::stdout(), "{answer:#}")
}
