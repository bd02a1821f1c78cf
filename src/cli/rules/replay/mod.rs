//! `drawbridge rules replay`: what other rules would have done with requests that are there.

mod show;
mod sides;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::sides::{ReplayError, SidesArgs};
use super::progress::Progress;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::offline::state_dir;
use crate::cli::output::{Output, print_json};
use crate::config::parse_age;
use crate::review::replay::compare::Comparison;
use crate::review::replay::report;
use crate::review::replay::source::{Events, Joined, Requests};
use crate::time::milliseconds_ago;

/// Run requests through a candidate rule set and through what is live, and say what would change
///
/// What is live is the policy of the configuration. The candidate is that policy with other rule files
/// (--rules) or other variables of the CRS (--crs). With --against the policy is the candidate.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge rules replay --rules 'crs-4.9/*.conf' --rules 'crs-4.9/rules/*.conf' --requests recorded/
                                                     a new version of the CRS beside the policy
  drawbridge rules replay --policy api --crs paranoia_level=2 --har shop.har
                                                     the policy at another paranoia level
  drawbridge rules replay --config new.toml --against-config drawbridge.toml --requests recorded/
                                                     a policy before and after a change
  drawbridge rules replay --policy api --crs paranoia_level=2 --events --since 7d
                                                     the same with the requests of the last week
  drawbridge rules replay --rules 'new/*.conf' --against 'old/*.conf' --requests recorded/
                                                     two sets of files, without a configuration
  drawbridge rules replay --crs paranoia_level=2 --requests recorded/ --allow 942430 --allow 00042.http
                                                     differences of that rule and that request are meant

Exit codes:
  0  nothing differs but what --allow names
  1  something else differs, or a request cannot be read
  2  wrong usage")]
pub(super) struct Args {
    #[command(flatten)]
    sides: SidesArgs,
    /// A folder whose *.http files are raw HTTP/1.1 requests, or one such file; may be given several times
    #[arg(long, value_name = "DIR", required_unless_present_any = ["har", "events"])]
    requests: Vec<PathBuf>,
    /// An HTTP archive (HAR 1.2), as browsers save it; may be given several times
    #[arg(long, value_name = "FILE")]
    har: Vec<PathBuf>,
    /// The requests that were kept as events ([events] in the configuration); those whose record lacks something
    /// are counted and not judged
    #[arg(long)]
    events: bool,
    /// Only events of this time until now, such as 2h or 7d
    #[arg(long, value_name = "TIME", requires = "events", value_parser = parse_age)]
    since: Option<Duration>,
    /// A difference that is meant: the id of a rule, or a request as the report names it. A difference
    /// is meant if its request is named, or all rules that make it
    #[arg(long, value_name = "RULE-ID|REQUEST")]
    allow: Vec<String>,
    /// Explain every difference; otherwise the first 25
    #[arg(long)]
    all: bool,
    /// How to show it; JSON explains every difference
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match replay(args) {
        Ok(code) => code,
        Err(ReplayError::Usage(problem)) => {
            CommandError::Problem(problem).report_as(args.output, exit::USAGE)
        }
        Err(ReplayError::Failed(error)) => error.report(args.output),
    }
}

fn replay(args: &Args) -> Result<ExitCode, ReplayError> {
    args.sides.check()?;
    let events = match args.events {
        true => {
            let state_dir = state_dir(args.sides.config_file())?;
            let since = milliseconds_ago(args.since);
            Some(Events::find(&state_dir, since).map_err(CommandError::from)?)
        }
        false => None,
    };
    // Before the rules, which take longest: a mistyped path should not wait for them.
    let requests = Joined::open(&args.requests, &args.har, events).map_err(CommandError::from)?;
    let sides = args.sides.load()?;
    let progress = Progress::new(requests.len());
    let mut comparison = Comparison::of(&sides, &requests, &|done| progress.update(done));
    progress.clear();
    comparison.allow(&args.allow);
    let shown = match args.output {
        Output::Human => show::human(&comparison, &sides, &requests, args.all),
        Output::Json => print_json(&report::to_json(&comparison, &sides, &requests)),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    drop(shown);
    Ok(exit::success_if(comparison.is_as_allowed()))
}
