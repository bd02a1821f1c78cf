//! `drawbridge healthcheck`: whether the running front door should get traffic, for probes.
//!
//! Invariants: it ends within its deadline, whatever the front door or the configuration's file system does; it sends no
//! token and shows no secret.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::CommandError;
use super::exit;
use super::front_door::{FrontDoor, FrontDoorError, Location};
use super::output::{Output, print_json};
use crate::config::parse_age;

/// Ask the running front door whether it is ready; for HEALTHCHECK and probes
///
/// It is ready when it serves and does not close. A configuration that was refused does not make it unready,
/// because the last good version serves. Asks the admin address, sends no token, and ends after --timeout at the
/// latest.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge healthcheck
  drawbridge healthcheck --admin unix:/run/drawbridge/admin.sock --timeout 2s
  HEALTHCHECK CMD [\"drawbridge\", \"healthcheck\"]     in a Dockerfile
  drawbridge healthcheck --live                     for a probe that restarts what does not answer

Exit codes:
  0  it is ready (with --live: it answers)
  1  it is not, or no front door answers in time
  2  wrong usage")]
pub(super) struct Args {
    #[command(flatten)]
    at: Location,
    /// Ask only whether it answers, also while it closes: a probe that restarts must not cut a drain short
    #[arg(long)]
    live: bool,
    /// How long all of it may take, such as 5s or 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_age)]
    timeout: Duration,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// What the front door answered.
struct Health {
    ok: bool,
    /// The checks that failed, as `/readyz?verbose` names them.
    failed: Vec<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let health = match ask_in_time(args) {
        Ok(health) => health,
        Err(error) => return error.report(args.output),
    };
    let shown = match args.output {
        Output::Human => show(&health, args.live),
        Output::Json => print_json(&to_json(&health)),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    exit::success_if(health.ok)
}

/// Asks on another thread: each read has a deadline of its own, and a file system that hangs has none. The thread ends
/// with the process.
fn ask_in_time(args: &Args) -> Result<Health, CommandError> {
    let front = FrontDoor {
        at: args.at.clone(),
        admin_token_file: None,
    };
    let live = args.live;
    let (sender, answer) = sync_channel(1);
    let asking = thread::Builder::new().spawn(move || {
        // Nobody waits any more where the deadline has passed.
        let _ = sender.send(ask(&front, live));
    });
    asking.map_err(CommandError::because)?;
    match answer.recv_timeout(args.timeout) {
        Ok(health) => Ok(health?),
        Err(_) => Err(CommandError::Problem(format!(
            "no answer within {} s",
            args.timeout.as_secs()
        ))),
    }
}

fn ask(front: &FrontDoor, live: bool) -> Result<Health, FrontDoorError> {
    let path = if live { "/livez" } else { "/readyz?verbose" };
    let answer = front.probe(path)?;
    // 503 is an answer; anything else comes from something that is no front door.
    if !answer.is_ok() && answer.status != 503 {
        return Err(front.refusal(&answer));
    }
    let text = answer.text();
    let failed = text.lines().filter_map(|line| line.strip_prefix("[-]"));
    Ok(Health {
        ok: answer.is_ok(),
        failed: failed.map(str::to_owned).collect(),
    })
}

fn show(health: &Health, live: bool) -> io::Result<()> {
    let words = match (health.ok, live) {
        (true, true) => "live",
        (true, false) => "ready",
        (false, _) => "not ready",
    };
    let lines = std::iter::once(words).chain(health.failed.iter().map(String::as_str));
    let text: Vec<&str> = lines.collect();
    writeln!(io::stdout(), "{}", text.join(": "))
}

fn to_json(health: &Health) -> Value {
    json!({ "ok": health.ok, "failed": health.failed })
}
