//! What recorded requests say: exclusions that were of no use, or wider than their use, and rules that cost much in vain.

use std::sync::Arc;

use waf::{ExclusionKind, RuleSet};

use super::dear::dear_and_never_matched;
use super::finding::{Code, Finding};
use super::fixed::Order;
use super::observed::{Evidence, Observed, Seen};
use super::wider::wider_than_used;
use super::{Known, Subject, subjects};

/// The findings that these requests give; none if there were no requests. `rules`: those that they were run through.
#[must_use]
pub fn used(
    rules: &Arc<RuleSet>,
    known: &Known<'_>,
    observed: &Observed,
    evidence: &Evidence,
) -> Vec<Finding> {
    if observed.requests == 0 {
        return Vec::new();
    }
    let order = Order::of(rules);
    let mut findings: Vec<Finding> = Vec::new();
    for subject in subjects(rules, known) {
        let seen = observed.exclusions.get(subject.place);
        // Why others are of no use is known without requests.
        let Some(seen) = seen.filter(|_| is_of_any_use(&subject, &order)) else {
            continue;
        };
        let found = match seen.used {
            // Also where it was of use: what else it was used for, in answers, is not known.
            _ if is_unknown(&subject, seen, &order) => None,
            0 => never_applied(&subject, seen, evidence),
            _ => wider_than_used(&subject, seen, rules, evidence),
        };
        // Several `ctl` of one rule share its conditions, and one line says that these never held.
        let is_said =
            |known: &Finding, new: &Finding| known.code == new.code && known.message == new.message;
        findings.extend(found.filter(|new| !findings.iter().any(|known| is_said(known, new))));
    }
    findings.extend(dear_and_never_matched(rules, observed, evidence));
    findings
}

/// How many exclusions concern rules on answers, which recorded requests do not have, so that nothing can be said of
/// their use.
#[must_use]
pub fn unknown(rules: &Arc<RuleSet>, known: &Known<'_>, observed: &Observed) -> usize {
    let order = Order::of(rules);
    let subjects = subjects(rules, known).into_iter();
    let unknown = subjects.filter(|subject| {
        let seen = observed.exclusions.get(subject.place);
        is_of_any_use(subject, &order) && seen.is_some_and(|seen| is_unknown(subject, seen, &order))
    });
    unknown.count()
}

/// Whether nothing is known against it without requests.
fn is_of_any_use(subject: &Subject<'_>, order: &Order) -> bool {
    let removes = [ExclusionKind::Rules, ExclusionKind::Targets];
    removes.contains(&subject.exclusion.kind)
        && !subject.exclusion.concerned.is_empty()
        && !order.is_too_late(subject)
}

/// Whether only answers would show of what use it is. Conditions that never held say enough without them.
fn is_unknown(subject: &Subject<'_>, seen: &Seen, order: &Order) -> bool {
    let never_held = seen.held == 0 && order.is_decided_by_requests(subject);
    !order.is_for_requests(subject) && !never_held
}

fn never_applied(subject: &Subject<'_>, seen: &Seen, evidence: &Evidence) -> Option<Finding> {
    let requests = evidence.words();
    let (message, help) = match (&subject.exclusion.by, seen.held) {
        (Some(by), 0) => (
            format!(
                "the conditions of {} held for none of {requests}",
                match subject.entry {
                    Some(entry) => format!("exclusion {} of \"{}\"", entry.id, entry.purpose.owner),
                    None => format!("rule {}, which excludes,", by.id),
                },
            ),
            "remove it if its requests no longer come; only a sample of the requests that pass is recorded, and the metric exclusion_hits_total counts all",
        ),
        (Some(_), held) => (
            format!(
                "{} changed nothing: its conditions held for {held} of {requests}, and no rule would have matched there without it",
                subject.name()
            ),
            "remove it; before that, `drawbridge rules replay` with the rules without it shows the same",
        ),
        (None, _) => (
            format!(
                "{} changed nothing: no rule would have matched without it in {requests}",
                subject.name()
            ),
            "remove it; before that, `drawbridge rules replay` with the rules without it shows the same",
        ),
    };
    Some(Finding {
        owner: subject.entry.map(|entry| entry.purpose.owner.clone()),
        ..Finding::warning(
            Code::NeverApplied,
            subject.exclusion.at.clone(),
            message,
            help,
        )
    })
}
