//! `drawbridge rules lint`: exclusions that are of no use, too wide or dangerous, and rules that cost much in vain.

mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::engine::ArgValueCompleter;

use super::progress::Progress;
use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::offline;
use crate::cli::output::{Output, print_json};
use crate::config::parse_age;
use crate::review::lint::{LintReport, RecordedRequests, lint};
use crate::review::policy::find_policy;

/// Find exclusions that are of no use, too wide, dangerous or written twice, and own rules that cost much in vain
///
/// Looks at the exclusions that `rules exclude` wrote and at those in your rule files. What they are used for comes
/// from recorded requests: the events of the policy, and those of --requests.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge rules lint                              the exclusions of the only policy, and all its events
  drawbridge rules lint --policy api --since 7d      of one policy, and the events of the last week
  drawbridge rules lint --requests recorded/         with recorded requests beside the events
  drawbridge rules lint --output json                for scripts

Findings:
  fits-no-rule            it names no rule, or a target that none of its rules looks at
  too-late                its rule runs after every rule that it names
  applies-early           it holds before all conditions of its chain do
  touches-blocking        it takes out or changes what blocks, or turns the rules off
  written-twice           another exclusion does everything that it does
  never-applied           nothing would have been different without it in the recorded requests
  wider-than-used         the recorded requests needed less than it excludes
  dear-and-never-matched  an own rule took 5 % of the rules' time or more and never matched

Exit codes:
  0  nothing was found
  1  something was found
  2  it could not run, or wrong usage")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// The policy to look at [default: the only one, or "default"]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::policies))]
    policy: Option<String>,
    /// Only events of this time until now, such as 2h or 7d [default: all]
    #[arg(long, value_name = "TIME", value_parser = parse_age)]
    since: Option<Duration>,
    /// A folder whose *.http files are raw HTTP/1.1 requests, or one such file; may be given several times
    #[arg(long, value_name = "DIR")]
    requests: Vec<PathBuf>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let report = match run_lint(args) {
        Ok(report) => report,
        // 1 would say that something was found.
        Err(error) => return error.report_as(args.output, exit::USAGE),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = match args.output {
        Output::Human => show::human(&report),
        Output::Json => print_json(&report.to_json()),
    };
    exit::success_if(report.findings.is_empty())
}

fn run_lint(args: &Args) -> Result<LintReport, CommandError> {
    let config = offline::load(&args.config)?;
    let policy = find_policy(&config, args.policy.as_ref(), None)?;
    let state_dir = match (&config.state_dir, args.since) {
        // The time is one of events, and nobody records any.
        (None, Some(_)) => Some(offline::state_dir(&args.config)?),
        (state_dir, _) => state_dir.clone(),
    };
    let folder = state_dir.as_deref();
    let requests = RecordedRequests::open(folder, args.since, &args.requests, &policy.name)?;
    let progress = Progress::new(requests.as_ref().map_or(0, RecordedRequests::count));
    let report = lint(&config, policy, requests.as_ref(), &|done| {
        progress.update(done);
    });
    progress.clear();
    Ok(report?)
}
