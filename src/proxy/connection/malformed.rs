//! Heads that are no requests: how large one may be, and the access line of one that is refused.

use http_strict::{HeadError, HeadLimits};

use crate::config::ListenerLimits;
use crate::proxy::shared::connection::{Connection, TlsSession};
use crate::proxy::shared::front::Front;
use crate::telemetry::{AccessRecord, Timing, text};

/// The bytes are bounded as the listener says; the number of fields as [`HeadLimits`] does.
pub fn head_limits(limits: &ListenerLimits) -> HeadLimits {
    HeadLimits {
        head: limits.head_bytes,
        line: limits.head_bytes,
        ..HeadLimits::default()
    }
}

pub fn unreadable(status: u16, code: &'static str) -> HeadError {
    HeadError {
        status,
        code,
        reason: code.replace('_', " "),
    }
}

pub fn log_malformed(
    front: &Front,
    connection: &Connection,
    id: &str,
    error: &HeadError,
    sent: u64,
) {
    front.access.write(&AccessRecord {
        time: std::time::SystemTime::now(),
        request_id: id,
        client: connection.client,
        listener: &connection.listener.name,
        host: None,
        method: "-".into(),
        path: "-".into(),
        protocol: "HTTP",
        route: None,
        status: error.status,
        bytes_in: 0,
        bytes_out: sent,
        ms: Timing::default(),
        tls: connection.tls.as_ref().map(TlsSession::facts),
        waf: None,
        upstream: None,
        error: Some(error.code.into()),
        reason: Some(text(error.reason.as_bytes())),
        body_inspected: false,
    });
}
