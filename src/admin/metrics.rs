//! The metrics of the front door as a whole: connections, requests, the WAF, certificates and reloads.
//!
//! Metrics by listener, route, policy and upstream are in [`super::traffic`], those of the process in
//! [`super::process`]. [`families`] has their names.

use std::collections::BTreeSet;

use super::exposition::Exposition;
use super::sources::StatusSources;
use super::{process, traffic};
use crate::config::Policy;
use crate::exclusion::is_guard;
use crate::telemetry::families::{self, Family};
use crate::telemetry::metrics::Gauge;
use crate::telemetry::{Counter, Metrics};
use crate::tls::handshake::Reason;
use waf::ExclusionKind;

/// A counter without labels, and its place in [`Metrics`].
type CounterFamily = (&'static Family, fn(&Metrics) -> &Counter);

/// The same for a gauge.
type GaugeFamily = (&'static Family, fn(&Metrics) -> &Gauge);

const COUNTERS: [CounterFamily; 9] = [
    (&families::CONNECTIONS_ACCEPTED, |m| &m.connections_accepted),
    (&families::CONNECTIONS_REFUSED, |m| &m.connections_refused),
    (&families::MALFORMED_HEADS, |m| &m.malformed_heads),
    (&families::HTTP2_FLOODS, |m| &m.http2_floods),
    (&families::WAF_BLOCKED, |m| &m.waf_blocked),
    (&families::WAF_MATCHED, |m| &m.waf_matched),
    (&families::WAF_UNINSPECTED, |m| &m.waf_uninspected),
    (&families::BODY_MEMORY_REFUSALS, |m| &m.body_memory_refusals),
    (&families::INSPECTION_REFUSALS, |m| &m.inspection_refusals),
];

const GAUGES: [GaugeFamily; 2] = [
    (&families::CONNECTIONS_OPEN, |m| &m.connections_open),
    (&families::REQUESTS_IN_FLIGHT, |m| &m.requests_in_flight),
];

pub(super) fn collect(sources: &StatusSources, text: &mut Exposition) {
    let metrics = &sources.metrics;
    process::collect(metrics, text);
    for (family, counter) in COUNTERS {
        text.family(family).sample(&[], counter(metrics).value());
    }
    for (family, gauge) in GAUGES {
        text.family(family).sample(&[], gauge(metrics).value());
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
    text.family(&families::TLS_HANDSHAKES);
    metrics
        .handshakes
        .each(|listener, (version, group), counter| {
            text.sample(&[listener, version, group], counter.value());
        });
    text.family(&families::TLS_HANDSHAKE_FAILURES);
    for reason in Reason::ALL {
        let count = metrics.handshake_failures.value(reason);
        text.sample(&[reason.code()], count);
    }
    text.family(&families::REQUESTS);
    for (class, count) in metrics.answers.each() {
        text.sample(&[class], count);
    }
}

/// Our own certificates, and those that upstreams presented.
fn collect_certificates(sources: &StatusSources, text: &mut Exposition) {
    text.family(&families::CERTIFICATE_NOT_AFTER);
    for entry in sources.certificates() {
        let labels = [entry.kind.label(), entry.name.as_str()];
        text.sample(&labels, entry.certificate.not_after_timestamp);
    }
}

/// The exclusions of the policies that are live.
fn collect_exclusions(sources: &StatusSources, text: &mut Exposition) {
    text.family(&families::EXCLUSION_END);
    for policy in sources.live.pin().config.policies.values() {
        for entry in policy.exclusion_entries() {
            let id = entry.id.to_string();
            let labels = [policy.name.as_str(), &id, &entry.purpose.owner];
            text.sample(&labels, entry.purpose.until.end_timestamp());
        }
    }
}

/// How often the rules of exclusions matched, also those that a team wrote by hand and that have no owner.
fn collect_exclusion_hits(sources: &StatusSources, text: &mut Exposition) {
    text.family(&families::EXCLUSION_HITS);
    let hits = &sources.metrics.exclusion_hits;
    for policy in sources.live.pin().config.policies.values() {
        for id in exclusion_ids(policy) {
            let entry = policy.exclusion_entries().find(|entry| entry.id == id);
            let owner = entry.map_or("", |entry| &entry.purpose.owner);
            // 0 is shown too: an exclusion that nothing needs is what its owner looks for.
            let count = hits.see(&policy.name, &id, Counter::value);
            let shown = id.to_string();
            let labels = [policy.name.as_str(), &shown, owner];
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
    // A guard excludes nothing: it only says when its exclusion does not hold.
    ids.filter(|&id| !is_guard(id)).collect()
}

fn collect_reloads(sources: &StatusSources, text: &mut Exposition) {
    let last = sources.reloads.last();
    let (attempts, failures) = sources.reloads.counts();
    text.family(&families::CONFIG_GENERATION)
        .sample(&[], sources.live.pin().generation)
        .family(&families::CONFIG_LAST_RELOAD)
        .sample(&[], u8::from(last.successful()))
        .family(&families::CONFIG_RELOADS)
        .sample(&[], attempts)
        .family(&families::CONFIG_RELOAD_FAILURES)
        .sample(&[], failures)
        .family(&families::CONFIG_REFUSED);
    for refused in &last.refused {
        text.sample(&[&refused.unit.to_string()], 1);
    }
}
