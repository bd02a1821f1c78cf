//! `drawbridge events list`: one line for each event.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use super::filter::Filter;
use crate::cli::config_file::ConfigFile;
use crate::cli::error::shown_or_reported;
use crate::cli::output::Output;
use crate::events::{Found, Summary};
use crate::review::escape::show_short;
use crate::review::events::{ListReport, time};
use crate::time::rfc3339;

/// List events, the newest last: time, verdict, status, client, request, route, what blocked it, caller, request id
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge events list --since 2h
  drawbridge events list --rule 942100 --route shop
  drawbridge events list --client 203.0.113.9 --output json
  drawbridge events list --subject anna --identity corp

Exit codes:
  0  done, also if no event fits
  1  the events cannot be read
  2  wrong usage")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    filter: Filter,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let found = match args.filter.find(&args.config) {
        Ok(found) => found,
        Err(error) => return error.report(args.output),
    };
    let shown = match args.output {
        Output::Human => human(&found),
        Output::Json => json(&found),
    };
    shown_or_reported(shown, args.output)
}

fn human(found: &Found) -> io::Result<()> {
    print_problems(&found.problems);
    if found.events.is_empty() {
        // Not on standard output, where each line is an event.
        eprintln!("no event fits");
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for place in &found.events {
        writeln!(out, "{}", line(&place.summary))?;
    }
    // Dropping the writer would hide the error of its last write.
    out.flush()
}

/// Reports damage, beside the result.
pub(super) fn print_problems(problems: &[String]) {
    for problem in problems {
        eprintln!("drawbridge: {problem}");
    }
}

fn line(event: &Summary) -> String {
    // Hosts, methods and paths are a client's: they must not steer the terminal.
    let shown = |text: &str| show_short(text.as_bytes(), 120);
    let mut line = format!(
        "{} {:11} {:3} {} {} {}{} {}",
        rfc3339(time(event)),
        event.verdict.name(),
        event.status,
        event.client,
        shown(&event.method),
        shown(event.host.as_deref().unwrap_or("-")),
        shown(&event.path),
        event.route.as_deref().unwrap_or("-"),
    );
    match event.blocked_by {
        None => {}
        Some(0) => line += " by the engine",
        Some(rule) => line += &format!(" by {rule}"),
    }
    if let Some(hit) = event.matches.first() {
        let more = match event.matches.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        line += &format!(" ({} {}{more})", hit.rule_id, shown(&hit.variable));
    }
    if let Some(caller) = &event.caller {
        line += &format!(" caller {}", shown(&caller.short()));
    }
    format!("{line} {}", event.request_id)
}

fn json(found: &Found) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, &ListReport::new(found, usize::MAX))?;
    writeln!(out)?;
    out.flush()
}
