//! `drawbridge rules exclude`: from a blocked request to an exclusion that is proven.

mod blocked;
mod show;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap_complete::engine::ArgValueCompleter;

use self::blocked::Blocked;
use super::replay::source::{Events, Joined, NotReplayed, Requests};
use super::source::find_policy;
use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::offline;
use crate::cli::output::Output;
use crate::config::{self, Config, Policy, PolicyMode, parse_age};
use crate::exclusion::{Day, Proposals, Purpose, Written, free_id, propose};
use crate::recorded::Request;
use crate::time::milliseconds_ago;
use seclang::diagnostic::Diagnostic;
use waf::{EngineMode, RuleSet};

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
    /// The policy that blocks it [default: the only one, or "default"]
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

/// What was found, and what was done.
struct Done {
    proposals: Proposals,
    /// The place of the proposal that was taken; None if none holds.
    taken: Option<usize>,
    written: Option<Written>,
    /// The files of the exclusion and of its tests, if they were written.
    files: Option<(PathBuf, PathBuf)>,
    notes: Vec<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let done = match exclude(args) {
        Ok(done) => done,
        Err(error) => return error.report(args.output),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = match args.output {
        Output::Human => show::human(&done),
        Output::Json => show::json(&done),
    };
    crate::cli::exit::success_if(done.taken.is_some())
}

fn exclude(args: &Args) -> Result<Done, CommandError> {
    let Blocked {
        request,
        name,
        policy,
        mut notes,
    } = Blocked::read(&args.request, &args.config)?;
    let config = offline::load(&args.config)?;
    let policy = find_policy(&config, args.policy.as_ref().or(policy.as_ref()), None)?;
    let file = match args.write {
        true => Some(find_file(policy, args.file.as_deref())?),
        false => None,
    };
    let recorded = read_recorded(args, &mut notes)?;
    let compile = |mode, text: &str| compile(&config, policy, mode, text);
    let proposals =
        propose(&request, args.rule, &recorded, &compile).map_err(CommandError::because)?;
    if proposals.keeps_credentials() {
        notes.push(
            "the tests hold what may be credentials: without them the request is judged otherwise"
                .to_owned(),
        );
    }
    let taken = take(&proposals, args.pick)?;
    let purpose = Purpose {
        owner: args.owner.clone(),
        reason: args.reason.clone(),
        until: args.until.clone(),
    };
    let id = free_id(ids(&config)).ok_or_else(|| {
        CommandError::Problem("all ids of exclusions are taken: remove some".to_owned())
    })?;
    let written = taken.and_then(|at| proposals.written(at, id, &purpose, &name));
    let files = match (&written, file) {
        (Some(written), Some(file)) => {
            let named =
                |error: io::Error| CommandError::Problem(format!("{}: {error}", file.display()));
            let tests = written.append_to(file).map_err(named)?;
            Some((file.to_owned(), tests))
        }
        _ => None,
    };
    Ok(Done {
        proposals,
        taken,
        written,
        files,
        notes,
    })
}

/// The recorded requests with their names. Those that cannot be used are noted.
fn read_recorded(
    args: &Args,
    notes: &mut Vec<String>,
) -> Result<Vec<(String, Request)>, CommandError> {
    let mut requests = Vec::new();
    if args.requests.is_empty() && !args.events {
        return Ok(requests);
    }
    let events = match args.events {
        true => {
            let state_dir = offline::state_dir(&args.config)?;
            Some(Events::find(&state_dir, milliseconds_ago(args.since))?)
        }
        false => None,
    };
    let source = Joined::open(&args.requests, &[], events)?;
    for at in 0..source.len() {
        match source.read(at) {
            Ok(recorded) => requests.push((recorded.id, recorded.request)),
            Err(NotReplayed::Unreadable(why)) => notes.push(format!("left out: {why}")),
            Err(NotReplayed::CannotBeJudged { id, why }) => {
                notes.push(format!("left out: {id}: {why}"));
            }
        }
    }
    Ok(requests)
}

fn compile(
    config: &Config,
    policy: &Policy,
    mode: EngineMode,
    text: &str,
) -> Result<Arc<RuleSet>, CommandError> {
    let mode = match mode {
        EngineMode::On => PolicyMode::Block,
        EngineMode::DetectionOnly => PolicyMode::Detect,
        EngineMode::Off => PolicyMode::Off,
    };
    config::compile_with(config, policy, mode, text).map_err(|problems: Vec<Diagnostic>| {
        match problems.is_empty() {
            true => super::source::has_no_rules(policy),
            false => CommandError::Diagnostics(problems),
        }
    })
}

/// The file that a new exclusion belongs into.
fn find_file<'p>(policy: &'p Policy, named: Option<&Path>) -> Result<&'p Path, CommandError> {
    let files = &policy.exclusions;
    let name = &policy.name;
    let problem = |message: String| Err(CommandError::Problem(message));
    let Some(first) = files.first() else {
        return problem(format!(
            "policy {name:?} has no file for exclusions: write exclusions = [\"rules/exclusions.conf\"] into [policies.{name}]"
        ));
    };
    let Some(named) = named else {
        return Ok(&first.path);
    };
    match files.iter().find(|file| file.path.ends_with(named)) {
        Some(file) => Ok(&file.path),
        None => problem(format!(
            "{} is none of the exclusions of policy {name:?}",
            named.display()
        )),
    }
}

/// The proposal to write: the one that was asked for if it holds, else the recommended one.
fn take(proposals: &Proposals, pick: Option<usize>) -> Result<Option<usize>, CommandError> {
    let Some(number) = pick else {
        return Ok(proposals.recommended());
    };
    let picked = number
        .checked_sub(1)
        .and_then(|at| proposals.candidates.get(at));
    match picked {
        None => Err(CommandError::Problem(format!(
            "there is no proposal {number}: there are {}",
            proposals.candidates.len()
        ))),
        // It is shown with what it opens, and not written.
        Some((_, proof)) => Ok(proof.holds().then(|| number - 1)),
    }
}

/// The ids of all rules of all policies: they may share a file.
fn ids(config: &Config) -> impl Iterator<Item = u64> {
    let sets = config
        .policies
        .values()
        .filter_map(|policy| policy.rules.live());
    sets.flat_map(|rules| {
        let removed = rules.removed().iter().map(|rule| rule.id);
        rules.summaries().map(|rule| rule.id).chain(removed)
    })
}
