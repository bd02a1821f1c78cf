//! Metrics and status of requests by listener, route, policy and rule, and of upstreams and their servers.
//!
//! Every label is a name of the configuration or a code, so nobody outside can add time series.

use serde_json::{Map, Value, json};

use super::exposition::{Exposition, MetricKind};
use crate::live::Snapshot;
use crate::telemetry::{DEAREST, Metrics, RuleReport, UpstreamMetrics};
use crate::upstream::{AdmissionReason, Availability, Cause, Pool, ServerState};

pub(super) fn collect(metrics: &Metrics, text: &mut Exposition) {
    use MetricKind::Counter;
    text.family(
        "listener_requests_total",
        Counter,
        "Requests by listener, route (- is none) and the class of their answer.",
    );
    metrics.requests.each(|listener, route, answers| {
        for (class, count) in answers.each() {
            let labels = [
                ("listener", listener),
                ("route", route.as_str()),
                ("code_class", class),
            ];
            text.sample(&labels, count);
        }
    });
    text.family(
        "waf_requests_total",
        Counter,
        "Inspected requests by policy and what the rules said: pass, match or block.",
    );
    metrics.waf_requests.each(|policy, action, counter| {
        let labels = [("policy", policy), ("action", action.as_str())];
        text.sample(&labels, counter.value());
    });
    text.family(
        "waf_not_inspected_total",
        Counter,
        "Requests and responses whose body the rules did not see completely, by reason.",
    );
    metrics.waf_not_inspected.each(|part, reason, counter| {
        let labels = [("part", part), ("reason", reason.as_str())];
        text.sample(&labels, counter.value());
    });
    text.family(
        "waf_rule_matches_total",
        Counter,
        "Requests that matched a logged rule, by policy and rule.",
    );
    let reports = metrics.waf_rules.policies().into_iter();
    let reports: Vec<(String, RuleReport)> = reports
        .filter_map(|policy| {
            let report = metrics.waf_rules.report(&policy, None)?;
            Some((policy, report))
        })
        .collect();
    for (policy, report) in &reports {
        for rule in report.rules.iter().filter(|rule| rule.hits > 0) {
            let labels = [
                ("policy", policy.as_str()),
                ("rule_id", &rule.rule_id.to_string()),
            ];
            text.sample(&labels, rule.hits);
        }
    }
    collect_costs(&reports, text);
}

fn collect_costs(reports: &[(String, RuleReport)], text: &mut Exposition) {
    text.family(
        "waf_timed_requests_total",
        MetricKind::Counter,
        "Requests whose rules were timed (cost_sample), by policy.",
    );
    for (policy, report) in reports {
        text.sample(&[("policy", policy)], report.timed);
    }
    text.family(
        "waf_rule_cpu_seconds_total",
        MetricKind::Counter,
        "Time in the timed requests, by policy and rule: the dearest rules, the prefilter and all other work of the engine.",
    );
    for (policy, report) in reports.iter().filter(|(_, report)| report.timed > 0) {
        let dearest = report.dearest(DEAREST).into_iter();
        let rules = dearest.map(|rule| (rule.rule_id.to_string(), rule.time));
        let parts = [("prefilter", report.prefilter), ("other", report.other())];
        let parts = parts.map(|(name, time)| (name.to_owned(), time));
        for (rule, time) in rules.chain(parts) {
            let labels = [("policy", policy.as_str()), ("rule_id", &rule)];
            text.sample(&labels, time.as_secs_f64());
        }
    }
}

pub(super) fn collect_upstreams(snapshot: &Snapshot, text: &mut Exposition) {
    use MetricKind::{Counter, Gauge};
    let pools: Vec<&Pool> = snapshot.pools.iter().map(AsRef::as_ref).collect();
    text.family(
        "upstream_requests_total",
        Counter,
        "Answers of upstreams by the class of their status.",
    );
    for pool in &pools {
        for (class, count) in pool
            .metrics
            .answers
            .each()
            // An upstream that did not answer counts as a failure below, by its cause.
            .filter(|(class, _)| *class != "none")
        {
            let labels = [
                ("upstream", pool.upstream.name.as_str()),
                ("code_class", class),
            ];
            text.sample(&labels, count);
        }
    }
    text.family(
        "upstream_failures_total",
        Counter,
        "Failed tries to reach an upstream, by cause.",
    );
    for pool in &pools {
        for cause in Cause::ALL {
            let labels = [
                ("upstream", pool.upstream.name.as_str()),
                ("reason", cause.code()),
            ];
            text.sample(&labels, pool.metrics.failures.value(cause as usize));
        }
    }
    text.family(
        "upstream_refused_total",
        Counter,
        "503 because an upstream takes no more requests now, by code.",
    );
    for pool in &pools {
        for (code, count) in refusals(&pool.metrics) {
            let labels = [("upstream", pool.upstream.name.as_str()), ("reason", code)];
            text.sample(&labels, count);
        }
    }
    for (name, kind, help, value) in UPSTREAM_FAMILIES {
        text.family(name, kind, help);
        for pool in &pools {
            text.sample(&[("upstream", &pool.upstream.name)], value(&pool.metrics));
        }
    }
    for (name, help, value) in SERVER_FAMILIES {
        text.family(name, Gauge, help);
        for pool in &pools {
            for server in pool.servers().iter() {
                let labels = [
                    ("upstream", pool.upstream.name.as_str()),
                    ("server", server.name.as_str()),
                ];
                text.sample(&labels, value(server));
            }
        }
    }
}

