//! `drawbridge limits suggest`: limits that honest clients would have kept, from recorded requests.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::{CommandError, shown_or_reported};
use crate::cli::offline;
use crate::cli::output::{Output, print_json};
use crate::config::parse_age;
use crate::events::Verdict;
use crate::review::events::EventFilter;
use crate::review::limits::{SuggestedLimit, suggest, toml};

/// Suggest limits by client and route from recorded requests, as TOML
///
/// Of each client the busiest minute counts, among the requests that were let through; the rate is the 99.9th
/// percentile of these. Only a sample is recorded (`sample` of [events]), and rates are scaled by it: set it to 1 for a
/// while to have exact ones.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge limits suggest --since 7d > conf.d/limits.toml
  drawbridge limits suggest --route orders --output json

Exit codes:
  0  done, also if there is nothing to suggest
  1  the configuration or the events cannot be read
  2  wrong usage")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Only from requests of this time until now, such as 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_age)]
    since: Option<Duration>,
    /// Only for this route
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::routes))]
    route: Option<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// What is suggested, and from what.
struct Suggestion {
    limits: Vec<SuggestedLimit>,
    sample: f64,
    problems: Vec<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let suggestion = match find(args) {
        Ok(suggestion) => suggestion,
        Err(error) => return error.report(args.output),
    };
    let shown = match args.output {
        Output::Human => human(&suggestion),
        Output::Json => print_json(&json!({
            "ok": true,
            "sample": suggestion.sample,
            "limits": suggestion.limits,
            "toml": toml(&suggestion.limits),
            "problems": suggestion.problems,
        })),
    };
    shown_or_reported(shown, args.output)
}

fn find(args: &Args) -> Result<Suggestion, CommandError> {
    let config = offline::load(&args.config)?;
    let Some((settings, folder)) = config.events.as_ref().zip(config.state_dir.as_ref()) else {
        return Err(CommandError::Problem(
            "there is no [events] table, so no request is recorded".to_owned(),
        ));
    };
    let filter = EventFilter {
        since: args.since,
        route: args.route.clone(),
        rule: None,
        client: None,
        verdict: Some(Verdict::Passed),
        subject: None,
        identity: None,
    };
    let found = filter.find(folder)?;
    let events = found.events.iter().map(|place| &place.summary);
    Ok(Suggestion {
        limits: suggest(events, settings.sample),
        sample: settings.sample,
        problems: found.problems,
    })
}

fn human(suggestion: &Suggestion) -> io::Result<()> {
    for problem in &suggestion.problems {
        eprintln!("drawbridge: {problem}");
    }
    let mut out = io::stdout().lock();
    out.write_all(toml(&suggestion.limits).as_bytes())?;
    out.flush()?;
    if suggestion.limits.is_empty() {
        eprintln!("no request that was let through is recorded: set \"sample\" of [events]");
    } else if suggestion.sample < 1.0 {
        let sample = suggestion.sample;
        eprintln!("scaled from a sample of {sample}: with sample = 1 the rates would be exact");
    }
    Ok(())
}
