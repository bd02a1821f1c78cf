//! Exclusions that are of no use, too wide or dangerous, and rules that cost much in vain: from the rules of a policy, and
//! from recorded requests.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::chunks::map_chunks;
use super::error::{ReviewError, problems_json};
use super::policy::has_no_rules;
use super::replay::source::{Events, Joined, NotReplayed, Requests};
use crate::config::{self, Config, OnExpiry, Policy, PolicyMode, Recipe};
use crate::counted::counted;
use crate::events::Summary;
use crate::exclusion::Entry;
use crate::exclusion::lint::{
    Evidence, Finding, Known, Observed, Other, count, fixed, unknown, used,
};
use crate::time::milliseconds_ago;
use waf::{Problems, RuleSet};

/// What was found in a policy.
#[derive(Debug)]
pub(crate) struct LintReport {
    pub(crate) policy: String,
    /// How many exclusions there are.
    pub(crate) exclusions: usize,
    pub(crate) findings: Vec<Finding>,
    pub(crate) looked: Looked,
    /// What could not be found out, and why.
    pub(crate) notes: Vec<String>,
}

/// Requests, and since when they were recorded.
pub(crate) struct RecordedRequests {
    requests: Joined,
    /// None if that is not known of all of them.
    time: Option<Duration>,
}

/// What the requests showed.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) observed: Observed,
    pub(crate) evidence: Evidence,
    /// Requests that the rules cannot judge as they were, or that they would not see.
    pub(crate) not_judged: usize,
    /// Why, of the first such request.
    pub(crate) why: Option<String>,
}

impl Default for Looked {
    fn default() -> Self {
        Self {
            observed: Observed::default(),
            evidence: Evidence {
                requests: 0,
                time: None,
            },
            not_judged: 0,
            why: None,
        }
    }
}

impl RecordedRequests {
    /// The events of the policy, and the requests in these folders; None if there are none.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn open(
        state_dir: Option<&Path>,
        since: Option<Duration>,
        folders: &[PathBuf],
        policy: &str,
    ) -> Result<Option<Self>, ReviewError> {
        let is_of_policy = |summary: &Summary| summary.policy.as_deref() == Some(policy);
        let since = milliseconds_ago(since);
        let events = state_dir.map(|folder| Events::find_where(folder, since, is_of_policy));
        let events = events.transpose()?.filter(|events| events.len() > 0);
        if events.is_none() && folders.is_empty() {
            return Ok(None);
        }
        let first = events.as_ref().and_then(Events::first);
        // The files in folders say nothing of their time.
        let first = first.filter(|_| folders.is_empty());
        let begun = first.map(|time| UNIX_EPOCH + Duration::from_millis(time));
        let time = begun.and_then(|begun| SystemTime::now().duration_since(begun).ok());
        let requests = Joined::open(folders, &[], events)?;
        Ok(Some(Self { requests, time }))
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.len()
    }
}

/// Looks at the exclusions of this policy. Calls `done` with how many requests are done.
///
/// # Errors
/// The policy has no rules, or they do not compile as they are needed here.
pub(crate) fn lint(
    config: &Config,
    policy: &Policy,
    requests: Option<&RecordedRequests>,
    done: &(dyn Fn(usize) + Sync),
) -> Result<LintReport, ReviewError> {
    let live = policy.rules.live().ok_or_else(|| has_no_rules(policy))?;
    let recipe = config.recipe_of(policy);
    let recipe = recipe.ok_or_else(|| has_no_rules(policy))?;
    let entries: Vec<&Entry> = policy.exclusion_entries().collect();
    let known = Known {
        entries: &entries,
        ends: recipe.on_expiry == OnExpiry::Remove,
        now: SystemTime::now(),
    };
    let mut findings = fixed(live, &known);
    let mut notes = Vec::new();
    // Without requests only what the rules themselves show is known.
    let looked = match requests {
        Some(requests) => {
            let rules = trial(recipe, &mut notes)?;
            let looked = Looked::at(&rules, requests, done);
            findings.extend(used(&rules, &known, &looked.observed, &looked.evidence));
            notes.extend(of_answers(unknown(&rules, &known, &looked.observed)));
            looked
        }
        None => Looked::default(),
    };
    let place = |finding: &Finding| {
        let at = &finding.at;
        (at.path.clone(), at.line, at.column, finding.code)
    };
    // By place: whoever mends a file goes through it from its beginning.
    findings.sort_by_cached_key(place);
    Ok(LintReport {
        policy: policy.name.clone(),
        exclusions: count(live, &known),
        findings,
        looked,
        notes,
    })
}

