//! What every front door tells of itself.

use std::sync::Arc;

use serde_json::{Value, json};

use super::exposition::{Exposition, Kind};
use super::process;
use super::router::{Request, Response, Router};
use super::traffic;
use crate::config::{ListenerKind, Policy, PolicyMode};
use crate::live::Live;
use crate::reload::{Outcome, Reloads, Trigger, UnderWay};
use crate::telemetry::Metrics;
use crate::time::rfc3339;
use crate::tls::handshake::Reason;

/// What the answers are made of.
#[derive(Clone)]
pub struct Health {
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
    pub reloads: Arc<Reloads>,
    /// True once the front door is closing.
    pub closing: tokio::sync::watch::Receiver<bool>,
}

/// Adds `/livez`, `/readyz`, `/healthz`, `/metrics`, `/status` and `/reload`, with what is known of
/// the snapshot and its reloads. Other rooms add their own parts to the same router.
pub fn core_routes(router: &mut Router, health: &Health) {
    let seen = health.clone();
    router.check("shutdown", move || match *seen.closing.borrow() {
        true => Err("the front door is closing".to_owned()),
        false => Ok(()),
    });
    // A refused change leaves the last good state serving: that is told, but it is no reason to
    // take the traffic away.
    let seen = health.clone();
    router.notice("reload", move || refusals(&seen.reloads.last()));
    let seen = health.clone();
    router.notice("reloading", move || under_way(&seen.reloads));
    let seen = health.clone();
    router.section("reload", move || reload_json(&seen));
    router.section(
        "process",
        || json!({ "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") }),
    );
    let seen = health.clone();
    router.section("generation", move || json!(seen.live.pin().generation));
    let seen = health.clone();
    router.section("listeners", move || listeners_json(&seen.live));
    let seen = health.clone();
    router.section("upstreams", move || {
        traffic::upstreams_json(&seen.live.pin())
    });
    let seen = health.clone();
    router.section("policies", move || policies_json(&seen.live));
    let seen = health.clone();
    router.collect(move |text| collect(&seen, text));
    let seen = health.clone();
    router.post("/reload", move |_: Request| {
        let reloads = Arc::clone(&seen.reloads);
        async move { reload(&reloads).await }
    });
}

async fn reload(reloads: &Reloads) -> Response {
    match reloads.ask(Trigger::Admin).await {
        Some(outcome) => {
            let status = if outcome.successful() { 200 } else { 422 };
            Response::json(status, &outcome_json(&outcome))
        }
        None => Response::problem(503, "the front door is closing"),
    }
}

fn refusals(last: &Outcome) -> Result<(), String> {
    if last.successful() {
        return Ok(());
    }
    let units = last.refused.iter().map(|refused| {
        let reasons: Vec<String> = refused.reasons.iter().map(ToString::to_string).collect();
        format!("{}: {}", refused.unit, reasons.join("; "))
    });
    let units: Vec<String> = units.collect();
    Err(format!(
        "refused since {}; the last good version serves, what has none waits: {}",
        rfc3339(last.at),
        units.join("; ")
    ))
}

fn under_way(reloads: &Reloads) -> Result<(), String> {
    match reloads.under_way() {
        None => Ok(()),
        Some(UnderWay { since, trigger }) => Err(format!(
            "under way since {} ({}); what was live before serves",
            rfc3339(since),
            trigger.words()
        )),
    }
}

fn outcome_json(outcome: &Outcome) -> Value {
    let refused = outcome.refused.iter().map(|refused| {
        let reasons: Vec<String> = refused.reasons.iter().map(ToString::to_string).collect();
        json!({ "unit": refused.unit, "reasons": reasons })
    });
    let warnings: Vec<String> = outcome.warnings.iter().map(ToString::to_string).collect();
    json!({
        "at": rfc3339(outcome.at),
        "successful": outcome.successful(),
        "generation": outcome.generation,
        "refused": refused.collect::<Vec<_>>(),
        "warnings": warnings,
        "changed": outcome.changed,
    })
}

fn reload_json(health: &Health) -> Value {
    let (attempts, failures) = health.reloads.counts();
    let mut value = outcome_json(&health.reloads.last());
    value["attempts"] = json!(attempts);
    value["failures"] = json!(failures);
    value["under_way_since"] = json!(health.reloads.under_way().map(|u| rfc3339(u.since)));
    value["unchanged"] = json!(health.reloads.unchanged());
    value
}

