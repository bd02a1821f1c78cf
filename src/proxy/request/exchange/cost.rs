//! Counts what rules matched and, in a request that was timed, what they cost.

use std::cmp::Reverse;

use super::Exchange;
use crate::events::RuleCost;
use crate::telemetry::{DEAREST, PolicyOnRoute, Verdict, WafFacts};
use waf::RuleTimes;

/// Rules in an event beside those that took longer than ever before.
const MOST_SHOWN: usize = 10;

impl Exchange {
    pub(super) fn count_matches(&self, waf: &WafFacts) {
        if let Some(at) = self.policy_on_route() {
            let blocked = waf.verdict == Verdict::Block;
            let rules = &self.front.metrics.waf_rules;
            rules.matched(at, &waf.rules, blocked);
        }
    }

    /// Counts how long rules took, if the request was timed. Returns the rules that took longest, the dearest first.
    pub(super) fn count_costs(&self) -> Vec<RuleCost> {
        let timed = self.inspector.as_ref().and_then(|inspector| {
            let times = inspector.transaction().rule_times()?;
            Some((inspector.time, times))
        });
        let (Some((time, times)), Some(at)) = (timed, self.policy_on_route()) else {
            return Vec::new();
        };
        let rules = &self.front.metrics.waf_rules;
        let worst = rules.timed(at, &self.id, time, times);
        costs(times, &worst)
    }

    fn policy_on_route(&self) -> Option<PolicyOnRoute<'_>> {
        let route = self.route.as_ref()?;
        Some(PolicyOnRoute {
            policy: &route.policy.name,
            route: &route.name,
        })
    }
}

fn costs(times: &RuleTimes, worst: &[u64]) -> Vec<RuleCost> {
    let mut rules = times.rules.clone();
    rules.sort_by_key(|rule| Reverse(rule.time));
    let costs = rules.iter().enumerate().map(|(place, rule)| {
        let cost = RuleCost {
            rule_id: rule.rule_id,
            us: rule.time.as_nanos() as f64 / 1000.0,
            is_worst: worst.contains(&rule.rule_id),
        };
        (place, cost)
    });
    costs
        .filter(|(place, cost)| *place < MOST_SHOWN || cost.is_worst)
        .map(|(_, cost)| cost)
        .take(DEAREST)
        .collect()
}
