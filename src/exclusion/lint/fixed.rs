//! What is wrong with exclusions whatever requests come: known from the rules alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use seclang::diagnostic::Severity;
use waf::{ExclusionKind, NamedBy, RuleSet};

use super::super::candidates::is_evaluation;
use super::finding::{Code, Finding, Other};
use super::{Known, Subject, rules_in_words, shortened, subjects};
use crate::counted::counted;

/// The findings that need no requests. `rules`: as the policy runs them.
#[must_use]
pub fn fixed(rules: &Arc<RuleSet>, known: &Known<'_>) -> Vec<Finding> {
    let subjects = subjects(rules, known);
    let order = Order::of(rules);
    let mut findings: Vec<Finding> = subjects
        .iter()
        .flat_map(|subject| {
            let found = fits_no_rule(subject);
            let found = found.into_iter().chain(too_late(subject, &order));
            let found = found.chain(applies_early(subject));
            found.chain(touches_blocking(subject, &order))
        })
        .collect();
    findings.extend(written_twice(&subjects));
    findings
}

/// When rules run, and what they are for.
pub(super) struct Order {
    /// Phase and place in load order of the rules that run.
    places: BTreeMap<u64, (u8, usize)>,
    /// The rules that block, and those that prepare or report it.
    evaluation: BTreeSet<u64>,
}

impl Order {
    pub(super) fn of(rules: &RuleSet) -> Self {
        let summaries = || rules.summaries().enumerate();
        // Removed ones too: the exclusion that removed one is what must be reported.
        let all = rules.summaries().chain(rules.removed().iter().cloned());
        let evaluation = all.filter(|rule| is_evaluation(rule.id, &rule.tags));
        Self {
            places: summaries()
                .map(|(place, rule)| (rule.id, (rule.phase, place)))
                .collect(),
            evaluation: evaluation.map(|rule| rule.id).collect(),
        }
    }

    /// Whether recorded requests, to which there are no answers, can show all its uses.
    pub(super) fn is_for_requests(&self, subject: &Subject<'_>) -> bool {
        let own = subject.exclusion.by.as_ref().map(|by| by.id);
        let mut rules = subject.exclusion.concerned.iter().copied().chain(own);
        rules.all(|rule| !self.is_of_answers(rule))
    }

    /// Whether recorded requests can show that its conditions hold, whatever the phase of the rules that it concerns.
    pub(super) fn is_decided_by_requests(&self, subject: &Subject<'_>) -> bool {
        let own = subject.exclusion.by.as_ref();
        own.is_some_and(|by| !self.is_of_answers(by.id))
    }

    fn is_of_answers(&self, rule: u64) -> bool {
        let place = self.places.get(&rule);
        place.is_some_and(|(phase, _)| matches!(phase, 3 | 4))
    }

    /// Whether all rules that it concerns have run before its own.
    pub(super) fn is_too_late(&self, subject: &Subject<'_>) -> bool {
        let own = subject.exclusion.by.as_ref();
        let Some(own) = own.and_then(|by| self.places.get(&by.id)) else {
            return false;
        };
        let concerned = subject.exclusion.concerned.iter();
        let mut places = concerned
            .filter_map(|rule| self.places.get(rule))
            .peekable();
        // Its own rule counts: it has begun already. `all` alone would hold of no rule.
        places.peek().is_some() && places.all(|place| place <= own)
    }
}

fn found(code: Code, subject: &Subject<'_>, message: String, help: &str) -> Finding {
    Finding {
        owner: subject.entry.map(|entry| entry.purpose.owner.clone()),
        ..Finding::warning(code, subject.exclusion.at.clone(), message, help)
    }
}

fn fits_no_rule(subject: &Subject<'_>) -> Option<Finding> {
    let exclusion = subject.exclusion;
    if exclusion.kind == ExclusionKind::Engine {
        return None;
    }
    if exclusion.rules.is_empty() {
        let message = format!("{} names no rule: it does nothing", subject.name());
        let help = match (exclusion.named_by, &exclusion.by) {
            (_, None) => {
                "`drawbridge rules list` shows the rules; a directive changes only rules that are loaded before it"
            }
            (NamedBy::Id | NamedBy::All, _) => {
                "`drawbridge rules list` shows the rules and their ids; remove it if the rule is gone"
            }
            (NamedBy::Tag, _) => {
                "a tag is a pattern; `drawbridge rules list --output json` shows the tags of each rule"
            }
            (NamedBy::Message, _) => {
                "a message is a pattern; `drawbridge rules list` shows the message of each rule"
            }
        };
        return Some(found(Code::FitsNoRule, subject, message, help));
    }
    let idle = exclusion
        .targets
        .iter()
        .filter(|target| !target.is_looked_at);
    let idle: Vec<String> = idle.map(ToString::to_string).collect();
    if idle.is_empty() {
        return None;
    }
    let who = match exclusion.rules.as_slice() {
        [rule] => format!("rule {rule} does not look"),
        rules => format!(
            "none of the {} that it names looks",
            counted(rules.len(), "rule")
        ),
    };
    let idle = shortened(&idle.join(", "));
    let message = format!("{} does nothing: {who} at {idle}", subject.name());
    let help = "name a variable that the rule looks at: `drawbridge rules explain` shows the one that matched";
    Some(found(Code::FitsNoRule, subject, message, help))
}