fn listeners_json(live: &Live) -> Value {
    let snapshot = live.pin();
    let listeners = snapshot.config.listeners.iter().map(|listener| {
        let bind: Vec<String> = listener.bind.iter().map(ToString::to_string).collect();
        match &listener.kind {
            ListenerKind::Tls { certificates, .. } => {
                let names: Vec<&[String]> = certificates.iter().map(|c| &c.names[..]).collect();
                json!({ "name": listener.name, "bind": bind, "kind": "tls", "certificates": names })
            }
            ListenerKind::Redirect { listener: to, .. } => {
                json!({ "name": listener.name, "bind": bind, "kind": "redirect", "to": to })
            }
        }
    });
    Value::Array(listeners.collect())
}

fn policies_json(live: &Live) -> Value {
    let snapshot = live.pin();
    let policies = snapshot.config.policies.values().map(|policy| {
        json!({
            "name": policy.name,
            "mode": mode(policy),
            "live": policy.is_live(),
            "rules": policy.rules.live().map_or(0, |rules| rules.summaries().count()),
            "prefilter_bytes": policy.rules.live().map_or(0, |rules| rules.prefilter_memory()),
        })
    });
    Value::Array(policies.collect())
}

fn mode(policy: &Policy) -> &'static str {
    match policy.mode {
        PolicyMode::Block => "block",
        PolicyMode::Detect => "detect",
        PolicyMode::Off => "off",
    }
}

fn collect(health: &Health, text: &mut Exposition) {
    use Kind::{Counter, Gauge};
    let metrics = &health.metrics;
    process::collect(metrics, text);
    for (name, help, counter) in [
        (
            "connections_accepted_total",
            "Connections accepted.",
            &metrics.connections_accepted,
        ),
        (
            "connections_refused_total",
            "Connections closed at once because a limit was reached.",
            &metrics.connections_refused,
        ),
        (
            "malformed_heads_total",
            "Request heads that HTTP forbids.",
            &metrics.malformed_heads,
        ),
        (
            "http2_floods_total",
            "HTTP/2 connections ended because of too many PING, SETTINGS, PRIORITY, WINDOW_UPDATE or unknown frames.",
            &metrics.http2_floods,
        ),
        (
            "waf_blocked_total",
            "Requests and responses that the rules stopped.",
            &metrics.waf_blocked,
        ),
        (
            "waf_matched_total",
            "Requests that matched a logged rule.",
            &metrics.waf_matched,
        ),
        (
            "waf_uninspected_total",
            "Requests whose body the rules did not see as a whole.",
            &metrics.waf_uninspected,
        ),
        (
            "body_memory_refusals_total",
            "503 because held bodies had used up their memory.",
            &metrics.body_memory_refusals,
        ),
        (
            "inspection_refusals_total",
            "503 because too many long inspections waited for a thread.",
            &metrics.inspection_refusals,
        ),
    ] {
        text.family(name, Counter, help)
            .sample(&[], counter.value());
    }
    for (name, help, gauge) in [
        (
            "connections_open",
            "Connections that are open.",
            &metrics.connections_open,
        ),
        (
            "requests_in_flight",
            "Requests that are being answered.",
            &metrics.requests_in_flight,
        ),
    ] {
        text.family(name, Gauge, help).sample(&[], gauge.value());
    }
    text.family(
        "tls_handshake_failures_total",
        Counter,
        "Handshakes with clients that failed, by reason.",
    );
    for reason in Reason::ALL {
        let count = metrics.handshake_failures.value(reason);
        text.sample(&[("reason", reason.code())], count);
    }
    text.family(
        "requests_total",
        Counter,
        "Requests by the class of their answer.",
    );
    for (class, count) in metrics.answers.each() {
        text.sample(&[("code_class", class)], count);
    }
    traffic::collect(metrics, text);
    traffic::collect_upstreams(&health.live.pin(), text);
    text.family(
        "certificate_not_after_timestamp_seconds",
        Gauge,
        "When a certificate ends, in seconds since 1970.",
    );
    let own = health.live.pin().config.certificate_inventory();
    for entry in own.iter().chain(metrics.presented.load().iter()) {
        let labels = [("kind", entry.kind.label()), ("name", entry.name.as_str())];
        text.sample(&labels, entry.certificate.not_after_timestamp);
    }
    let last = health.reloads.last();
    let (attempts, failures) = health.reloads.counts();
    text.family("config_generation", Gauge, "Counts up with every snapshot.")
        .sample(&[], health.live.pin().generation)
        .family(
            "config_last_reload_successful",
            Gauge,
            "1 where all of the last reload was taken.",
        )
        .sample(&[], u8::from(last.successful()))
        .family("config_reloads_total", Counter, "Reloads that were tried.")
        .sample(&[], attempts)
        .family(
            "config_reload_failures_total",
            Counter,
            "Reloads that refused something.",
        )
        .sample(&[], failures);
    text.family(
        "config_refused",
        Gauge,
        "1 for each unit that was refused: its last good version serves, if there is one.",
    );
    for refused in &last.refused {
        text.sample(&[("unit", &refused.unit)], 1);
    }
}
