//! What rules did and what they cost: by policy, and by policy and route.
//!
//! Names come from the configurations that ran, and rows of removed routes and rules stay, so their number is bounded:
//! reloads without end must not fill the memory. Hits are counted under a read lock, so that requests do not wait for each
//! other; only a timed request, one in many, takes the write lock.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::Counter;
use waf::RuleTimes;

/// Rows of rules of all policies: far more than one configuration needs.
const MOST_ROWS: usize = 20_000;
/// The same by route.
const MOST_ROUTE_ROWS: usize = 50_000;
/// Of so many rules of a policy, the dearest, the dearest request is known.
pub const DEAREST: usize = 50;

/// The rules of all policies.
#[derive(Debug, Default)]
pub struct RuleTable {
    rows: RwLock<Rows>,
    uncounted: Counter,
}

#[derive(Debug, Default)]
struct Rows {
    policies: BTreeMap<String, PolicyRows>,
    /// How many there are of rules, and of rules by route.
    count: usize,
    route_count: usize,
}

#[derive(Debug, Default)]
struct PolicyRows {
    all: Scope,
    routes: BTreeMap<String, Scope>,
}

/// The rules of a policy, on all routes or on one.
#[derive(Debug, Default)]
struct Scope {
    rules: BTreeMap<u64, Row>,
    /// Requests that were timed.
    timed: u64,
    /// Of those, the time in the engine.
    time: Duration,
    prefilter: Duration,
}

#[derive(Debug, Default)]
struct Row {
    hits: Counter,
    blocks: Counter,
    /// Timed requests in which it ran.
    runs: u64,
    time: Duration,
    most: Duration,
    /// The request that took [`Row::most`], where it is known.
    worst: Option<Worst>,
}

#[derive(Debug, Clone)]
struct Worst {
    request_id: Arc<str>,
    route: Arc<str>,
}

/// Where a request was inspected.
#[derive(Debug, Clone, Copy)]
pub struct PolicyOnRoute<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// The route's name.
    pub route: &'a str,
}

/// What is known of the rules of a policy, on all routes or on one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleReport {
    /// Requests that were timed.
    pub timed: u64,
    /// Of those, the time in the engine.
    pub time: Duration,
    /// The part of it in the prefilter.
    pub prefilter: Duration,
    /// By their ids.
    pub rules: Vec<ReportedRule>,
}

/// What is known of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRule {
    /// The rule's id; 0 for all rules without one.
    pub rule_id: u64,
    /// Requests that it matched and that it logged.
    pub hits: u64,
    /// Those of them that were blocked.
    pub blocks: u64,
    /// Timed requests in which it ran.
    pub runs: u64,
    /// How long it ran in all timed requests.
    pub time: Duration,
    /// How long it ran in the request in which it ran longest.
    pub most: Duration,
    /// The id of that request, if it was on this route and the rule was one of the dearest.
    pub worst: Option<Arc<str>>,
}

impl RuleReport {
    /// The time that neither the prefilter nor a rule took: heads and bodies were parsed, records written.
    #[must_use]
    pub fn other(&self) -> Duration {
        let rules: Duration = self.rules.iter().map(|rule| rule.time).sum();
        self.time.saturating_sub(self.prefilter + rules)
    }

    /// The dearest rules that ran in a timed request, the dearest first.
    #[must_use]
    pub fn dearest(&self, most: usize) -> Vec<&ReportedRule> {
        let mut rules: Vec<_> = self.rules.iter().filter(|rule| rule.runs > 0).collect();
        rules.sort_by_key(|rule| (std::cmp::Reverse(rule.time), rule.rule_id));
        rules.truncate(most);
        rules
    }
}

