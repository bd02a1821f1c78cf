//! Turns the bytes of a head into a request, and logs a head that is not one.

use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use http_strict::{Head, HeadError, HeadLimits};
use tokio::io::AsyncRead;
use tokio::sync::watch;

use super::head::{HeadRead, read_head};
use crate::config::ListenerLimits;
use crate::proxy::shared::access_record::access_record;
use crate::proxy::shared::connection::{Connection, TlsSession};
use crate::proxy::shared::front::Front;
use crate::proxy::shared::received::Received;
use crate::telemetry::{AccessRecord, text};

/// The limits of a head: the bytes are the listener's, the number of fields is the default.
pub(super) fn head_limits(limits: &ListenerLimits) -> HeadLimits {
    HeadLimits {
        head: limits.head_bytes,
        line: limits.head_bytes,
        ..HeadLimits::default()
    }
}

/// Reads one HTTP/1.x head, as [`read_head`] does, and checks it. None if the client sent nothing.
pub(super) async fn receive_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    limits: &ListenerLimits,
    wait: Duration,
    shutdown: &mut watch::Receiver<bool>,
) -> Option<Result<Received, HeadError>> {
    match read_head(stream, buffer, limits, wait, shutdown).await {
        HeadRead::Complete(length) => {
            let raw = buffer.split_to(length).freeze();
            let head = Head::parse_within(&raw, &head_limits(limits));
            Some(head.map(|head| Received::from_h1(raw, head)))
        }
        HeadRead::Closed => None,
        HeadRead::TooSlow => Some(Err(unreadable(408, "head_too_slow"))),
        HeadRead::TooLarge => Some(Err(unreadable(431, "head_too_large"))),
    }
}

fn unreadable(status: u16, code: &'static str) -> HeadError {
    HeadError {
        status,
        code,
        reason: code.replace('_', " "),
    }
}

/// Writes the access line of a head that is not a valid request.
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
        ..access_record(SystemTime::now(), id, connection.client, listener, None)
    });
}
