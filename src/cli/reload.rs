//! `drawbridge reload`: the running front door reads its files now.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::check::Output;
use super::failure::Failure;
use super::front::{Front, not_ours};

/// What the admin API answers where something was refused.
const REFUSED_IN_PART: u16 = 422;

/// Have the running front door read its files now, and say what it took
///
/// Waits until the reload is over. What is faulty is refused and its last good version goes on; all else
/// is taken live.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge reload
  drawbridge reload --config /etc/drawbridge/drawbridge.toml --output json

Exit codes:
  0  all of it was taken
  1  something was refused, or no front door answers")]
pub struct Args {
    #[command(flatten)]
    front: Front,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    generation: u64,
    refused: Vec<Refused>,
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    unit: String,
    reasons: Vec<String>,
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let told = match reload(&args.front) {
        Ok(told) => told,
        Err(problem) => return Failure::Problem(problem).tell(args.output),
    };
    let outcome: Outcome = match serde_json::from_value(told.clone()) {
        Ok(outcome) => outcome,
        Err(error) => return Failure::Problem(not_ours(&error)).tell(args.output),
    };
    let ok = outcome.refused.is_empty();
    let shown = match args.output {
        Output::Human => show(&outcome),
        Output::Json => show_json(told, ok),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    match ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn reload(front: &Front) -> Result<Value, String> {
    let answer = front.call("POST", "/reload", &[])?;
    if !answer.is_ok() && answer.status != REFUSED_IN_PART {
        return Err(front.refusal(&answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| not_ours(&error))
}

fn show(outcome: &Outcome) -> io::Result<()> {
    let mut err = io::stderr().lock();
    for warning in &outcome.warnings {
        writeln!(err, "warning: {warning}")?;
    }
    for Refused { unit, reasons } in &outcome.refused {
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
            "{refused} refused, the last good version of what was refused goes on; generation {generation}"
        ),
    }
}

fn show_json(mut told: Value, ok: bool) -> io::Result<()> {
    told["ok"] = json!(ok);
    writeln!(io::stdout(), "{told:#}")
}