impl RuleTable {
    /// Counts a request that matched these rules.
    pub fn matched(&self, at: PolicyOnRoute<'_>, rules: &[u64], blocked: bool) {
        if rules.is_empty() {
            return;
        }
        let count = |row: &Row| {
            row.hits.count();
            row.blocks.add(u64::from(blocked));
        };
        {
            // In a block of its own: who holds this lock cannot take the one below.
            let rows = self.read();
            if rows.are_settled(at, rules) {
                let counted = rows
                    .scopes(at)
                    .flat_map(|scope| rules.iter().filter_map(move |rule| scope.rules.get(rule)))
                    .inspect(|row| count(row))
                    .count();
                // Each rule has two rows, that of all routes and that of this one.
                return self.miss((rules.len() * 2).saturating_sub(counted));
            }
        }
        // Another thread may have added them since the read lock was dropped; then these are the same rows.
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let mut missing = 0;
        for &rule in rules {
            for part in [Part::All, Part::Route] {
                let counted = rows.with_row(at, part, rule, |row| count(row));
                missing += usize::from(counted.is_none());
            }
        }
        self.miss(missing);
    }

    fn miss(&self, rows: usize) {
        self.uncounted.add(rows as u64);
    }

    /// Matches that found no row and no room, those of all routes and those of one.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        self.uncounted.value()
    }

    /// Shows the rules that matched on a route: policy, route, rule, matches and how many of them were blocked.
    pub fn each_on_routes(&self, mut see: impl FnMut(&str, &str, u64, (u64, u64))) {
        let rows = self.read();
        for (policy, rows) in &rows.policies {
            for (route, scope) in &rows.routes {
                for (&rule, row) in &scope.rules {
                    let counts = (row.hits.value(), row.blocks.value());
                    if counts.0 > 0 {
                        see(policy, route, rule, counts);
                    }
                }
            }
        }
    }

    /// Counts a request that was timed; `time` is all that it spent in the engine. Returns those of the dearest rules that
    /// took longer in it than in any request before.
    pub fn timed(
        &self,
        at: PolicyOnRoute<'_>,
        request_id: &str,
        time: Duration,
        times: &RuleTimes,
    ) -> Vec<u64> {
        // Rows are only inserted and counted up, so a poisoned lock protects nothing half done.
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for part in [Part::All, Part::Route] {
            if let Some(scope) = rows.scope(at, part) {
                scope.timed += 1;
                scope.time += time;
                scope.prefilter += times.prefilter;
            }
        }
        let mut longest = Vec::new();
        for run in &times.rules {
            let count = |row: &mut Row| {
                row.runs += 1;
                row.time += run.time;
                // The first run may be too short for the clock.
                let is_longest = row.runs == 1 || run.time > row.most;
                row.most = row.most.max(run.time);
                is_longest
            };
            if rows.with_row(at, Part::All, run.rule_id, count) == Some(true) {
                longest.push(run.rule_id);
            }
            rows.with_row(at, Part::Route, run.rule_id, count);
        }
        rows.scope(at, Part::All)
            .map(|scope| scope.note_worst(longest, request_id, at.route))
            .unwrap_or_default()
    }

    /// The policies that have rows, in order.
    #[must_use]
    pub fn policies(&self) -> Vec<String> {
        self.read().policies.keys().cloned().collect()
    }

    /// What is known of a policy's rules, on all routes or on this one.
    #[must_use]
    pub fn report(&self, policy: &str, route: Option<&str>) -> Option<RuleReport> {
        let rows = self.read();
        let rows = rows.policies.get(policy)?;
        match route {
            None => Some(rows.all.report(|worst| Some(&worst.request_id))),
            Some(route) => {
                let mut report = rows.routes.get(route)?.report(|_| None);
                // The dearest requests are known by policy.
                for rule in &mut report.rules {
                    let of_policy = rows.all.rules.get(&rule.rule_id);
                    let worst = of_policy.and_then(|row| row.worst.as_ref());
                    rule.worst = worst
                        .filter(|worst| *worst.route == *route)
                        .map(|worst| Arc::clone(&worst.request_id));
                }
                Some(report)
            }
        }
    }

    /// Whether there is no room for new rules, or for new rules of a route, so that some may not be counted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let rows = self.read();
        [Part::All, Part::Route]
            .iter()
            .any(|part| !rows.fits(*part))
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which rows of a policy: those of all routes, or of the request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Route,
}

impl Rows {
    /// The two scopes of a request, where they are there.
    fn scopes(&self, at: PolicyOnRoute<'_>) -> impl Iterator<Item = &Scope> {
        let policy = self.policies.get(at.policy);
        let route = policy.and_then(|rows| rows.routes.get(at.route));
        policy.map(|rows| &rows.all).into_iter().chain(route)
    }

