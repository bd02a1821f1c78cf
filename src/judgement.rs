//! What a rule set makes of a request, and how two rule sets differ in it.
//!
//! A replay compares so offline, and a shadow in a running front door.

use waf::{Interruption, InterruptionKind, Phase, Transaction};

/// What a rule set made of a request.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// What stops the request, or would stop it in mode `block`.
    pub(crate) interruption: Option<Interruption>,
    /// The rules that matched and log, with the variable.
    pub(crate) matches: Vec<Match>,
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) rule: u64,
    variable: Vec<u8>,
    /// Whether it can be why a score is higher: it does not end the transaction itself, and runs before the logging
    /// phase, where the CRS only reports scores.
    contributes: bool,
}

/// How the verdict of a candidate differs from that of the live rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DifferenceKind {
    NewlyBlocked,
    NewlyAllowed,
    /// Both block, with other answers.
    AnsweredDifferently,
}

/// Runs the phases that a request has without an answer. As in the proxy, after an interruption only the logging phase
/// runs.
pub(crate) fn judge_request(transaction: &mut Transaction, body: &[u8]) {
    if transaction.request_headers_done().is_none() {
        transaction.request_body(body);
    }
    transaction.finish();
}

impl Judgement {
    /// Of all phases that ran.
    pub(crate) fn of(transaction: &Transaction) -> Self {
        Self {
            interruption: transaction.interruption().cloned(),
            matches: matches_in(transaction, |_| true),
        }
    }

    /// Of the phases before the answer. In mode `detect`, what would have stopped the request counts as if it had.
    pub(crate) fn of_request(transaction: &Transaction) -> Self {
        let is_of_request = |phase| phase <= Phase::RequestBody;
        let detected = || {
            transaction.detection().map(|found| Interruption {
                kind: InterruptionKind::Deny,
                status: found.status,
                rule_id: found.rule_id,
                phase: found.phase,
            })
        };
        let interruption = transaction.interruption().cloned().or_else(detected);
        Self {
            interruption: interruption.filter(|found| is_of_request(found.phase)),
            matches: matches_in(transaction, is_of_request),
        }
    }

    /// The matches that the other does not have.
    pub(crate) fn matches_not_in<'j>(&'j self, other: &'j Self) -> Vec<&'j Match> {
        only_in(self.matches.iter(), other.matches.iter(), |found, known| {
            found.rule == known.rule && found.variable == known.variable
        })
    }

    /// The rules that matched, each once.
    pub(crate) fn rules(&self) -> Vec<u64> {
        once(self.matches.iter().map(|found| found.rule).collect())
    }
}

fn matches_in(transaction: &Transaction, wanted: impl Fn(Phase) -> bool) -> Vec<Match> {
    let matched = transaction.matched_rules().iter();
    let matched = matched.filter(|found| wanted(found.phase));
    let matches = matched.map(|found| Match {
        rule: found.rule_id,
        variable: found.variable.clone(),
        // The rule that compares scores stops nearly everything; why is said by those that scored.
        contributes: !found.interrupting && found.phase != Phase::Logging,
    });
    matches.collect()
}

impl DifferenceKind {
    /// As JSON and metrics have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NewlyBlocked => "newly_blocked",
            Self::NewlyAllowed => "newly_allowed",
            Self::AnsweredDifferently => "answered_differently",
        }
    }

    /// None if both give the same answer.
    pub(crate) fn between(candidate: &Judgement, live: &Judgement) -> Option<Self> {
        let answer = |judgement: &Judgement| {
            let interruption = judgement.interruption.as_ref();
            // Not the rule: a client cannot tell which one stopped it.
            interruption.map(|ended| (ended.kind.clone(), ended.status))
        };
        match (answer(candidate), answer(live)) {
            (Some(_), None) => Some(Self::NewlyBlocked),
            (None, Some(_)) => Some(Self::NewlyAllowed),
            (Some(one), Some(other)) if one != other => Some(Self::AnsweredDifferently),
            _ => None,
        }
    }

    /// The rules that make the difference; sorted.
    pub(crate) fn causes(self, candidate: &Judgement, live: &Judgement) -> Vec<u64> {
        match self {
            Self::NewlyAllowed => causes(live, candidate),
            Self::NewlyBlocked => causes(candidate, live),
            Self::AnsweredDifferently => both_causes(candidate, live),
        }
    }
}

/// What `one` has and `other` has not. Each item of `other` stands for one item that is the same.
pub(crate) fn only_in<'i, T>(
    one: impl Iterator<Item = &'i T>,
    other: impl Iterator<Item = &'i T>,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<&'i T> {
    let mut left: Vec<&T> = other.collect();
    let mut only = Vec::new();
    for item in one {
        match left.iter().position(|known| same(item, known)) {
            // Each stands for one: a rule that matched twice there and once here is a difference.
            Some(at) => drop(left.swap_remove(at)),
            None => only.push(item),
        }
    }
    only
}

/// Why `blocking` stops what `passing` lets through: the rules that only it matched, or else the one that stops it.
fn causes(blocking: &Judgement, passing: &Judgement) -> Vec<u64> {
    let only = blocking.matches_not_in(passing).into_iter();
    let mut rules: Vec<u64> = only.filter(|m| m.contributes).map(|m| m.rule).collect();
    // Both matched the same and weigh it differently: another threshold, or another mode of a rule.
    if rules.is_empty() {
        rules.extend(blocking.interruption.as_ref().map(|ended| ended.rule_id));
    }
    once(rules)
}

/// The rules that answer.
fn both_causes(candidate: &Judgement, live: &Judgement) -> Vec<u64> {
    let both = [candidate, live].into_iter();
    let rules = both.filter_map(|judgement| Some(judgement.interruption.as_ref()?.rule_id));
    once(rules.collect())
}

/// Sorted, each once.
fn once(mut rules: Vec<u64>) -> Vec<u64> {
    rules.sort_unstable();
    rules.dedup();
    rules
}
