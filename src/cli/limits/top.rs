//! `drawbridge limits top`: which keys of the running front door have used up most of their limits.

use std::io::{self, Write};
use std::process::ExitCode;

use clap_complete::engine::ArgValueCompleter;
use serde::Deserialize;

use crate::cli::config_file;
use crate::cli::front_door::{FrontDoor, in_query};
use crate::cli::output::Output;
use crate::counted::counted;
use crate::review::escape::show_short;

/// Show which keys of the running front door are near their limits
///
/// A key has a name here once it has used up half of its burst. Values of header fields, cookies, arguments and claims
/// are shown by the first 12 digits of their SHA-256. The JSON is that of `GET /limits/top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge limits top
  drawbridge limits top --limit each-client --most 5
  drawbridge limits top --output json

Exit codes:
  0  done, also if no key is near
  1  no front door answers, or it has no such limit
  2  wrong usage")]
pub(super) struct Args {
    #[command(flatten)]
    front: FrontDoor,
    /// Only the keys of this limit
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::limits))]
    limit: Option<String>,
    /// How many keys of each limit to show
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    most: usize,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// The answer of the front door.
#[derive(Debug, Deserialize)]
struct Answer {
    limits: Vec<Limit>,
}

#[derive(Debug, Deserialize)]
struct Limit {
    name: String,
    rate: String,
    burst: u64,
    key: Vec<String>,
    count: String,
    action: String,
    passed: u64,
    refused: u64,
    would_refuse: u64,
    evicted: u64,
    keys_in_use: u64,
    top: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    key: Option<String>,
    used_percent: u64,
    remaining: u64,
    full_in_seconds: u64,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut path = format!("/limits/top?most={}", args.most);
    if let Some(name) = &args.limit {
        path += &format!("&limit={}", in_query(name));
    }
    args.front.show("GET", &path, args.output, human)
}

fn human(answer: &Answer) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for limit in &answer.limits {
        write_limit(&mut out, limit)?;
    }
    // Before the notes on standard error, so that they stand below the table on a terminal.
    out.flush()?;
    if answer.limits.is_empty() {
        eprintln!("there is no limit: [limits.NAME] in the configuration makes one");
    }
    Ok(())
}

fn write_limit(out: &mut impl Write, limit: &Limit) -> io::Result<()> {
    writeln!(
        out,
        "limit {}: {} {} by {}, burst {}, action {}",
        limit.name,
        limit.rate,
        limit.count,
        limit.key.join(" and "),
        limit.burst,
        limit.action
    )?;
    writeln!(
        out,
        "{} passed, {} refused, {} would be refused; {} in use, {} forgotten early",
        limit.passed,
        limit.refused,
        limit.would_refuse,
        counted(limit.keys_in_use, "key"),
        limit.evicted
    )?;
    if !limit.top.is_empty() {
        writeln!(out, "{:>6} {:>10} {:>10}  key", "used", "left", "full in")?;
    }
    for row in &limit.top {
        let key = row.key.as_deref().unwrap_or("(has not used up half yet)");
        writeln!(
            out,
            "{:>5}% {:>10} {:>8} s  {}",
            row.used_percent,
            row.remaining,
            row.full_in_seconds,
            // Hosts are a client's: they must not steer the terminal.
            show_short(key.as_bytes(), 200),
        )?;
    }
    writeln!(out)
}
