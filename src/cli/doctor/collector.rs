//! `drawbridge doctor collector`: whether the collector of `[otlp]` takes what the front door sends.
//!
//! It sends with the client and the settings of the front door, so that its verdict is the front door's.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::cli::config_file::ConfigFile;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::offline::{block_on, load};
use crate::cli::output::{Output, print_json};
use crate::outbound::{Client, FetchError};
use crate::telemetry::otlp::{OtlpSettings, Signal};

/// Send an empty batch to the collector of `[otlp]`
///
/// Sends one of traces and one of logs, as the front door would: the same name, trust bundle, proxy and
/// authorization. If it is not taken, shows the cause and how to fix it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge doctor collector
  drawbridge doctor collector --config /etc/drawbridge/drawbridge.toml --output json

Exit codes:
  0  the collector took both
  1  it did not; the cause has the same code as in metrics")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// What is sent, where to, and whether it was taken.
struct Found {
    signal: Signal,
    url: String,
    taken: Result<(), FetchError>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let found = match examine(args) {
        Ok(found) => found,
        Err(error) => return error.report(args.output),
    };
    let shown = match args.output {
        Output::Human => found.iter().try_for_each(show),
        Output::Json => print_json(&json!({
            "ok": found.iter().all(|found| found.taken.is_ok()),
            "signals": found.iter().map(report).collect::<Vec<_>>(),
        })),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    exit::success_if(found.iter().all(|found| found.taken.is_ok()))
}

fn examine(args: &Args) -> Result<Vec<Found>, CommandError> {
    let config = load(&args.config)?;
    let Some(settings) = &config.otlp else {
        let message = "the configuration has no [otlp], so nothing is sent to a collector";
        return Err(CommandError::Problem(message.to_owned()));
    };
    Ok(block_on(ask(settings))?)
}

async fn ask(settings: &OtlpSettings) -> Vec<Found> {
    let client = Client::new(Handle::current());
    let mut all = Vec::new();
    for signal in Signal::ALL {
        let url = settings.destination(signal).map(|to| to.url().to_string());
        if let (Some(url), Some(taken)) = (url, settings.probe(&client, signal).await) {
            all.push(Found { signal, url, taken });
        }
    }
    all
}

fn show(found: &Found) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:<8} {}", found.signal.name(), found.url)?;
    match &found.taken {
        Ok(()) => writeln!(out, "  ok       the collector took an empty batch"),
        Err(error) => {
            let fault = &error.fault;
            writeln!(out, "  cause    {}: {fault}", fault.code())?;
            writeln!(out, "  fix      {}", fault.fix())
        }
    }
}

fn report(found: &Found) -> Value {
    let failure = found.taken.as_ref().err().map(|error| {
        json!({
            "code": error.fault.code(),
            "reason": error.fault.to_string(),
            "fix": error.fault.fix(),
        })
    });
    json!({
        "signal": found.signal.name(),
        "url": found.url,
        "ok": found.taken.is_ok(),
        "failure": failure,
    })
}
