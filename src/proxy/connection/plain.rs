//! A connection without TLS: one request, one answer.

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use http_strict::{Head, HeadError};

use super::closing::linger;
use super::head::{HeadRead, read_head};
use super::malformed::{head_limits, unreadable};
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
    let read = read_head(
        &mut tcp,
        &mut buffer,
        limits,
        limits.head_timeout,
        &mut closing,
    )
    .await;
    let received = match read {
        HeadRead::Complete(length) => {
            let raw = buffer.split_to(length).freeze();
            let head = Head::parse_within(&raw, &head_limits(limits));
            head.map(|head| Received::from_h1(raw, head))
        }
        HeadRead::Closed => return,
        HeadRead::TooSlow => Err(unreadable(408, "head_too_slow")),
        HeadRead::TooLarge => Err(unreadable(431, "head_too_large")),
    };
    let page = answer(received);
    if tcp.write_all(&page).await.is_ok() {
        linger(Box::new(pingora::protocols::l4::stream::Stream::from(tcp))).await;
    }
}
