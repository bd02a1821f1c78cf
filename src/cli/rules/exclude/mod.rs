//! `drawbridge rules exclude`: from a blocked request to an exclusion that is proven.

mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::engine::ArgValueCompleter;
use uuid::Uuid;

use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::offline;
use crate::cli::output::{Output, print_json};
use crate::config::parse_age;
use crate::exclusion::{Day, Purpose};
use crate::review::events::event_of;
use crate::review::exclude::{Blocked, Excluded, ExclusionRequest, WriteTo, exclude};
use crate::review::replay::source::{Events, Joined, Requests};
use crate::time::milliseconds_ago;

const EXAMPLES: &str = "\
Examples:
  drawbridge rules exclude 01970c2e-... --owner 'orders team' --reason 'notes are prose' --until 2027-03-01
  drawbridge rules exclude 01970c2e-... --events --since 7d --owner 'orders team' --reason 'notes are prose' --until 2027-03-01 --write";

/// Propose exclusions for a blocked request, narrowest first, and prove each
///
/// Shows what passes, what stays blocked, what an exclusion opens and what it costs. Without --write nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The id of a request that was kept as an event, a raw HTTP request in a file, or - for standard input
    #[arg(value_name = "REQUEST-ID|FILE")]
    request: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
    /// The policy that blocks it [default: that of the event, or its shadow; else the only one, or "default"]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::policies))]
    policy: Option<String>,
    /// Exclude only this rule
    #[arg(long, value_name = "ID")]
    rule: Option<u64>,
    /// A folder of raw requests (*.http) whose verdicts must not change
    #[arg(long, value_name = "DIR")]
    requests: Vec<PathBuf>,
    /// The requests that were kept as events, whose verdicts must not change
    #[arg(long)]
    events: bool,
    /// Only events of this time until now, such as 2h or 7d
    #[arg(long, value_name = "TIME", requires = "events", value_parser = parse_age)]
    since: Option<Duration>,
    /// The team that answers for the exclusion
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// Why it is needed
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The last day on which it holds, in UTC
    #[arg(long, value_name = "DATE", value_parser = Day::parse)]
    until: Day,
    /// Take the proposal with this number instead of the recommended one
    #[arg(long, value_name = "N")]
    pick: Option<usize>,
    /// Add the exclusion and its tests to a file of the policy's `exclusions`
    #[arg(long)]
    write: bool,
    /// Which of the policy's files [default: the first]
    #[arg(long, value_name = "FILE", requires = "write")]
    file: Option<PathBuf>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let done = match run_exclude(args) {
        Ok(done) => done,
        Err(error) => return error.report(args.output),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = match args.output {
        Output::Human => show::human(&done),
        Output::Json => print_json(&done.to_json()),
    };
    // If no proposal holds, the request stays blocked, which is not what was asked for.
    crate::cli::exit::success_if(done.taken.is_some())
}

fn run_exclude(args: &Args) -> Result<Excluded, CommandError> {
    let blocked = read_blocked(&args.request, &args.config)?;
    // After the request was found: compiling the rules takes longest, and a mistyped id should not wait for it.
    let config = offline::load(&args.config)?;
    let recorded = open_recorded(args)?;
    let wanted = ExclusionRequest {
        blocked,
        policy: args.policy.as_ref(),
        rule: args.rule,
        recorded: recorded.as_ref().map(|recorded| recorded as &dyn Requests),
        purpose: Purpose {
            owner: args.owner.clone(),
            reason: args.reason.clone(),
            until: args.until.clone(),
        },
        pick: args.pick,
        write: args.write.then(|| match &args.file {
            Some(file) => WriteTo::Named(file),
            None => WriteTo::First,
        }),
    };
    Ok(exclude(&config, wanted)?)
}

/// The request that was blocked: an event that a front door kept, a file, or standard input.
fn read_blocked(named: &Path, config: &ConfigFile) -> Result<Blocked, CommandError> {
    let name = named.display().to_string();
    // A file may be named after the request that it holds.
    let is_id = Uuid::parse_str(&name).is_ok() && !named.exists();
    Ok(match is_id {
        true => Blocked::of_event(event_of(&offline::state_dir(config)?, &name)?)?,
        false => Blocked::of_file(super::explain::read(named)?, name)?,
    })
}

/// The requests whose verdicts must not change.
fn open_recorded(args: &Args) -> Result<Option<Joined>, CommandError> {
    if args.requests.is_empty() && !args.events {
        return Ok(None);
    }
    let events = match args.events {
        true => {
            let state_dir = offline::state_dir(&args.config)?;
            Some(Events::find(&state_dir, milliseconds_ago(args.since))?)
        }
        false => None,
    };
    Ok(Some(Joined::open(&args.requests, &[], events)?))
}
