//! Heads that are no requests: how large one may be, and the access line of one that is refused.

use http_strict::{HeadError, HeadLimits};

use crate::config::ListenerLimits;
use crate::proxy::shared::access_record::access_record;
use crate::proxy::shared::connection::{Connection, TlsSession};
use crate::proxy::shared::front::Front;
use crate::telemetry::{AccessRecord, text};

/// The bytes are bounded as the listener says; the number of fields as [`HeadLimits`] does.
pub(super) fn head_limits(limits: &ListenerLimits) -> HeadLimits {
    HeadLimits {
        head: limits.head_bytes,
        line: limits.head_bytes,
        ..HeadLimits::default()
    }
}

pub(super) fn unreadable(status: u16, code: &'static str) -> HeadError {
    HeadError {
        status,
        code,
        reason: code.replace('_', " "),
    }
}

/// Writes the access line of a head that is no request.
pub(super) fn log_malformed(
    front: &Front,
    connection: &Connection,
    id: &str,
    error: &HeadError,
    sent: u64,
) {
    let listener = &connection.listener.name;
    front.access.write(&AccessRecord {
        status: error.status,
        bytes_out: sent,
        tls: connection.tls.as_ref().map(TlsSession::facts),
        error: Some(error.code.into()),
        reason: Some(text(error.reason.as_bytes())),
        ..access_record(id, connection.client, listener, None)
    });
}
