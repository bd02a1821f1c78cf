//! The status and the checks that every front door has.
//!
//! Each part reads the snapshot by itself, so an answer may mix two generations during a reload; `generation` is the
//! one that its own part saw.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::sync::Arc;

use serde_json::{Value, json};

use super::metrics;
use super::router::{CheckFailure, Request, Response, Router};
use super::rules;
use super::sources::StatusSources;
use super::traffic;
use crate::config::{ListenerKind, PolicyMode};
use crate::live::Live;
use crate::reload::{ReloadOutcome, Reloads, Trigger, UnderWay};
use crate::time::rfc3339;

/// Adds `/reload`, and the parts of `/readyz`, `/status` and `/metrics` about the snapshot and its reloads. Other
/// modules add their own parts to the same router.
pub fn add_core_routes(router: &mut Router, sources: &StatusSources) {
    let from = sources.clone();
    // Not ready while draining, so that a load balancer sends new clients elsewhere.
    router.check("shutdown", move || match *from.closing.borrow() {
        true => Err(CheckFailure("the front door is closing".to_owned())),
        false => Ok(()),
    });
    // After a refused change the last good version serves, so traffic should still come: the refusal is shown, but does
    // not decide about readiness.
    let from = sources.clone();
    router.notice("reload", move || check_refused(&from.reloads.last()));
    let from = sources.clone();
    router.notice("reloading", move || check_under_way(&from.reloads));
    let from = sources.clone();
    router.section("reload", move || reload_json(&from));
    router.section(
        "process",
        || json!({ "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") }),
    );
    let from = sources.clone();
    router.section("generation", move || json!(from.live.pin().generation));
    let from = sources.clone();
    router.section("listeners", move || listeners_json(&from.live));
    let from = sources.clone();
    router.section("upstreams", move || {
        traffic::upstreams_json(&from.live.pin())
    });
    let from = sources.clone();
    router.section("policies", move || policies_json(&from.live));
    let from = sources.clone();
    router.collect(move |text| metrics::collect(&from, text));
    let from = sources.clone();
    router.get("/rules/top", move |request: Request| {
        let answer = rules::top(&from, &request);
        async move { answer }
    });
    let from = sources.clone();
    router.post("/reload", move |_: Request| {
        let reloads = Arc::clone(&from.reloads);
        async move { reload(&reloads).await }
    });
}

async fn reload(reloads: &Reloads) -> Response {
    match reloads.ask(Trigger::Admin).await {
        Some(outcome) => {
            // A part that was refused is an error for a script, although the rest is live.
            let status = if outcome.successful() { 200 } else { 422 };
            Response::json(status, &outcome_json(&outcome))
        }
        None => Response::error(503, "the front door is closing"),
    }
}

fn check_refused(last: &ReloadOutcome) -> Result<(), CheckFailure> {
    if last.successful() {
        return Ok(());
    }
    let units = last.refused.iter().map(|refused| {
        let reasons: Vec<String> = refused.reasons.iter().map(ToString::to_string).collect();
        format!("{}: {}", refused.unit, reasons.join("; "))
    });
    let units: Vec<String> = units.collect();
    Err(CheckFailure(format!(
        "refused since {}; the last good version stays in use, and what has none is not served: {}",
        rfc3339(last.at),
        units.join("; ")
    )))
}

fn check_under_way(reloads: &Reloads) -> Result<(), CheckFailure> {
    match reloads.under_way() {
        None => Ok(()),
        Some(UnderWay { since, trigger }) => Err(CheckFailure(format!(
            "in progress since {} ({}); the previous configuration serves",
            rfc3339(since),
            trigger.words()
        ))),
    }
}

fn outcome_json(outcome: &ReloadOutcome) -> Value {
    let refused = outcome.refused.iter().map(|refused| {
        let reasons: Vec<String> = refused.reasons.iter().map(ToString::to_string).collect();
        json!({ "unit": refused.unit.to_string(), "reasons": reasons })
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

fn reload_json(sources: &StatusSources) -> Value {
    let (attempts, failures) = sources.reloads.counts();
    let mut value = outcome_json(&sources.reloads.last());
    value["attempts"] = json!(attempts);
    value["failures"] = json!(failures);
    value["under_way_since"] = json!(sources.reloads.under_way().map(|u| rfc3339(u.since)));
    value["unchanged"] = json!(sources.reloads.unchanged());
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
            "mode": mode_name(policy.mode),
            "live": policy.is_live(),
            "rules": policy.rules.live().map_or(0, |rules| rules.summaries().count()),
            "prefilter_bytes": policy.rules.live().map_or(0, |rules| rules.prefilter_memory()),
        })
    });
    Value::Array(policies.collect())
}

fn mode_name(mode: PolicyMode) -> &'static str {
    match mode {
        PolicyMode::Block => "block",
        PolicyMode::Detect => "detect",
        PolicyMode::Off => "off",
    }
}
