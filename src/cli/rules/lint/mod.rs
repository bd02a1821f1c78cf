//! `drawbridge rules lint`: exclusions that are of no use, too wide or dangerous, and rules that cost much in vain.

mod look;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap_complete::engine::ArgValueCompleter;

use self::look::Looked;
use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::offline;
use crate::cli::output::Output;
use crate::config::{self, OnExpiry, PolicyMode, Recipe, parse_age};
use crate::exclusion::Entry;
use crate::exclusion::lint::{Finding, Known, count, fixed, used};
use crate::review::policy::{find_policy, has_no_rules};
use waf::{Problems, RuleSet};

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

/// What was found in a policy.
struct Report {
    policy: String,
    /// How many exclusions there are.
    exclusions: usize,
    findings: Vec<Finding>,
    looked: Looked,
    /// What could not be found out, and why.
    notes: Vec<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let report = match lint(args) {
        Ok(report) => report,
        Err(error) => return error.report_as(args.output, exit::USAGE),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = match args.output {
        Output::Human => show::human(&report),
        Output::Json => show::json(&report),
    };
    exit::success_if(report.findings.is_empty())
}

fn lint(args: &Args) -> Result<Report, CommandError> {
    let config = offline::load(&args.config)?;
    let policy = find_policy(&config, args.policy.as_ref(), None)?;
    let live = policy.rules.live().ok_or_else(|| has_no_rules(policy))?;
    let recipe = config.recipe_of(policy);
    let recipe = recipe.ok_or_else(|| has_no_rules(policy))?;
    let entries: Vec<&Entry> = policy
        .exclusions
        .iter()
        .flat_map(|file| &file.entries)
        .collect();
    let known = Known {
        entries: &entries,
        ends: recipe.on_expiry == OnExpiry::Remove,
        now: SystemTime::now(),
    };
    let mut findings = fixed(live, &known);
    let mut notes = Vec::new();
    let requests = look::requests(args, &policy.name)?;
    let looked = match &requests {
        Some(requests) => {
            let rules = trial(recipe, &mut notes)?;
            let looked = Looked::at(&rules, requests);
            findings.extend(used(&rules, &known, &looked.observed, &looked.evidence));
            looked
        }
        None => Looked::default(),
    };
    let place = |finding: &Finding| {
        let at = &finding.at;
        (at.path.clone(), at.line, at.column, finding.code)
    };
    findings.sort_by_cached_key(place);
    Ok(Report {
        policy: policy.name.clone(),
        exclusions: count(live, &known),
        findings,
        looked,
        notes,
    })
}

/// The rules of the policy, which only detect and can do without each exclusion.
fn trial(recipe: &Recipe, notes: &mut Vec<String>) -> Result<Arc<RuleSet>, CommandError> {
    let recipe = Recipe {
        mode: PolicyMode::Detect,
        budget: None,
        audited: false,
        ..recipe.clone()
    };
    if let Ok(rules) = config::builder_of(&recipe).exclusions_run().build() {
        return Ok(rules);
    }
    notes.push(
        "the rules do not load without the directives that exclude some, so nothing is known of the use of directives"
            .to_owned(),
    );
    let built = config::builder_of(&recipe).build();
    built.map_err(|Problems(problems)| CommandError::Diagnostics(problems))
}
