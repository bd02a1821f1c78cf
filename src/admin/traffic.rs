//! Metrics and status of requests by listener, route, policy and rule, and of upstreams and their servers.
//!
//! Every label is a name of the configuration or a code, so nobody outside can add time series.

use serde_json::{Map, Value, json};

use super::exposition::Exposition;
use crate::live::Snapshot;
use crate::telemetry::families::{self, Family};
use crate::telemetry::{
    DEAREST, HistogramReport, Metrics, ReportedRule, RouteHistograms, RuleReport, RuleTable,
    UpstreamMetrics,
};
use crate::upstream::{AdmissionReason, Availability, Cause, Pool, ServerState};

pub(super) fn collect(metrics: &Metrics, text: &mut Exposition) {
    text.family(&families::LISTENER_REQUESTS);
    metrics.requests.each(|listener, route, answers| {
        for (class, count) in answers.each() {
            text.sample(&[listener, route, class], count);
        }
    });
    collect_histograms(metrics, text);
    text.family(&families::WAF_REQUESTS);
    metrics.waf_requests.each(|policy, action, counter| {
        text.sample(&[policy, action], counter.value());
    });
    text.family(&families::WAF_NOT_INSPECTED);
    metrics.waf_not_inspected.each(|part, reason, counter| {
        text.sample(&[part, reason], counter.value());
    });
    text.family(&families::IDENTITY_CHECKS);
    metrics.identity_checks.each(|route, outcome, counter| {
        text.sample(&[route, outcome], counter.value());
    });
    // Made once, so that the families below agree with each other.
    let reports = metrics.waf_rules.policies().into_iter();
    let reports: Vec<(String, RuleReport)> = reports
        .filter_map(|policy| {
            let report = metrics.waf_rules.report(&policy, None)?;
            Some((policy, report))
        })
        .collect();
    collect_rules(&metrics.waf_rules, &reports, text);
    collect_costs(&reports, text);
}

fn collect_histograms(metrics: &Metrics, text: &mut Exposition) {
    type Pick = fn(&RouteHistograms) -> Option<HistogramReport>;
    const FAMILIES: [(&Family, Pick); 5] = [
        (&families::REQUEST_DURATION, |h| h.total.report()),
        (&families::WAF_DURATION, |h| h.waf.report()),
        (&families::UPSTREAM_DURATION, |h| h.upstream.report()),
        (&families::REQUEST_BODY, |h| h.bytes_in.report()),
        (&families::RESPONSE_BODY, |h| h.bytes_out.report()),
    ];
    // Family by family: the formats forbid the samples of another one in between.
    for (family, pick) in FAMILIES {
        text.family(family);
        metrics.histograms.each(|listener, route, histograms| {
            if let Some(report) = pick(histograms) {
                text.histogram(&[listener, route], &report);
            }
        });
    }
}

fn collect_rules(table: &RuleTable, reports: &[(String, RuleReport)], text: &mut Exposition) {
    type Pick = fn(&ReportedRule) -> u64;
    const BY_RULE: [(&Family, Pick); 2] = [
        (&families::WAF_RULE_MATCHES, |rule| rule.hits),
        (&families::WAF_RULE_BLOCKS, |rule| rule.blocks),
    ];
    for (family, pick) in BY_RULE {
        text.family(family);
        for (policy, report) in reports {
            // A timed rule has a row without a match, and would be a series of zeros.
            for rule in report.rules.iter().filter(|rule| rule.hits > 0) {
                text.sample(&[policy, &rule.rule_id.to_string()], pick(rule));
            }
        }
    }
    type PickCount = fn((u64, u64)) -> u64;
    const BY_ROUTE: [(&Family, PickCount); 2] = [
        (&families::WAF_ROUTE_RULE_MATCHES, |(matches, _)| matches),
        (&families::WAF_ROUTE_RULE_BLOCKS, |(_, blocks)| blocks),
    ];
    for (family, pick) in BY_ROUTE {
        text.family(family);
        table.each_on_routes(|policy, route, rule, counts| {
            text.sample(&[policy, route, &rule.to_string()], pick(counts));
        });
    }
}

