//! `drawbridge events top`: what occurs most in the events.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;

use super::filter::Filter;
use super::list::print_problems;
use crate::cli::config_file::ConfigFile;
use crate::cli::error::shown_or_reported;
use crate::cli::output::{Output, print_json};
use crate::events::Found;
use crate::review::escape::show_short;
use crate::review::events::{Count, CountBy, counts_json, time};
use crate::time::rfc3339;

/// Count events by rule, route, argument, client or caller, the most frequent first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge events top --by rule --since 7d
  drawbridge events top --by argument --rule 942100 --route shop
  drawbridge events top --by caller --verdict block

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
    /// The caller whose token or certificate was verified
    Caller,
}

impl From<By> for CountBy {
    fn from(by: By) -> Self {
        match by {
            By::Rule => Self::Rule,
            By::Route => Self::Route,
            By::Argument => Self::Argument,
            By::Client => Self::Client,
            By::Caller => Self::Caller,
        }
    }
}

pub(super) fn run(args: &Args) -> ExitCode {
    let found = match args.filter.find(&args.config) {
        Ok(found) => found,
        Err(error) => return error.report(args.output),
    };
    let rows = CountBy::from(args.by).count(&found);
    let rows = rows.get(..args.most).unwrap_or(&rows);
    let shown = match args.output {
        Output::Human => human(&found, rows),
        Output::Json => print_json(&counts_json(&found, rows)),
    };
    shown_or_reported(shown, args.output)
}

fn human(found: &Found, rows: &[(String, Count)]) -> io::Result<()> {
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
