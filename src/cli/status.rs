//! `drawbridge status`: the state of the running front door.

#![allow(
    clippy::indexing_slicing,
    reason = "a member that JSON lacks is null, and one that is set is added"
)]

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::error::CommandError;
use super::exit;
use super::front_door::{FrontDoor, FrontDoorError};
use super::output::Output;
use crate::counted::counted;

/// Show the state of the running front door
///
/// Its version and process, whether it is ready, how its last reload went, and its listeners, upstreams
/// with their servers, policies, shadows and exposures. The JSON is that of `GET /status`, with `ready` and
/// `exposures`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge status
  drawbridge status --admin unix:/run/drawbridge/admin.sock --output json

Exit codes:
  0  it is ready
  1  it is not ready, or no front door answers")]
pub(super) struct Args {
    #[command(flatten)]
    front: FrontDoor,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let (status, checks) = match fetch(&args.front) {
        Ok(answers) => answers,
        Err(error) => return CommandError::from(error).report(args.output),
    };
    let shown = match args.output {
        Output::Human => io::stdout().write_all(human(&status, &checks).as_bytes()),
        Output::Json => writeln!(io::stdout(), "{status:#}"),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    exit::success_if(status["ready"] == json!(true))
}

/// The status, and the text of `/readyz?verbose`. Three requests, so they may show slightly different moments.
fn fetch(front: &FrontDoor) -> Result<(Value, String), FrontDoorError> {
    // No type of its own: the JSON shows all that a newer front door says.
    let parse = |body: &[u8]| serde_json::from_slice(body).map_err(FrontDoorError::InvalidAnswer);
    let mut status: Value = parse(&front.request("GET", "/status", &[])?)?;
    status["exposures"] = parse(&front.request("GET", "/exposures", &[])?)?;
    // `call`, not `request`: 503 is an answer here, not a failure.
    let readiness = front.call("GET", "/readyz?verbose", &[])?;
    status["ready"] = json!(readiness.is_ok());
    Ok((status, readiness.text()))
}

fn human(status: &Value, checks: &str) -> String {
    [
        front_door_lines(status, checks),
        listener_lines(status),
        upstream_lines(status),
        policy_lines(status),
        shadow_lines(status),
        exposure_lines(status),
    ]
    .concat()
}

/// The process, the checks that failed, and the last reload.
fn front_door_lines(status: &Value, checks: &str) -> String {
    let ready = match status["ready"] == json!(true) {
        true => "ready",
        false => "not ready",
    };
    let mut out = format!(
        "drawbridge {}, process {}, generation {}: {ready}\n",
        text(&status["process"]["version"]),
        status["process"]["pid"],
        status["generation"],
    );
    for check in checks
        .lines()
        // Of the checks those that failed, and those that keep it ready all the same (`src/admin/router.rs`).
        .filter(|line| line.starts_with("[-]") || line.starts_with("[!]"))
    {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "  {check}");
    }
    let reload = &status["reload"];
    let outcome = match reload["successful"] == json!(true) {
        true => "everything was applied",
        false => "partly refused",
    };
    let _ = writeln!(out, "reload     {}, {outcome}", text(&reload["at"]));
    out
}

fn listener_lines(status: &Value) -> String {
    let mut out = String::new();
    for listener in items(&status["listeners"]) {
        let (name, kind) = (text(&listener["name"]), text(&listener["kind"]));
        let bind: Vec<String> = items(&listener["bind"]).map(text).collect();
        let _ = writeln!(out, "listener   {name}  {kind}  {}", bind.join(", "));
    }
    out
}

fn upstream_lines(status: &Value) -> String {
    let mut out = String::new();
    for upstream in items(&status["upstreams"]) {
        let (name, in_flight) = (text(&upstream["name"]), &upstream["in_flight"]);
        let _ = writeln!(out, "upstream   {name}  {in_flight} in flight");
        for server in items(&upstream["addresses"]) {
            let why = match &server["last_health_failure"] {
                Value::Null => String::new(),
                failure => format!("  {}", text(&failure["words"])),
            };
            let (name, state) = (text(&server["name"]), text(&server["state"]));
            let _ = writeln!(out, "  server   {name}  {state}{why}");
        }
    }
    out
}

fn policy_lines(status: &Value) -> String {
    let mut out = String::new();
    for policy in items(&status["policies"]) {
        let live = match policy["live"] == json!(true) {
            true => "",
            false => "  not live: its rules were refused",
        };
        let (name, mode) = (text(&policy["name"]), text(&policy["mode"]));
        let rules = counted(policy["rules"].as_u64().unwrap_or_default(), "rule");
        let _ = writeln!(out, "policy     {name}  {mode}  {rules}{live}");
    }
    out
}

fn shadow_lines(status: &Value) -> String {
    let mut out = String::new();
    for shadow in items(&status["shadows"]) {
        let (policy, requests) = (text(&shadow["policy"]), &shadow["requests"]);
        let _ = writeln!(
            out,
            "shadow     {policy}  {}: {} newly blocked, {} newly allowed",
            counted(requests["compared"].as_u64().unwrap_or_default(), "request"),
            requests["newly_blocked"],
            requests["newly_allowed"]
        );
    }
    out
}

fn exposure_lines(status: &Value) -> String {
    let mut out = String::new();
    for exposure in items(&status["exposures"]) {
        let (name, state) = (text(&exposure["name"]), text(&exposure["state"]));
        let owner = text(&exposure["owner"]);
        let _ = writeln!(out, "exposure   {name}  {state}  owner {owner}");
    }
    out
}

/// A string without its quotation marks; any other value as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The items of an array. A front door of another version may lack the array; then there are none.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