fn collect_costs(reports: &[(String, RuleReport)], text: &mut Exposition) {
    text.family(&families::WAF_TIMED_REQUESTS);
    for (policy, report) in reports {
        text.sample(&[policy], report.timed);
    }
    text.family(&families::WAF_RULE_CPU);
    for (policy, report) in reports.iter().filter(|(_, report)| report.timed > 0) {
        let dearest = report.dearest(DEAREST).into_iter();
        let rules = dearest.map(|rule| (rule.rule_id.to_string(), rule.time));
        let parts = [("prefilter", report.prefilter), ("other", report.other())];
        let parts = parts.map(|(name, time)| (name.to_owned(), time));
        for (rule, time) in rules.chain(parts) {
            text.sample(&[policy, &rule], time.as_secs_f64());
        }
    }
}

pub(super) fn collect_upstreams(snapshot: &Snapshot, text: &mut Exposition) {
    let pools: Vec<&Pool> = snapshot.pools.iter().map(AsRef::as_ref).collect();
    let each = |family, text: &mut Exposition, sample: fn(&Pool, &str, &mut Exposition)| {
        text.family(family);
        for pool in &pools {
            sample(pool, &pool.upstream.name, text);
        }
    };
    each(&families::UPSTREAM_REQUESTS, text, |pool, name, text| {
        let classes = pool.metrics.answers.each();
        // An upstream that did not answer counts as a failure below, by its cause.
        for (class, count) in classes.filter(|(class, _)| *class != "none") {
            text.sample(&[name, class], count);
        }
    });
    each(
        &families::UPSTREAM_REQUEST_DURATION,
        text,
        |pool, name, text| {
            if let Some(report) = pool.metrics.duration.report() {
                text.histogram(&[name], &report);
            }
        },
    );
    each(&families::UPSTREAM_FAILURES, text, |pool, name, text| {
        for cause in Cause::ALL {
            let count = pool.metrics.failures.value(cause as usize);
            text.sample(&[name, cause.code()], count);
        }
    });
    each(&families::UPSTREAM_REFUSED, text, |pool, name, text| {
        for (code, count) in refusals(&pool.metrics) {
            text.sample(&[name, code], count);
        }
    });
    for (family, value) in UPSTREAM_FAMILIES {
        text.family(family);
        for pool in &pools {
            text.sample(&[&pool.upstream.name], value(&pool.metrics));
        }
    }
    for (family, value) in SERVER_FAMILIES {
        text.family(family);
        for pool in &pools {
            for server in pool.servers().iter() {
                text.sample(&[&pool.upstream.name, &server.name], value(server));
            }
        }
    }
}

/// A family by upstream, and its value.
type UpstreamFamily = (&'static Family, fn(&UpstreamMetrics) -> u64);

const UPSTREAM_FAMILIES: [UpstreamFamily; 5] = [
    (&families::UPSTREAM_IN_FLIGHT, |m| m.in_flight.value()),
    (&families::UPSTREAM_PENDING, |m| m.pending.value()),
    (&families::UPSTREAM_RETRIES, |m| m.retries.value()),
    (&families::UPSTREAM_EJECTIONS, |m| m.ejections.value()),
    (&families::UPSTREAM_HEALTH_FAILURES, |m| {
        m.health_failures.value()
    }),
];

/// A gauge by upstream and server, and its value.
type ServerFamily = (&'static Family, fn(&ServerState) -> usize);

const SERVER_FAMILIES: [ServerFamily; 3] = [
    (&families::SERVER_UP, |server| {
        // An ejected server is not down; the next family shows it.
        usize::from(server.availability() != Availability::Down)
    }),
    (&families::SERVER_EJECTED, |server| {
        usize::from(server.availability() == Availability::Ejected)
    }),
    (&families::SERVER_IN_FLIGHT, ServerState::in_flight),
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