/// Says of how many exclusions requests show nothing.
fn of_answers(exclusions: usize) -> Option<String> {
    let exclusions = (exclusions > 0).then(|| counted(exclusions, "exclusion"))?;
    Some(format!(
        "{exclusions} of rules on answers (phases 3 and 4): recorded requests have no answers, so nothing is said of the use; \
         the metric exclusion_hits_total counts the requests in which the conditions held"
    ))
}

/// The rules of the policy, which only detect and can do without each exclusion.
fn trial(recipe: &Recipe, notes: &mut Vec<String>) -> Result<Arc<RuleSet>, ReviewError> {
    let recipe = Recipe {
        // An interruption would keep later rules, and what excludes them, from being seen.
        mode: PolicyMode::Detect,
        // On a slow machine a budget would leave rules out, and their exclusions would look unused.
        budget: None,
        // The requests are repeated; their records were written when they came.
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
    built.map_err(|Problems(problems)| ReviewError::Diagnostics(problems))
}

impl Looked {
    /// Runs the requests through the rules, on all processors. Calls `done` with how many are done.
    fn at(
        rules: &Arc<RuleSet>,
        recorded: &RecordedRequests,
        done: &(dyn Fn(usize) + Sync),
    ) -> Self {
        let requests = &recorded.requests;
        let parts = map_chunks(requests.len(), done, |chunk| {
            Self::at_chunk(rules, requests, chunk)
        });
        let mut whole = Self::default();
        for part in parts {
            whole.observed.add(part.observed);
            whole.not_judged += part.not_judged;
            whole.why = whole.why.or(part.why);
        }
        whole.evidence = Evidence {
            requests: whole.observed.requests,
            time: recorded.time,
        };
        whole
    }

    fn at_chunk(rules: &Arc<RuleSet>, requests: &Joined, chunk: Range<usize>) -> Self {
        let mut part = Self::default();
        for at in chunk {
            let why = match requests.read(at) {
                Ok(recorded) => {
                    let before = part.observed.requests;
                    part.observed.see(rules, &recorded.request);
                    // Those that HTTP forbids are not counted.
                    if part.observed.requests > before {
                        continue;
                    }
                    "HTTP forbids it, so no rule sees it".to_owned()
                }
                Err(NotReplayed::Unreadable(problem)) => problem.to_string(),
                Err(NotReplayed::CannotBeJudged { why, .. }) => why,
            };
            part.not_judged += 1;
            // Most requests have the same reason: the settings of `[events]`.
            part.why.get_or_insert(why);
        }
        part
    }
}

impl LintReport {
    pub(crate) fn to_json(&self) -> Value {
        let findings: Vec<Value> = self.findings.iter().map(json_finding).collect();
        let looked = &self.looked;
        json!({
            "ok": self.findings.is_empty(),
            "policy": self.policy,
            "exclusions": self.exclusions,
            "requests": looked.evidence.requests,
            "seconds": looked.evidence.time.map(|time| time.as_secs()),
            "not_judged": looked.not_judged,
            "notes": self.notes,
            "findings": findings,
        })
    }
}

fn json_finding(finding: &Finding) -> Value {
    let mut shown = problems_json(&[finding.diagnostic()]);
    let shown = shown.get_mut(0).map(Value::take);
    let mut shown = shown.unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("code", json!(finding.code.name()));
        // The diagnostic has the code in its message, and the rules to write instead in its help.
        set("message", json!(finding.message));
        set("help", json!(finding.help));
        set("owner", json!(finding.owner));
        set(
            "other",
            finding.other.as_ref().map_or(Value::Null, json_other),
        );
        set("instead", json!(finding.instead));
    }
    shown
}

fn json_other(other: &Other) -> Value {
    json!({
        "file": other.at.path.to_string_lossy(),
        "line": other.at.line,
        "owner": other.owner,
    })
}
