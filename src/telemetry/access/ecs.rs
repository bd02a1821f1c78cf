//! Access lines in the Elastic Common Schema, 8.17. What ECS has no field for is in `drawbridge`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{AccessRecord, TlsFacts, Verdict, masked_text};
use crate::time::rfc3339;
use http_strict::without_port;

/// The document without a line feed.
pub(super) fn line(record: &AccessRecord<'_>) -> Vec<u8> {
    let mut document = document(record);
    remove_nulls(&mut document);
    // Values always serialize.
    serde_json::to_vec(&document).unwrap_or_default()
}

fn document(record: &AccessRecord<'_>) -> Value {
    let (path, query) = match record.path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (record.path.as_ref(), None),
    };
    // A trusted proxy reports no port.
    let port = Some(record.client.port()).filter(|port| *port != 0);
    let rules: Option<Vec<String>> = record
        .waf
        .as_ref()
        .filter(|waf| !waf.rules.is_empty())
        .map(|waf| waf.rules.iter().map(ToString::to_string).collect());
    json!({
        "@timestamp": rfc3339(record.time),
        "ecs": { "version": "8.17.0" },
        "event": event(record),
        "source": { "ip": record.client.ip(), "port": port },
        "url": {
            "original": record.path,
            "path": path,
            "query": query,
            "domain": record.host.as_deref().map(host_name),
        },
        "http": {
            "version": record.protocol.strip_prefix("HTTP/"),
            "request": {
                "id": record.request_id,
                "method": record.method,
                "referrer": record.referer.map(masked_text),
                "body": { "bytes": record.bytes_in },
            },
            "response": { "status_code": record.status, "body": { "bytes": record.bytes_out } },
        },
        "user_agent": { "original": record.user_agent.map(masked_text) },
        "trace": { "id": record.trace },
        "tls": record.tls.as_ref().map(tls),
        "user": { "id": record.identity.as_ref().and_then(|identity| identity.subject.as_deref()) },
        "rule": { "id": rules },
        "observer": {
            "type": "waf",
            "product": "Drawbridge",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "drawbridge": own(record),
    })
}

fn event(record: &AccessRecord<'_>) -> Value {
    let verdict = record.waf.as_ref().map(|waf| waf.verdict);
    // ECS allows only certain words in these fields, and these are among them.
    let (kind, kind_of_access) = match verdict {
        Some(Verdict::Block) => ("alert", "denied"),
        _ => ("event", "access"),
    };
    // 0 is no answer at all, which is no success either.
    let answered = (100..400).contains(&record.status);
    json!({
        "id": record.request_id,
        "kind": kind,
        "category": ["web"],
        "type": [kind_of_access],
        "action": verdict.map(Verdict::name),
        "outcome": if answered { "success" } else { "failure" },
        "duration": nanoseconds(record.ms.total),
        "reason": record.reason.as_deref().or(record.error.as_deref()),
        "module": "drawbridge",
        "dataset": "drawbridge.access",
    })
}

fn nanoseconds(milliseconds: f64) -> Option<u64> {
    let duration = Duration::try_from_secs_f64(milliseconds / 1e3).ok()?;
    u64::try_from(duration.as_nanos()).ok()
}

fn tls(tls: &TlsFacts<'_>) -> Value {
    json!({
        "version": tls.version.strip_prefix("TLSv"),
        "version_protocol": "tls",
        "cipher": tls.cipher,
        "curve": tls.group,
        "client": { "server_name": tls.sni, "subject": tls.client },
    })
}

fn own(record: &AccessRecord<'_>) -> Value {
    json!({
        "listener": record.listener,
        "route": record.route,
        "ms": record.ms,
        "identity": record.identity,
        "waf": record.waf,
        "upstream": record.upstream,
        "error": record.error,
        "body_inspected": record.body_inspected,
    })
}

fn host_name(host: &str) -> &str {
    let length = without_port(host.as_bytes()).len();
    host.get(..length).unwrap_or(host)
}

/// An absent field is left out, and so is an object without fields.
fn remove_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.values_mut().for_each(remove_nulls);
        let is_empty =
            |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
        fields.retain(|_, value| !is_empty(value));
    }
}
