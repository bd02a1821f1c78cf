//! Rules of the teams' own that took much of the rules' time and never matched.

use std::time::Duration;

use seclang::diagnostic::Location;
use seclang::files;
use waf::{RuleSet, RuleSummary};

use super::super::record::is_guard;
use super::finding::{Code, Finding};
use super::observed::{Evidence, Observed};
use super::{is_of_crs, is_written};

/// With fewer requests than this, that a rule never matched says nothing.
const ENOUGH_REQUESTS: usize = 100;
/// The share of the time of all rules, in per cent, from which on a rule is dear.
const DEAR: u128 = 5;

/// In the order of their cost, the dearest first.
pub(super) fn dear_and_never_matched(
    rules: &RuleSet,
    observed: &Observed,
    evidence: &Evidence,
) -> Vec<Finding> {
    let whole: Duration = observed.time.iter().sum();
    if observed.requests < ENOUGH_REQUESTS || whole.is_zero() {
        return Vec::new();
    }
    // Whole per cents: finer figures would pretend that two runs give the same.
    let share = |time: Duration| time.as_nanos() * 100 / whole.as_nanos();
    let mut dear: Vec<(u128, RuleSummary)> = rules
        .summaries()
        .enumerate()
        .filter(|(place, rule)| is_own(rule) && !observed.matched.contains(place))
        .filter_map(|(place, rule)| Some((share(*observed.time.get(place)?), rule)))
        .filter(|(share, _)| *share >= DEAR)
        .collect();
    dear.sort_by_key(|(share, rule)| (std::cmp::Reverse(*share), rule.id));
    let finding = |(share, rule): (u128, RuleSummary)| {
        let message = format!(
            "rule {} took {share} % of the rules' time and matched none of {}",
            rule.id,
            evidence.words()
        );
        let help = "begin its chain with a cheap condition, such as the path that it is for; or remove it if nothing needs it";
        Finding::warning(Code::DearAndNeverMatched, place(&rule), message, help)
    };
    dear.into_iter().map(finding).collect()
}

fn is_own(rule: &RuleSummary) -> bool {
    is_written(&rule.file) && !is_of_crs(rule.id) && !is_guard(rule.id)
}

/// The first line of a rule.
fn place(rule: &RuleSummary) -> Location {
    let text = files::read_text(&rule.file).unwrap_or_default();
    let before = text
        .split_inclusive('\n')
        .take(rule.line.saturating_sub(1) as usize);
    let start = before.map(str::len).sum();
    let line = text.get(start..).and_then(|rest| rest.lines().next());
    let length = line.unwrap_or_default().trim_end().len();
    match line {
        Some(_) => Location::in_text(&rule.file, &text, start, start + length),
        None => Location {
            line: rule.line,
            ..Location::file(&rule.file)
        },
    }
}