fn too_late(subject: &Subject<'_>, order: &Order) -> Option<Finding> {
    let by = subject.exclusion.by.as_ref()?;
    if !order.is_too_late(subject) {
        return None;
    }
    let concerned = rules_in_words(&subject.exclusion.concerned);
    let message = format!(
        "{} does nothing: its rule runs in phase {}, and {concerned} ran before it",
        subject.name(),
        by.phase as u8
    );
    let help = "write it with phase:1 in a file that is loaded before the rules that it names";
    Some(found(Code::TooLate, subject, message, help))
}

fn applies_early(subject: &Subject<'_>) -> Option<Finding> {
    let by = subject.exclusion.by.as_ref()?;
    if by.later_conditions == 0 {
        return None;
    }
    let all = by.conditions.len() + by.later_conditions;
    let message = format!(
        "{} holds as soon as {} of the chain's {all} conditions hold: the others come after it",
        subject.name(),
        by.conditions.len(),
    );
    let help = "write the ctl into the last rule of the chain";
    Some(found(Code::AppliesEarly, subject, message, help))
}

fn touches_blocking(subject: &Subject<'_>, order: &Order) -> Option<Finding> {
    let exclusion = subject.exclusion;
    let name = subject.name();
    let help = "exclude the rule that is wrong about the request: `drawbridge rules exclude REQUEST-ID` proposes how, and proves it";
    if exclusion.kind == ExclusionKind::Engine {
        let message = format!(
            "{name} lets every request pass that its rule matches, whatever other rules find"
        );
        return Some(found(Code::TouchesBlocking, subject, message, help));
    }
    let touched = exclusion.concerned.iter().copied();
    let touched: Vec<u64> = touched.filter(|id| order.evaluation.contains(id)).collect();
    if touched.is_empty() {
        return None;
    }
    let rules = rules_in_words(&touched);
    // The rules of this file only report scores.
    let blocks = touched.iter().any(|id| id / 1000 != 980);
    let (severity, what) = match (exclusion.kind, blocks) {
        (ExclusionKind::Actions, true) => {
            (Severity::Warning, "decides whether a request is blocked")
        }
        (_, true) => (
            Severity::Error,
            "blocks, or prepares it: without it what other rules find stops nothing",
        ),
        (_, false) => (Severity::Warning, "reports why a request was blocked"),
    };
    let verb = match exclusion.kind {
        ExclusionKind::Rules => "takes out",
        _ => "changes",
    };
    let message = format!("{name} {verb} {rules}, which {what}");
    Some(Finding {
        severity,
        ..found(Code::TouchesBlocking, subject, message, help)
    })
}

/// For each exclusion at most one other that makes it needless.
fn written_twice(subjects: &[Subject<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, subject) in subjects.iter().enumerate() {
        let is_needless_beside = |(other_at, other): &(usize, &Subject<'_>)| {
            let within = |one: &Subject<'_>, other: &Subject<'_>| {
                one.exclusion.is_within(other.exclusion) && lasts(other) >= lasts(one)
            };
            // Of two that are equal the later one is needless.
            *other_at != at && within(subject, other) && (*other_at < at || !within(other, subject))
        };
        // One that concerns no rule is of no use already, without another beside it.
        if subject.exclusion.concerned.is_empty() {
            continue;
        }
        let mut others = subjects.iter().enumerate();
        if let Some((_, other)) = others.find(is_needless_beside) {
            findings.push(twice(subject, other));
        }
    }
    findings
}

fn twice(subject: &Subject<'_>, other: &Subject<'_>) -> Finding {
    let at = &other.exclusion.at;
    let is_equal = other.exclusion.is_within(subject.exclusion);
    let relation = match is_equal {
        true => "does the same as",
        false => "does no more than",
    };
    let message = format!(
        "{} {relation} {} at {}:{}",
        subject.name(),
        other.name(),
        at.path.display(),
        at.line
    );
    let help = match (is_equal, subject.is_beside(other)) {
        (_, true) => "remove it",
        (true, false) => "keep one of them, and let its comments name everybody who needs it",
        (false, false) => {
            "remove it, or the wider one if nothing else needs that; tell its owner before"
        }
    };
    Finding {
        other: Some(Other {
            at: at.clone(),
            owner: other.entry.map(|entry| entry.purpose.owner.clone()),
        }),
        ..found(Code::WrittenTwice, subject, message, help)
    }
}

/// Until when it holds; None is the earliest, so one without an end is the latest there is.
fn lasts(subject: &Subject<'_>) -> SystemTime {
    let far = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40);
    let end = subject.entry.map(|entry| entry.purpose.until.end());
    end.unwrap_or(far)
}
