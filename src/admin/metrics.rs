//! The metrics of the front door as a whole: connections, requests, the WAF, certificates and reloads.
//!
//! Metrics by listener, route, policy and upstream are in [`super::traffic`], those of the process in
//! [`super::process`]. The names are an interface: dashboards and alerts depend on them.

use std::collections::BTreeSet;

use super::exposition::{Exposition, MetricKind};
use super::sources::StatusSources;
use super::{process, traffic};
use crate::config::Policy;
use crate::exclusion::is_guard;
use crate::telemetry::metrics::Gauge;
use crate::telemetry::{Counter, Metrics};
use crate::tls::handshake::Reason;
use waf::ExclusionKind;

/// Name and help of a counter without labels, and its place in [`Metrics`].
type CounterFamily = (&'static str, &'static str, fn(&Metrics) -> &Counter);

/// The same for a gauge.
type GaugeFamily = (&'static str, &'static str, fn(&Metrics) -> &Gauge);

const COUNTERS: [CounterFamily; 9] = [
    ("connections_accepted_total", "Connections accepted.", |m| {
        &m.connections_accepted
    }),
    (
        "connections_refused_total",
        "Connections closed at once because a limit was reached.",
        |m| &m.connections_refused,
    ),
    (
        "malformed_heads_total",
        "Request heads that HTTP forbids.",
        |m| &m.malformed_heads,
    ),
    (
        "http2_floods_total",
        "HTTP/2 connections ended because of too many PING, SETTINGS, PRIORITY, WINDOW_UPDATE or unknown frames.",
        |m| &m.http2_floods,
    ),
    (
        "waf_blocked_total",
        "Requests and responses that the rules stopped.",
        |m| &m.waf_blocked,
    ),
    (
        "waf_matched_total",
        "Requests that matched a logged rule.",
        |m| &m.waf_matched,
    ),
    (
        "waf_uninspected_total",
        "Requests whose body the rules did not see completely.",
        |m| &m.waf_uninspected,
    ),
    (
        "body_memory_refusals_total",
        "503 because held bodies had used up their memory.",
        |m| &m.body_memory_refusals,
    ),
    (
        "inspection_refusals_total",
        "503 because too many long inspections waited for a thread.",
        |m| &m.inspection_refusals,
    ),
];

const GAUGES: [GaugeFamily; 2] = [
    ("connections_open", "Connections that are open.", |m| {
        &m.connections_open
    }),
    (
        "requests_in_flight",
        "Requests that are being answered.",
        |m| &m.requests_in_flight,
    ),
];

pub(super) fn collect(sources: &StatusSources, text: &mut Exposition) {
    let metrics = &sources.metrics;
    process::collect(metrics, text);
    for (name, help, counter) in COUNTERS {
        text.family(name, MetricKind::Counter, help)
            .sample(&[], counter(metrics).value());
    }
    for (name, help, gauge) in GAUGES {
        text.family(name, MetricKind::Gauge, help)
            .sample(&[], gauge(metrics).value());
    }
    collect_by_reason(metrics, text);
    traffic::collect(metrics, text);
    traffic::collect_upstreams(&sources.live.pin(), text);
    collect_certificates(sources, text);
    collect_exclusions(sources, text);
    collect_exclusion_hits(sources, text);
    collect_reloads(sources, text);
}

fn collect_by_reason(metrics: &Metrics, text: &mut Exposition) {
    text.family(
        "tls_handshake_failures_total",
        MetricKind::Counter,
        "Handshakes with clients that failed, by reason.",
    );
    for reason in Reason::ALL {
        let count = metrics.handshake_failures.value(reason);
        text.sample(&[("reason", reason.code())], count);
    }
    text.family(
        "requests_total",
        MetricKind::Counter,
        "Requests by the class of their answer.",
    );
    for (class, count) in metrics.answers.each() {
        text.sample(&[("code_class", class)], count);
    }
}

/// Our own certificates, and those that upstreams presented.
fn collect_certificates(sources: &StatusSources, text: &mut Exposition) {
    text.family(
        "certificate_not_after_timestamp_seconds",
        MetricKind::Gauge,
        "When a certificate ends, in seconds since 1970.",
    );
    let own = sources.live.pin().config.certificate_inventory();
    for entry in own.iter().chain(sources.metrics.presented.load().iter()) {
        let labels = [("kind", entry.kind.label()), ("name", entry.name.as_str())];
        text.sample(&labels, entry.certificate.not_after_timestamp);
    }
}

/// The exclusions of the policies that are live.
fn collect_exclusions(sources: &StatusSources, text: &mut Exposition) {
    text.family(
        "exclusion_end_timestamp_seconds",
        MetricKind::Gauge,
        "When the last day of an exclusion is over, in seconds since 1970.",
    );
    for policy in sources.live.pin().config.policies.values() {
        for entry in policy.exclusions.iter().flat_map(|file| &file.entries) {
            let id = entry.id.to_string();
            let labels = [
                ("policy", policy.name.as_str()),
                ("id", &id),
                ("owner", &entry.purpose.owner),
            ];
            text.sample(&labels, entry.purpose.until.end_timestamp());
        }
    }
}

/// How often the rules of exclusions matched, also those that a team wrote by hand and that have no owner.
fn collect_exclusion_hits(sources: &StatusSources, text: &mut Exposition) {
    text.family(
        "exclusion_hits_total",
        MetricKind::Counter,
        "Requests in which the rule of an exclusion matched.",
    );
    let hits = &sources.metrics.exclusion_hits;
    for policy in sources.live.pin().config.policies.values() {
        let entries = || policy.exclusions.iter().flat_map(|file| &file.entries);
        for id in exclusion_ids(policy) {
            let entry = entries().find(|entry| entry.id == id);
            let owner = entry.map_or("", |entry| &entry.purpose.owner);
            let count = hits.see(&policy.name, &id, Counter::value);
            let shown = id.to_string();
            let labels = [
                ("policy", policy.name.as_str()),
                ("id", &shown),
                ("owner", owner),
            ];
            text.sample(&labels, count.unwrap_or(0));
        }
    }
}

/// The rules of the policy that exclude others, each once.
fn exclusion_ids(policy: &Policy) -> BTreeSet<u64> {
    let removes = [ExclusionKind::Rules, ExclusionKind::Targets];
    let all = policy.rules.live().into_iter();
    let all = all.flat_map(|rules| rules.exclusions());
    let all = all.filter(|exclusion| removes.contains(&exclusion.kind));
    let ids = all.filter_map(|exclusion| Some(exclusion.by.as_ref()?.id));
    ids.filter(|&id| !is_guard(id)).collect()
}

fn collect_reloads(sources: &StatusSources, text: &mut Exposition) {
    let last = sources.reloads.last();
    let (attempts, failures) = sources.reloads.counts();
    text.family(
        "config_generation",
        MetricKind::Gauge,
        "Counts up with every snapshot.",
    )
    .sample(&[], sources.live.pin().generation)
    .family(
        "config_last_reload_successful",
        MetricKind::Gauge,
        "1 if the last reload took everything.",
    )
    .sample(&[], u8::from(last.successful()))
    .family(
        "config_reloads_total",
        MetricKind::Counter,
        "Reloads that were tried.",
    )
    .sample(&[], attempts)
    .family(
        "config_reload_failures_total",
        MetricKind::Counter,
        "Reloads that refused something.",
    )
    .sample(&[], failures)
    .family(
        "config_refused",
        MetricKind::Gauge,
        "1 for each unit that was refused: its last good version serves, if there is one.",
    );
    for refused in &last.refused {
        text.sample(&[("unit", &refused.unit.to_string())], 1);
    }
}