    /// Whether no row of these rules can be added: all are there, or there is no room.
    fn are_settled(&self, at: PolicyOnRoute<'_>, rules: &[u64]) -> bool {
        let policy = self.policies.get(at.policy);
        let route = policy.and_then(|rows| rows.routes.get(at.route));
        let knows = |scope: &Scope| rules.iter().all(|rule| scope.rules.contains_key(rule));
        (!self.fits(Part::All) || policy.is_some_and(|rows| knows(&rows.all)))
            && (!self.fits(Part::Route) || route.is_some_and(knows))
    }

    /// None if there are too many. A scope counts as a row, because names without a rule need memory too.
    fn scope(&mut self, at: PolicyOnRoute<'_>, part: Part) -> Option<&mut Scope> {
        let fits = self.fits(part);
        if !self.policies.contains_key(at.policy) {
            // `Part::All` comes first, so there was no room for it.
            if !fits || part == Part::Route {
                return None;
            }
            self.count += 1;
        }
        let rows = self.policies.entry(at.policy.to_owned()).or_default();
        if part == Part::All {
            return Some(&mut rows.all);
        }
        if !rows.routes.contains_key(at.route) {
            if !fits {
                return None;
            }
            self.route_count += 1;
        }
        Some(rows.routes.entry(at.route.to_owned()).or_default())
    }

    /// Does something with a row; adds it if it is missing, unless there are too many.
    fn with_row<T>(
        &mut self,
        at: PolicyOnRoute<'_>,
        part: Part,
        rule: u64,
        with: impl FnOnce(&mut Row) -> T,
    ) -> Option<T> {
        let fits = self.fits(part);
        let scope = self.scope(at, part)?;
        if let Some(row) = scope.rules.get_mut(&rule) {
            return Some(with(row));
        }
        if !fits {
            return None;
        }
        let result = with(scope.rules.entry(rule).or_default());
        match part {
            Part::All => self.count += 1,
            Part::Route => self.route_count += 1,
        }
        Some(result)
    }

    fn fits(&self, part: Part) -> bool {
        match part {
            Part::All => self.count < MOST_ROWS,
            Part::Route => self.route_count < MOST_ROUTE_ROWS,
        }
    }
}

impl Scope {
    /// Notes the request for those of these rules that are among the dearest, and returns them. The dearest request of
    /// another rule is no longer known, because it is this one and nobody keeps it.
    fn note_worst(&mut self, longest: Vec<u64>, request_id: &str, route: &str) -> Vec<u64> {
        if longest.is_empty() {
            return longest;
        }
        let least = self.time_of_last_dearest();
        let worst = Worst {
            request_id: request_id.into(),
            route: route.into(),
        };
        let mut noted = longest;
        noted.retain(|rule| {
            let Some(row) = self.rules.get_mut(rule) else {
                return false;
            };
            let is_dear = row.time >= least;
            row.worst = is_dear.then(|| worst.clone());
            is_dear
        });
        noted
    }

    /// How long a rule must have taken to be among the dearest.
    fn time_of_last_dearest(&self) -> Duration {
        let mut times: Vec<Duration> = self.rules.values().map(|row| row.time).collect();
        if times.len() <= DEAREST {
            return Duration::ZERO;
        }
        // Requests wait for the lock meanwhile, and only one place of the order is asked for.
        let (_, last, _) = times.select_nth_unstable_by(DEAREST - 1, |a, b| b.cmp(a));
        *last
    }

    fn report<'s>(&'s self, worst: impl Fn(&'s Worst) -> Option<&'s Arc<str>>) -> RuleReport {
        let rules = self.rules.iter().map(|(&rule_id, row)| ReportedRule {
            rule_id,
            hits: row.hits.value(),
            blocks: row.blocks.value(),
            runs: row.runs,
            time: row.time,
            most: row.most,
            worst: row.worst.as_ref().and_then(&worst).map(Arc::clone),
        });
        RuleReport {
            timed: self.timed,
            time: self.time,
            prefilter: self.prefilter,
            rules: rules.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