/// Name, type, help and value of a family by upstream.
type UpstreamFamily = (
    &'static str,
    MetricKind,
    &'static str,
    fn(&UpstreamMetrics) -> u64,
);

const UPSTREAM_FAMILIES: [UpstreamFamily; 5] = [
    (
        "upstream_requests_in_flight",
        MetricKind::Gauge,
        "Requests under way to an upstream, streams included.",
        |m| m.in_flight.value(),
    ),
    (
        "upstream_requests_pending",
        MetricKind::Gauge,
        "Requests that wait for one of max_connections.",
        |m| m.pending.value(),
    ),
    (
        "upstream_retries_total",
        MetricKind::Counter,
        "Attempts after the first one of a request.",
        |m| m.retries.value(),
    ),
    (
        "upstream_ejections_total",
        MetricKind::Counter,
        "Servers that were ejected because requests to them failed.",
        |m| m.ejections.value(),
    ),
    (
        "upstream_health_check_failures_total",
        MetricKind::Counter,
        "Health checks that failed.",
        |m| m.health_failures.value(),
    ),
];

/// Name, help and value of a gauge by upstream and server.
type ServerFamily = (&'static str, &'static str, fn(&ServerState) -> usize);

const SERVER_FAMILIES: [ServerFamily; 3] = [
    (
        "upstream_server_up",
        "1 unless a server's health checks failed.",
        |server| usize::from(server.availability() != Availability::Down),
    ),
    (
        "upstream_server_ejected",
        "1 while a server is ejected because requests to it failed.",
        |server| usize::from(server.availability() == Availability::Ejected),
    ),
    (
        "upstream_server_requests_in_flight",
        "Requests that a server has now.",
        ServerState::in_flight,
    ),
];

/// How many requests an upstream refused, by the code of the answer.
fn refusals(metrics: &UpstreamMetrics) -> [(&'static str, u64); 4] {
    [
        (AdmissionReason::Full, metrics.refused_full.value()),
        (
            AdmissionReason::PendingTimeout,
            metrics.refused_pending.value(),
        ),
        (AdmissionReason::NoServer, metrics.refused_down.value()),
        (AdmissionReason::NotLive, metrics.refused_not_live.value()),
    ]
    .map(|(reason, count)| (reason.code(), count))
}

pub(super) fn upstreams_json(snapshot: &Snapshot) -> Value {
    Value::Array(snapshot.pools.iter().map(|pool| upstream(pool)).collect())
}

fn upstream(pool: &Pool) -> Value {
    let (upstream, metrics) = (&pool.upstream, &pool.metrics);
    let configured = upstream.servers.iter();
    let configured: Vec<String> = configured
        .map(|s| format!("{}:{}", s.host, s.port))
        .collect();
    let failures = Cause::ALL.into_iter().filter_map(|cause| {
        let count = metrics.failures.value(cause as usize);
        // Only causes that occurred, so that a person can read the status.
        (count > 0).then(|| (cause.code().to_owned(), json!(count)))
    });
    json!({
        "name": upstream.name,
        "servers": configured,
        "server_name": upstream.tls.server_name,
        "trust": upstream.tls.trust.name,
        "client_certificate": upstream.tls.client_certificate.is_some(),
        "in_flight": metrics.in_flight.value(),
        "pending": metrics.pending.value(),
        "retries": metrics.retries.value(),
        "ejections": metrics.ejections.value(),
        "health_check_failures": metrics.health_failures.value(),
        "failures": failures.collect::<Map<_, _>>(),
        "addresses": pool.servers().iter().map(|s| server(s)).collect::<Vec<_>>(),
    })
}

fn server(server: &ServerState) -> Value {
    let complaint = server.complaint();
    json!({
        "name": server.name,
        "state": match server.availability() {
            Availability::Usable => "up",
            Availability::Ejected => "ejected",
            Availability::Down => "down",
        },
        "in_flight": server.in_flight(),
        "last_health_failure": complaint.map(|failure| {
            json!({ "code": failure.cause.code(), "words": failure.words })
        }),
    })
}
