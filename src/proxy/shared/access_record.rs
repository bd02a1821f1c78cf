//! Makes the part of an access line's record that every request has.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::received::Received;
use crate::telemetry::{AccessRecord, Timing, masked_text, text};

/// The record of a request that came at `time`, without an answer yet. `received` is None if the head is not a valid
/// request.
pub(crate) fn access_record<'r>(
    time: SystemTime,
    request_id: &'r str,
    client: SocketAddr,
    listener: &'r str,
    received: Option<&'r Received>,
) -> AccessRecord<'r> {
    AccessRecord {
        time,
        request_id,
        trace: None,
        client,
        listener,
        host: received.and_then(Received::host).map(text),
        method: received.map_or("-".into(), |r| text(r.method())),
        // Masked, because a query can hold a password or a token.
        path: received.map_or("-".into(), |r| masked_text(r.target())),
        referer: received.and_then(|r| r.header(b"referer")),
        user_agent: received.and_then(|r| r.header(b"user-agent")),
        protocol: received
            .and_then(|r| std::str::from_utf8(r.protocol()).ok())
            .unwrap_or("HTTP"),
        route: None,
        status: 0,
        bytes_in: 0,
        bytes_out: 0,
        ms: Timing::default(),
        tls: None,
        waf: None,
        upstream: None,
        error: None,
        reason: None,
        body_inspected: false,
    }
}
