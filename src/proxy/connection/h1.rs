//! Serves HTTP/1.x on a connection: one request after the other.
//!
//! We read each head ourselves. Pingora gets a head of our own that only frames the body, so that it and we cannot
//! read two different requests.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::io::AsyncWriteExt;

use http_strict::{BodyFraming, HeadError};

use super::chunks::CheckedChunks;
use super::closing::linger;
use super::malformed::{log_malformed, receive_head};
use crate::proxy::forward::Proxy;
use crate::proxy::request::exchange;
use crate::proxy::shared::connection::Connection;
use crate::proxy::shared::front::Front;
use crate::proxy::shared::page::{PageStyle, RefusalLook};
use crate::proxy::shared::received::Received;
use crate::proxy::shared::refusal;
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::proxy::shared::request_id::request_id;

/// Serves until the connection ends.
pub(super) async fn serve(
    front: &Arc<Front>,
    proxy: &Arc<Proxy>,
    connection: &Arc<Connection>,
    mut stream: Stream,
) {
    let limits = &connection.listener.limits;
    let mut closing = connection.guard.closing.clone();
    let mut buffer = BytesMut::new();
    // A new connection must send its first request soon; only later ones may wait for `idle_timeout`.
    let mut wait = limits.head_timeout;
    loop {
        let received = receive_head(&mut stream, &mut buffer, limits, wait, &mut closing).await;
        let received = match received {
            None => return,
            Some(Ok(received)) => received,
            Some(Err(error)) => return refuse_head(front, connection, stream, &error).await,
        };
        // In a box: a connection spends most of its life between requests, where it then takes a fifth of the memory.
        let answered = Box::pin(answer(front, proxy, connection, received, stream, buffer)).await;
        let Some(next) = answered else { return };
        (stream, buffer) = next;
        wait = limits.idle_timeout;
    }
}

/// Answers one request. Returns the stream and what was read of the next request; None if the connection has ended.
async fn answer(
    front: &Arc<Front>,
    proxy: &Arc<Proxy>,
    connection: &Arc<Connection>,
    received: Received,
    mut stream: Stream,
    mut buffer: BytesMut,
) -> Option<(Stream, BytesMut)> {
    let chunked = received.framing() == BodyFraming::Chunked;
    if chunked {
        let reads = connection.reads.clone();
        // What was read ahead must be checked too, so it goes through the checking stream.
        stream = Box::new(CheckedChunks::new(stream, buffer.split(), reads));
    }
    let mut session = ServerSession::new_http1(stream);
    session.set_pipelining_enabled(true);
    // `BodyPace` and the idle time of a stream set their own deadlines.
    session.set_read_timeout(None);
    session.set_pipelined_prefix(framing_head(&received, &buffer));
    let read = session.read_request().await;
    if let Some(error) = misread(read) {
        if let ServerSession::H1(h1) = session {
            refuse_head(front, connection, h1.into_inner(), &error).await;
        }
        return None;
    }
    let mut session = exchange::run(front, proxy, connection, received, session).await?;
    if !session.is_body_done() || session.get_keepalive().is_none() {
        // The client may still be sending; a plain close could destroy the answer on its way.
        if let ServerSession::H1(h1) = session {
            linger(h1.into_inner()).await;
        }
        return None;
    }
    let (stream, rest) = session.finish().await.ok()??.into_parts();
    let mut buffer = rest.unwrap_or_default();
    if !chunked {
        return Some((stream, buffer));
    }
    let (stream, unread) = CheckedChunks::undo(stream)?;
    buffer.unsplit(unread);
    Some((stream, buffer))
}

/// The error if pingora did not accept the head that we wrote for it, which only a fault of ours can cause.
fn misread(read: pingora::Result<bool>) -> Option<HeadError> {
    let reason = match read {
        Ok(true) => return None,
        Ok(false) => "what frames the body was not understood".to_owned(),
        Err(error) => error.to_string(),
    };
    Some(HeadError {
        status: 400,
        code: "malformed",
        reason,
    })
}

/// The head that pingora gets: what it needs to read the body and to write the answer. The other fields stay with us,
/// so that pingora cannot change or reorder them. The target is never the client's.
fn framing_head(received: &Received, rest: &[u8]) -> BytesMut {
    const KEPT: [&[u8]; 5] = [
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    ];
    let mut head = BytesMut::with_capacity(256 + rest.len());
    // Of the method, pingora only needs to know whether the answer has a body.
    head.put_slice(match received.method() {
        b"HEAD" => b"HEAD / ",
        _ => b"POST / ",
    });
    head.put_slice(received.protocol());
    head.put_slice(b"\r\nhost: x\r\n");
    for (name, value) in received.headers() {
        if KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
            head.put_slice(name);
            head.put_slice(b": ");
            head.put_slice(value);
            head.put_slice(b"\r\n");
        }
    }
    head.put_slice(b"\r\n");
    head.put_slice(rest);
    head
}

/// Answers a head that is not a valid request with a page and closes the connection, since nobody knows where the next
/// request begins.
async fn refuse_head(
    front: &Front,
    connection: &Connection,
    mut stream: Stream,
    error: &HeadError,
) {
    front.metrics.malformed_heads.count();
    front.metrics.answered(error.status);
    let id = request_id();
    let style = PageStyle {
        request_id: &id,
        accept: None,
        head: false,
        look: &RefusalLook::of_listener(&connection.listener),
    };
    let page = refusal::bare(
        error.status,
        Some(RefusalCode::Http(error.code)),
        style,
        None,
    );
    let sent = match stream.write_all(&page).await {
        Ok(()) => page.len() as u64,
        Err(_) => 0,
    };
    log_malformed(front, connection, &id, error, sent);
    if sent > 0 {
        linger(stream).await;
    }
}
