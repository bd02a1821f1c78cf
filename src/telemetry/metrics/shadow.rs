//! What shadows found: counters for metrics, and for each pair of rule sets what the one would change of the other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::{Counter, Table};

/// Pairs of rule sets that are remembered: more than one configuration needs, and reloads without end must not fill the
/// memory.
const MOST_PAIRS: usize = 64;

/// What shadows found since the start.
#[derive(Debug, Default)]
pub struct ShadowMetrics {
    /// Requests by policy and [`ShadowOutcome::name`].
    pub requests: Table<String, Counter>,
    /// Requests in which a rule makes a difference, by policy, rule and [`RuleDifference`].
    pub rules: Table<(u64, RuleDifference), Counter>,
    /// Requests that no shadow saw because too many waited for one.
    pub dropped_queue: Counter,
    /// The same because of a fault of our own.
    pub dropped_internal: Counter,
    findings: Mutex<Vec<(ShadowPair, ShadowFindings)>>,
}

/// What became of a request that a shadow saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShadowOutcome {
    /// The same verdict by the same rules.
    Same,
    /// The same verdict, but other rules matched.
    OtherRules,
    /// Only the shadow stops it.
    NewlyBlocked,
    /// Only the policy stops it.
    NewlyAllowed,
    /// Both stop it, with other answers.
    AnsweredDifferently,
    /// The policy stopped it before its body was there, which the shadow would need.
    NotCompared,
}

/// How a rule makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleDifference {
    /// Because it matches in the shadow, the request is newly blocked.
    NewlyBlocked,
    /// Because it does not match in the shadow, the request is newly allowed.
    NewlyAllowed,
    /// Both stop the request with other answers, and it gives one of them.
    AnsweredDifferently,
    /// It matches in the shadow alone; the verdict is the same.
    OnlyShadow,
    /// It matches in the policy alone; the verdict is the same.
    OnlyLive,
}

/// A policy and its shadow, by the digests of their rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowPair {
    /// The policy's name.
    pub policy: String,
    /// Its rules.
    pub live: String,
    /// The rules of its shadow.
    pub shadow: String,
}

/// What a shadow would change.
#[derive(Debug, Clone)]
pub struct ShadowFindings {
    /// When its first request came.
    pub since: SystemTime,
    /// Requests.
    pub requests: BTreeMap<ShadowOutcome, u64>,
    /// The rules that make a difference.
    pub rules: BTreeMap<u64, RuleFindings>,
}

/// The requests in which a rule makes a difference.
#[derive(Debug, Clone, Default)]
pub struct RuleFindings {
    /// How many, by difference.
    pub requests: BTreeMap<RuleDifference, u64>,
    /// The id of the last one.
    pub last: String,
}

/// What a shadow made of one request.
#[derive(Debug)]
pub struct ShadowJudgement<'j> {
    /// The request's id.
    pub request_id: &'j str,
    /// The verdict beside the policy's.
    pub outcome: ShadowOutcome,
    /// The rules that make the difference.
    pub rules: Vec<(u64, RuleDifference)>,
}

impl ShadowOutcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Same,
        Self::OtherRules,
        Self::NewlyBlocked,
        Self::NewlyAllowed,
        Self::AnsweredDifferently,
        Self::NotCompared,
    ];

    /// The name in metrics and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::OtherRules => "other_rules",
            Self::NewlyBlocked => "newly_blocked",
            Self::NewlyAllowed => "newly_allowed",
            Self::AnsweredDifferently => "answered_differently",
            Self::NotCompared => "not_compared",
        }
    }
}

impl RuleDifference {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::NewlyBlocked,
        Self::NewlyAllowed,
        Self::AnsweredDifferently,
        Self::OnlyShadow,
        Self::OnlyLive,
    ];

    /// The name in metrics and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NewlyBlocked => "newly_blocked",
            Self::NewlyAllowed => "newly_allowed",
            Self::AnsweredDifferently => "answered_differently",
            Self::OnlyShadow => "only_shadow",
            Self::OnlyLive => "only_live",
        }
    }
}

impl ShadowMetrics {
    /// Counts a request.
    pub fn count(&self, pair: &ShadowPair, judgement: &ShadowJudgement<'_>) {
        let policy = &pair.policy;
        self.requests
            .with(policy, judgement.outcome.name(), Counter::count);
        for rule in &judgement.rules {
            self.rules.with(policy, rule, Counter::count);
        }
        // Every count is whole by itself, so a poisoned lock protects nothing half done.
        let mut all = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        // The pair that counted last is the last one, so that the first is the one to forget.
        let mut own = match all.iter().position(|(known, _)| known == pair) {
            Some(at) => all.remove(at),
            None => (pair.clone(), ShadowFindings::new()),
        };
        own.1.count(judgement);
        if all.len() >= MOST_PAIRS {
            all.remove(0);
        }
        all.push(own);
    }

    /// What this shadow would change; None if it has seen no request.
    #[must_use]
    pub fn findings(&self, pair: &ShadowPair) -> Option<ShadowFindings> {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        let found = findings.iter().find(|(known, _)| known == pair);
        found.map(|(_, findings)| findings.clone())
    }
}

impl ShadowFindings {
    fn new() -> Self {
        Self {
            since: SystemTime::now(),
            requests: BTreeMap::new(),
            rules: BTreeMap::new(),
        }
    }

    fn count(&mut self, judgement: &ShadowJudgement<'_>) {
        *self.requests.entry(judgement.outcome).or_default() += 1;
        for (rule, difference) in &judgement.rules {
            let rule = self.rules.entry(*rule).or_default();
            *rule.requests.entry(*difference).or_default() += 1;
            judgement.request_id.clone_into(&mut rule.last);
        }
    }

    /// How many requests had this outcome.
    #[must_use]
    pub fn of(&self, outcome: ShadowOutcome) -> u64 {
        self.requests.get(&outcome).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(shadow: usize) -> ShadowPair {
        ShadowPair {
            policy: "default".to_owned(),
            live: "a".to_owned(),
            shadow: shadow.to_string(),
        }
    }

    #[test]
    fn pairs_count_by_themselves_and_the_oldest_is_forgotten() {
        let metrics = ShadowMetrics::default();
        let count = |shadow, request_id| {
            let judgement = ShadowJudgement {
                request_id,
                outcome: ShadowOutcome::NewlyBlocked,
                rules: vec![(1, RuleDifference::NewlyBlocked)],
            };
            metrics.count(&pair(shadow), &judgement);
        };
        count(0, "x");
        count(1, "y");
        count(0, "z");
        let found = metrics.findings(&pair(0)).unwrap();
        assert_eq!(found.of(ShadowOutcome::NewlyBlocked), 2);
        assert_eq!(found.of(ShadowOutcome::Same), 0);
        assert_eq!(found.rules[&1].last, "z");
        for shadow in 2..=MOST_PAIRS {
            count(shadow, "x");
        }
        assert!(metrics.findings(&pair(1)).is_none());
        assert!(metrics.findings(&pair(0)).is_some());
    }
}
