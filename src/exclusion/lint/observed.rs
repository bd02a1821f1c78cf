//! What recorded requests show of exclusions and rules.
//!
//! Each request runs as the rules are, and, if exclusions kept anything back, without those that did.
//! The rules only detect then, so that nothing ends a request early and all rules have their say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use waf::{RuleSet, Transaction, Use, Watched};

use super::super::scope::Scope;
use super::super::target::Target;
use crate::counted::counted;
use crate::judgement::judge_request;
use crate::recorded::{Framing, Request};

/// Different uses, and different scopes, of one exclusion that are told apart. A client chooses how many there are.
const MOST_USES: usize = 64;
const MOST_SCOPES: usize = 3;

/// What was seen of all rules in some requests.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// How many requests the rules saw.
    pub requests: usize,
    /// What was seen of each exclusion, by its place in the rule set.
    pub exclusions: Vec<Seen>,
    /// The rules that matched, by their places in the rule set.
    pub(super) matched: BTreeSet<usize>,
    /// How long each rule ran, by the same places.
    pub(super) time: Vec<Duration>,
}

/// What was seen of one exclusion.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Requests in which its conditions held.
    pub held: usize,
    /// Requests in which a rule would have matched without it, or without those beside it that do the same.
    pub used: usize,
    /// Those among them that would have been stopped.
    pub saved: usize,
    /// The matches that it prevented: the rule, and what it would have matched if an exclusion can name that.
    pub(super) uses: BTreeMap<(u64, Option<Vec<u8>>), usize>,
    /// The requests that it was used for.
    pub(super) scopes: Vec<Scope>,
    /// There are more uses or scopes than are told apart.
    pub(super) has_more_uses: bool,
    pub(super) has_more_scopes: bool,
}

/// The requests that a finding is about.
#[derive(Debug, Clone, Copy)]
pub struct Evidence {
    /// How many.
    pub requests: usize,
    /// From the first one to now; None if their time is unknown.
    pub time: Option<Duration>,
}

impl Evidence {
    /// `12480 recorded requests of 7 days`
    #[must_use]
    pub fn words(&self) -> String {
        let requests = counted(self.requests, "recorded request");
        let seconds = self.time.map(|time| time.as_secs());
        match seconds {
            None => requests,
            Some(seconds @ ..7200) => format!("{requests} of {}", counted(seconds / 60, "minute")),
            Some(seconds @ ..172_800) => format!("{requests} of {} hours", seconds / 3600),
            Some(seconds) => format!("{requests} of {} days", seconds / 86_400),
        }
    }
}

impl Observed {
    /// Runs a request through these rules, which only detect. Without effect where HTTP forbids the request.
    pub fn see(&mut self, rules: &Arc<RuleSet>, request: &Request) {
        // A request that was cut may match otherwise, and show a use that there never was.
        let is_whole = request.framing() == Framing::Whole;
        let Some(as_is) = is_whole.then(|| run(rules, request, &[])).flatten() else {
            return;
        };
        self.requests += 1;
        self.exclusions
            .resize_with(rules.exclusions().len(), Seen::default);
        for place in as_is.exclusions() {
            if let Some(seen) = self.exclusions.get_mut(place) {
                seen.held += 1;
            }
        }
        let Some(watched) = as_is.watched() else {
            return;
        };
        self.matched.extend(&watched.matched);
        self.add_time(watched);
        if watched.kept_back.is_empty() {
            return;
        }
        let Some(without) = run_without(rules, request, watched.kept_back.clone()) else {
            return;
        };
        // Used and saved differ: most matches only add to a score that stays below its threshold.
        let is_saved = as_is.detection().is_none() && without.detection().is_some();
        let uses = without.watched().map_or(&[][..], |watched| &watched.uses);
        self.add_uses(uses, request, is_saved);
    }

    fn add_time(&mut self, watched: &Watched) {
        let longest = self.time.len().max(watched.time.len());
        self.time.resize(longest, Duration::ZERO);
        for (sum, time) in self.time.iter_mut().zip(&watched.time) {
            *sum += *time;
        }
    }

    fn add_uses(&mut self, uses: &[Use], request: &Request, is_saved: bool) {
        let places: BTreeSet<usize> = uses.iter().map(|found| found.exclusion).collect();
        for place in places {
            let Some(seen) = self.exclusions.get_mut(place) else {
                continue;
            };
            seen.used += 1;
            seen.saved += usize::from(is_saved);
            seen.add_scope(Scope::of(request));
            for found in uses.iter().filter(|found| found.exclusion == place) {
                seen.add_use((found.rule_id, found.variable.clone()), 1);
            }
        }
    }

    /// Adds what was seen in other requests of the same rules.
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        let longest = self.exclusions.len().max(other.exclusions.len());
        self.exclusions.resize_with(longest, Seen::default);
        for (seen, other) in self.exclusions.iter_mut().zip(other.exclusions) {
            seen.add(other);
        }
        self.matched.extend(other.matched);
        self.add_time(&Watched {
            time: other.time,
            ..Watched::default()
        });
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.held += other.held;
        self.used += other.used;
        self.saved += other.saved;
        self.has_more_uses |= other.has_more_uses;
        self.has_more_scopes |= other.has_more_scopes;
        for (found, count) in other.uses {
            self.add_use(found, count);
        }
        for scope in other.scopes {
            self.add_scope(scope);
        }
    }

    fn add_use(&mut self, found: (u64, Option<Vec<u8>>), count: usize) {
        if self.uses.len() >= MOST_USES && !self.uses.contains_key(&found) {
            self.has_more_uses = true;
            return;
        }
        *self.uses.entry(found).or_default() += count;
    }

    fn add_scope(&mut self, scope: Scope) {
        if self.scopes.contains(&scope) {
            return;
        }
        match self.scopes.len() < MOST_SCOPES {
            true => self.scopes.push(scope),
            false => self.has_more_scopes = true,
        }
    }

    /// The rules that it kept from matching.
    pub(super) fn rules(&self) -> Vec<u64> {
        let rules: BTreeSet<u64> = self.uses.keys().map(|(rule, _)| *rule).collect();
        rules.into_iter().collect()
    }

    /// What the rules would have matched; None if an exclusion cannot name some of it.
    pub(super) fn targets(&self) -> Option<Vec<(u64, Target)>> {
        let uses = self.uses.keys();
        uses.map(|(rule, variable)| Some((*rule, Target::of(variable.as_deref()?)?)))
            .collect()
    }
}

/// The request without these exclusions, and without those that hold back the same once these do not.
fn run_without(
    rules: &Arc<RuleSet>,
    request: &Request,
    mut without: Vec<usize>,
) -> Option<Transaction> {
    loop {
        let transaction = run(rules, request, &without)?;
        let kept_back = transaction.watched().map(|watched| &watched.kept_back);
        let kept_back = kept_back.into_iter().flatten().copied();
        let more: Vec<usize> = kept_back.filter(|place| !without.contains(place)).collect();
        // Each turn leaves out one exclusion more at least, so the turns end.
        match more.is_empty() {
            true => return Some(transaction),
            false => without.extend(more),
        }
    }
}

/// Phases 1, 2 and 5 of a request without these exclusions; None if HTTP forbids it.
fn run(rules: &Arc<RuleSet>, request: &Request, without: &[usize]) -> Option<Transaction> {
    let mut transaction = request.begin(rules, "lint")?;
    transaction.watch(without);
    judge_request(&mut transaction, request.body());
    Some(transaction)
}
