//! Serves a connection without TLS: one request, one answer, then it closes. No request gets from here to a gateway.

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use http_strict::HeadError;

use super::closing::linger;
use super::malformed::receive_head;
use crate::config::Listener;
use crate::proxy::shared::connection::ConnectionGuard;
use crate::proxy::shared::received::Received;

/// Reads one head from a plain connection and hands it to `answer`, which says what to send back.
pub(crate) async fn serve(
    guard: &ConnectionGuard,
    listener: &Listener,
    mut tcp: TcpStream,
    answer: impl FnOnce(Result<Received, HeadError>) -> Bytes,
) {
    let mut closing = guard.closing.clone();
    let mut buffer = BytesMut::new();
    let limits = &listener.limits;
    let wait = limits.head_timeout;
    let received = receive_head(&mut tcp, &mut buffer, limits, wait, &mut closing).await;
    let Some(received) = received else { return };
    let page = answer(received);
    if tcp.write_all(&page).await.is_ok() {
        linger(Box::new(pingora::protocols::l4::stream::Stream::from(tcp))).await;
    }
}
