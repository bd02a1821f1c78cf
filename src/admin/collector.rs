//! The collector of traces and logs: the parts of `/status`, `/readyz` and `/metrics` about it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::exposition::Exposition;
use super::router::{CheckFailure, Router};
use super::sources::StatusSources;
use crate::telemetry::otlp::{OtlpMetrics, Signal, SignalHealth};
use crate::telemetry::{Counter, families};
use crate::time::rfc3339;

/// Adds what is known about the collector.
pub fn add_collector(router: &mut Router, sources: &StatusSources) {
    let from = sources.clone();
    router.section("otlp", move || status(&from));
    let metrics = Arc::clone(&sources.metrics.otlp);
    // Requests are served without it, so it does not decide about readiness.
    router.notice("otlp", move || check(&metrics));
    let metrics = Arc::clone(&sources.metrics.otlp);
    router.collect(move |text| collect(&metrics, text));
}

/// Null without `[otlp]`.
fn status(sources: &StatusSources) -> Value {
    let snapshot = sources.live.pin();
    let Some(settings) = &snapshot.config.otlp else {
        return Value::Null;
    };
    let metrics = &sources.metrics.otlp;
    let signals = Signal::ALL.map(|signal| {
        let counts = metrics.of(signal);
        let SignalHealth { sent_at, trouble } = counts.health();
        let url = match signal {
            Signal::Traces => settings.traces.as_ref(),
            Signal::Logs => Some(&settings.logs),
        };
        json!({
            "signal": signal.name(),
            "url": url.map(|to| to.url().to_string()),
            "sent": counts.sent.value(),
            "sent_at": sent_at.map(rfc3339),
            "dropped": {
                "queue": counts.dropped_queue.value(),
                "unsent": counts.dropped_unsent.value(),
                "rejected": counts.dropped_rejected.value(),
            },
            "last_error": trouble.map(|trouble| json!({
                "since": rfc3339(trouble.since),
                "code": trouble.code,
                "words": trouble.words,
                "fix": trouble.fix,
            })),
        })
    });
    json!(signals)
}

fn check(metrics: &OtlpMetrics) -> Result<(), CheckFailure> {
    let troubles = Signal::ALL.into_iter().filter_map(|signal| {
        let trouble = metrics.of(signal).health().trouble?;
        Some(format!(
            "{} are not sent since {}: {}; {}",
            signal.name(),
            rfc3339(trouble.since),
            trouble.words,
            trouble.fix
        ))
    });
    let troubles: Vec<String> = troubles.collect();
    match troubles.is_empty() {
        true => Ok(()),
        false => Err(CheckFailure(troubles.join("; "))),
    }
}

fn collect(metrics: &OtlpMetrics, text: &mut Exposition) {
    text.family(&families::OTLP_SENT);
    for signal in Signal::ALL {
        text.sample(&[signal.name()], metrics.of(signal).sent.value());
    }
    text.family(&families::OTLP_DROPPED);
    for signal in Signal::ALL {
        let counts = metrics.of(signal);
        for (reason, counter) in [
            ("queue", &counts.dropped_queue),
            ("unsent", &counts.dropped_unsent),
            ("rejected", &counts.dropped_rejected),
        ] {
            text.sample(&[signal.name(), reason], counter.value());
        }
    }
    text.family(&families::OTLP_FAILURES);
    metrics.failures.each(|signal, reason, counter: &Counter| {
        text.sample(&[signal, reason], counter.value());
    });
}
