//! `drawbridge events top`: what occurs most in the events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;

use super::filter::Filter;
use super::list::{print_problems, time};
use crate::cli::config_file::ConfigFile;
use crate::cli::error::shown_or_reported;
use crate::cli::output::{Output, print_json};
use crate::cli::rules::escape::show_short;
use crate::events::{Found, Summary, Verdict};
use crate::time::rfc3339;

/// Count events by rule, route, argument or client, the most frequent first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge events top --by rule --since 7d
  drawbridge events top --by argument --rule 942100 --route shop

Exit codes:
  0  done, also if no event fits
  1  the events cannot be read
  2  wrong usage")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// What to count by
    #[arg(long, value_enum)]
    by: By,
    /// How many to show
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    most: usize,
    #[command(flatten)]
    filter: Filter,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// What events are counted by.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// The logged rules that matched, and those that blocked
    Rule,
    /// The route
    Route,
    /// The variable that a rule matched, such as ARGS:q
    Argument,
    /// The client's address
    Client,
}

/// The events of one rule, route, argument or client.
#[derive(Debug, Default)]
struct Row {
    events: u64,
    blocked: u64,
    would_be_blocked: u64,
    /// The newest.
    last: Option<Summary>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let found = match args.filter.find(&args.config) {
        Ok(found) => found,
        Err(error) => return error.report(args.output),
    };
    let rows = count(&found, args.by);
    let rows = rows.get(..args.most).unwrap_or(&rows);
    let shown = match args.output {
        Output::Human => human(&found, rows),
        Output::Json => json(&found, rows),
    };
    shown_or_reported(shown, args.output)
}

fn count(found: &Found, by: By) -> Vec<(String, Row)> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for event in found.events.iter().map(|place| &place.summary) {
        for key in keys(event, by) {
            let row = rows.entry(key).or_default();
            row.events += 1;
            row.blocked += u64::from(event.verdict == Verdict::Block);
            row.would_be_blocked += u64::from(event.verdict == Verdict::Detect);
            // They are in the order of their times.
            row.last = Some(event.clone());
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(key, row)| (std::cmp::Reverse(row.events), key.clone()));
    rows
}

/// An event counts once for each, however often it occurs in it.
fn keys(event: &Summary, by: By) -> BTreeSet<String> {
    let hits = event.matches.iter();
    match by {
        By::Rule => {
            let rules = hits.map(|hit| hit.rule_id).chain(event.blocked_by);
            rules.map(|rule| rule.to_string()).collect()
        }
        By::Argument => hits
            .map(|hit| hit.variable.clone())
            .filter(|name| !name.is_empty())
            .collect(),
        By::Route => BTreeSet::from([event.route.clone().unwrap_or_else(|| "-".to_owned())]),
        By::Client => BTreeSet::from([event.client.to_canonical().to_string()]),
    }
}

fn human(found: &Found, rows: &[(String, Row)]) -> io::Result<()> {
    print_problems(&found.problems);
    if rows.is_empty() {
        eprintln!("no event fits");
        return Ok(());
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(
        out,
        "{:>8} {:>8} {:>8}  {:24}  what",
        "events", "blocked", "detected", "last"
    )?;
    for (key, row) in rows {
        let last = row
            .last
            .as_ref()
            .map_or(String::new(), |event| rfc3339(time(event)));
        let (events, blocked, detected) = (row.events, row.blocked, row.would_be_blocked);
        let key = show_short(key.as_bytes(), 120);
        writeln!(
            out,
            "{events:>8} {blocked:>8} {detected:>8}  {last:24}  {key}"
        )?;
    }
    out.flush()
}

fn json(found: &Found, rows: &[(String, Row)]) -> io::Result<()> {
    let rows: Vec<_> = rows
        .iter()
        .map(|(key, row)| {
            json!({
                "key": key,
                "events": row.events,
                "blocked": row.blocked,
                "would_be_blocked": row.would_be_blocked,
                "last": row.last.as_ref().map(|event| rfc3339(time(event))),
                "last_request_id": row.last.as_ref().map(|event| &event.request_id),
            })
        })
        .collect();
    print_json(
        &json!({ "ok": found.problems.is_empty(), "problems": found.problems, "rows": rows }),
    )
}
