//! `/rules/shadow`: what the shadows of the policies would change. A summary is a part of `/status`, and `/metrics` counts it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::exposition::Exposition;
use super::router::{Request, Response, Router};
use crate::config::{Policy, Shadow};
use crate::live::Live;
use crate::telemetry::families;
use crate::telemetry::{
    Metrics, RuleDifference, RuleFindings, ShadowFindings, ShadowMetrics, ShadowOutcome, ShadowPair,
};
use crate::time::rfc3339;
use waf::RuleSet;

/// Adds `/rules/shadow`, and the parts of `/status` and `/metrics` about shadows.
pub fn add_shadow_routes(router: &mut Router, live: &Arc<Live>, metrics: &Arc<Metrics>) {
    let (seen, counted) = (Arc::clone(live), Arc::clone(metrics));
    router.section("shadows", move || {
        let snapshot = seen.pin();
        let shadows = shadows(snapshot.config.policies.values());
        let summaries = shadows.map(|(policy, shadow)| {
            let found = findings(&counted.shadow, policy, shadow);
            Value::Object(summary(policy, shadow, found.as_ref()))
        });
        Value::Array(summaries.collect())
    });
    let (seen, counted) = (Arc::clone(live), Arc::clone(metrics));
    router.get("/rules/shadow", move |_: Request| {
        let snapshot = seen.pin();
        let shadows = shadows(snapshot.config.policies.values());
        let reports = shadows.map(|(policy, shadow)| report(&counted.shadow, policy, shadow));
        let all = json!({
            "shadows": reports.collect::<Vec<_>>(),
            "dropped": {
                "queue": counted.shadow.dropped_queue.value(),
                "internal": counted.shadow.dropped_internal.value(),
            },
        });
        async move { Response::json(200, &all) }
    });
    let counted = Arc::clone(metrics);
    router.collect(move |text| collect(&counted.shadow, text));
}

fn shadows<'p>(
    policies: impl Iterator<Item = &'p Arc<Policy>>,
) -> impl Iterator<Item = (&'p Policy, &'p Shadow)> {
    policies.filter_map(|policy| Some((&**policy, policy.shadow.as_ref()?)))
}

/// None if it has seen no request.
fn findings(metrics: &ShadowMetrics, policy: &Policy, shadow: &Shadow) -> Option<ShadowFindings> {
    // By their digests: counts of other rules say nothing of the present ones.
    metrics.findings(&ShadowPair {
        policy: policy.name.clone(),
        live: policy.rules_digest.clone(),
        shadow: shadow.rules_digest.clone(),
    })
}

fn summary(policy: &Policy, shadow: &Shadow, found: Option<&ShadowFindings>) -> Map<String, Value> {
    let count = |outcome| found.map_or(0, |found| found.of(outcome));
    let outcomes = ShadowOutcome::ALL.into_iter();
    // A request whose body the policy never saw says nothing of either set.
    let compared = outcomes.filter(|outcome| *outcome != ShadowOutcome::NotCompared);
    let compared: u64 = compared.map(count).sum();
    let mut requests = Map::from_iter([("compared".to_owned(), json!(compared))]);
    for outcome in ShadowOutcome::ALL {
        requests.insert(outcome.name().to_owned(), json!(count(outcome)));
    }
    [
        ("policy", json!(policy.name)),
        ("sample", json!(shadow.sample)),
        ("rules_digest", json!(policy.rules_digest)),
        ("shadow_rules_digest", json!(shadow.rules_digest)),
        ("since", json!(found.map(|found| rfc3339(found.since)))),
        ("requests", Value::Object(requests)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect()
}

/// The summary, and the rules that make a difference: those that change most verdicts first.
fn report(metrics: &ShadowMetrics, policy: &Policy, shadow: &Shadow) -> Value {
    let found = findings(metrics, policy, shadow);
    let mut report = summary(policy, shadow, found.as_ref());
    let mut rules: Vec<(u64, RuleFindings)> = found
        .map(|found| found.rules.into_iter().collect())
        .unwrap_or_default();
    rules.sort_by_key(|(rule, found)| {
        let changed = |difference: &RuleDifference| {
            !matches!(
                difference,
                RuleDifference::OnlyShadow | RuleDifference::OnlyLive
            )
        };
        let counts = found.requests.iter();
        let verdicts: u64 = counts
            .clone()
            .filter(|(difference, _)| changed(difference))
            .map(|(_, count)| count)
            .sum();
        let all: u64 = counts.map(|(_, count)| count).sum();
        // What changes a verdict is read first; other matches may be hundreds.
        (Reverse(verdicts), Reverse(all), *rule)
    });
    // A rule that only one side has must have its message too.
    let messages = messages(policy.rules.live().into_iter().chain([&shadow.rules]));
    let rules = rules.iter().map(|(rule, found)| {
        let mut row = Map::from_iter([
            ("rule_id".to_owned(), json!(rule)),
            ("message".to_owned(), json!(messages.get(rule))),
        ]);
        for difference in RuleDifference::ALL {
            let count = found.requests.get(&difference).copied();
            row.insert(
                difference.name().to_owned(),
                json!(count.unwrap_or_default()),
            );
        }
        row.insert("last_request_id".to_owned(), json!(found.last));
        Value::Object(row)
    });
    report.insert("rules".to_owned(), rules.collect());
    Value::Object(report)
}

/// The `msg` of each rule; that of the last set counts.
fn messages<'r>(sets: impl Iterator<Item = &'r Arc<RuleSet>>) -> BTreeMap<u64, String> {
    let summaries = sets.flat_map(|rules| rules.summaries());
    summaries.map(|rule| (rule.id, rule.message)).collect()
}

fn collect(shadow: &ShadowMetrics, text: &mut Exposition) {
    text.family(&families::SHADOW_REQUESTS);
    shadow.requests.each(|policy, outcome, counter| {
        text.sample(&[policy, outcome], counter.value());
    });
    text.family(&families::SHADOW_RULE_DIFFERENCES);
    shadow.rules.each(|policy, (rule, difference), counter| {
        let rule = rule.to_string();
        text.sample(&[policy, &rule, difference.name()], counter.value());
    });
    text.family(&families::SHADOW_DROPPED)
        .sample(&["queue"], shadow.dropped_queue.value())
        .sample(&["internal"], shadow.dropped_internal.value());
}
