//! What a replay found, as JSON.
//!
//! Each difference is read and run again, with a trace, so that its explanation is that of `rules explain`.

use std::time::Duration;

use serde_json::{Value, json};

use super::Sides;
use super::compare::{Comparison, Difference};
use super::source::{NotReplayed, Requests};
use crate::judgement::{DifferenceKind, only_in};
use crate::review::error::problems_json;
use crate::review::escape::json_text;
use crate::review::explanation::{Explanation, RuleMatch, explain};
use seclang::diagnostic::Diagnostic;

/// What both rule sets made of a request.
pub(crate) struct Explained {
    pub(crate) candidate: Explanation,
    pub(crate) live: Explanation,
}

pub(crate) fn to_json(comparison: &Comparison, sides: &Sides, requests: &dyn Requests) -> Value {
    let differences = comparison.differences.iter();
    let differences: Vec<Value> = differences
        .map(|difference| json_difference(difference, sides, requests))
        .collect();
    let rules = comparison.rules.iter();
    let rules: Vec<Value> = rules
        .map(|(id, (more, fewer))| json!({"rule_id": id, "more": more, "fewer": fewer}))
        .collect();
    let not_judged: Vec<Value> = not_judged(comparison)
        .map(|(id, why)| json!({"request": id, "reason": why}))
        .collect();
    let problems: Vec<Diagnostic> = unreadable(comparison).cloned().collect();
    let count = |kind| comparison.count(kind);
    json!({
        "ok": comparison.is_as_allowed(),
        "requests": comparison.requests,
        "newly_blocked": count(DifferenceKind::NewlyBlocked),
        "newly_allowed": count(DifferenceKind::NewlyAllowed),
        "answered_differently": count(DifferenceKind::AnsweredDifferently),
        "refused_before_rules": comparison.refused,
        "cpu": cpu_json(comparison),
        "differences": differences,
        "allowed_in_vain": comparison.allowed_in_vain,
        "other_matches": {"requests": comparison.other_matches, "rules": rules},
        "not_judged": not_judged,
        "problems": problems_json(&problems),
    })
}

fn json_difference(difference: &Difference, sides: &Sides, requests: &dyn Requests) -> Value {
    let mut explained = vec![
        ("request", json!(difference.id)),
        ("kind", json!(difference.kind.name())),
        ("rule_ids", json!(difference.causes)),
        ("allowed", json!(difference.allowed)),
    ];
    // The request may be gone since it was compared. Its difference still counts.
    if let Some(found) = explain_both(difference, sides, requests) {
        let matches = |one, other| {
            let only = matches_only_in(one, other).into_iter();
            only.map(RuleMatch::to_json).collect::<Vec<_>>()
        };
        let (candidate, live) = (&found.candidate, &found.live);
        explained.extend([
            ("line", json!(json_text(&live.line))),
            ("notes", json!(live.notes)),
            ("candidate", candidate.verdict.to_json()),
            ("live", live.verdict.to_json()),
            ("only_candidate", json!(matches(candidate, live))),
            ("only_live", json!(matches(live, candidate))),
        ]);
    }
    let explained = explained.into_iter();
    let explained = explained.map(|(key, value)| (key.to_owned(), value));
    Value::Object(explained.collect())
}

/// Null if it was not measured.
fn cpu_json(comparison: &Comparison) -> Value {
    let microseconds = |time: Duration| {
        let count = u32::try_from(comparison.measured).unwrap_or(u32::MAX);
        (time / count.max(1)).as_secs_f64() * 1e6
    };
    change(comparison).map_or(Value::Null, |percent| {
        json!({
            "candidate_microseconds": microseconds(comparison.cpu.candidate),
            "live_microseconds": microseconds(comparison.cpu.live),
            "change_percent": percent,
        })
    })
}

/// How much more CPU the candidate takes, in per cent; None where the clock counted none.
pub(crate) fn change(comparison: &Comparison) -> Option<f64> {
    let (candidate, live) = (comparison.cpu.candidate, comparison.cpu.live);
    (!live.is_zero()).then(|| (candidate.as_secs_f64() / live.as_secs_f64() - 1.0) * 100.0)
}

pub(crate) fn explain_both(
    difference: &Difference,
    sides: &Sides,
    requests: &dyn Requests,
) -> Option<Explained> {
    let request = requests.read(difference.at).ok()?.request;
    Some(Explained {
        candidate: explain(&sides.candidate, &request, None, &[]).ok()?,
        live: explain(&sides.live, &request, None, &[]).ok()?,
    })
}

/// The relevant matches of one that the other does not have.
pub(crate) fn matches_only_in<'e>(
    one: &'e Explanation,
    other: &'e Explanation,
) -> Vec<&'e RuleMatch> {
    let relevant = |explanation: &'e Explanation| {
        let matches = explanation.matches.iter();
        matches.filter(|found| found.is_relevant())
    };
    only_in(relevant(one), relevant(other), |found, known| {
        let (found, known) = (&found.rule, &known.rule);
        (found.rule_id, &found.variable) == (known.rule_id, &known.variable)
            // A rule that only scored before and ends the transaction now is a difference.
            && found.interrupting == known.interrupting
    })
}

pub(crate) fn unreadable(comparison: &Comparison) -> impl Iterator<Item = &Diagnostic> {
    comparison
        .not_replayed
        .iter()
        .filter_map(|found| match found {
            NotReplayed::Unreadable(problem) => Some(problem),
            NotReplayed::CannotBeJudged { .. } => None,
        })
}

pub(crate) fn not_judged(comparison: &Comparison) -> impl Iterator<Item = (&String, &String)> {
    comparison
        .not_replayed
        .iter()
        .filter_map(|found| match found {
            NotReplayed::CannotBeJudged { id, why } => Some((id, why)),
            NotReplayed::Unreadable(_) => None,
        })
}
