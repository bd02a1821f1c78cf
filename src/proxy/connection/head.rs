//! Reads one request head from a connection, as bytes, with a deadline and a size.

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

use crate::config::ListenerLimits;
use crate::proxy::shared::deadline;

/// How long an idle connection may still send a request after the shutdown began; the answer says `Connection: close`.
/// Closing at once would lose a request that is on its way.
pub(super) const LAST_CALL: Duration = Duration::from_millis(500);

/// How many empty lines are ignored before a request (RFC 9112, 2.2): some clients end a body with one. More would let
/// a client hold a connection without a head.
const MOST_EMPTY_LINES: usize = 4;

/// The result of reading a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadRead {
    /// The head is the first so many bytes of the buffer.
    Complete(usize),
    /// The client sent nothing, so it gets no answer.
    Closed,
    TooSlow,
    TooLarge,
}

/// Reads until `buffer` holds a complete head. `wait` is how long the first byte may take; the deadline of the head
/// begins with that byte. So sending a byte now and then does not extend it (Slowloris).
pub(super) async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    limits: &ListenerLimits,
    wait: Duration,
    shutdown: &mut watch::Receiver<bool>,
) -> HeadRead {
    let mut scanned = 0;
    let mut deadline = None;
    let mut empty_lines = 0;
    loop {
        while empty_lines < MOST_EMPTY_LINES && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            empty_lines += 1;
            scanned = 0;
        }
        if let Some(end) = end_of_head(buffer, &mut scanned) {
            return match end > limits.head_bytes {
                true => HeadRead::TooLarge,
                false => HeadRead::Complete(end),
            };
        }
        // Before the next read, so that a head without an end does not grow the buffer.
        if buffer.len() > limits.head_bytes {
            return HeadRead::TooLarge;
        }
        buffer.reserve(4096);
        let read = if buffer.is_empty() {
            first_bytes(stream, buffer, wait, shutdown).await
        } else {
            let by = *deadline.get_or_insert_with(|| Instant::now() + limits.head_timeout);
            match deadline::before(by, stream.read_buf(buffer)).await {
                // A read error is a client that is gone, like an end of the stream.
                Ok(read) => read.unwrap_or(0),
                Err(_) => return HeadRead::TooSlow,
            }
        };
        if read == 0 {
            return HeadRead::Closed;
        }
    }
}

/// Returns 0 if the client closed, was idle for too long, or the front door is closing.
async fn first_bytes<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    wait: Duration,
    shutdown: &mut watch::Receiver<bool>,
) -> usize {
    let mut by = Instant::now() + wait;
    if *shutdown.borrow() {
        by = by.min(Instant::now() + LAST_CALL);
        return read_by(stream, buffer, by).await;
    }
    tokio::select! {
        biased;
        read = read_by(stream, buffer, by) => return read,
        // An error says that the sender is gone, which is a shutdown too.
        _ = shutdown.changed() => {}
    }
    // The shutdown began while the connection was idle.
    by = by.min(Instant::now() + LAST_CALL);
    read_by(stream, buffer, by).await
}

async fn read_by<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    by: Instant,
) -> usize {
    match deadline::before(by, stream.read_buf(buffer)).await {
        Ok(Ok(read)) => read,
        _ => 0,
    }
}

/// The length of the head with its empty line. Bare line feeds count as line ends, because the parser must see them to
/// refuse them. `scanned` is where to go on, so that a head in small pieces is scanned only once.
fn end_of_head(buffer: &[u8], scanned: &mut usize) -> Option<usize> {
    let mut from = *scanned;
    while let Some(found) = memchr::memchr(b'\n', buffer.get(from..)?) {
        let feed = from + found;
        match buffer.get(feed + 1..)? {
            [b'\n', ..] => return Some(feed + 2),
            [b'\r', b'\n', ..] => return Some(feed + 3),
            [] | [b'\r'] => {
                *scanned = feed;
                return None;
            }
            _ => from = feed + 1,
        }
    }
    *scanned = buffer.len();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_it_arrives() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n";
        let mut scanned = 0;
        for arrived in 0..head.len() {
            let expected = (arrived >= 27).then_some(27);
            assert_eq!(end_of_head(&head[..arrived], &mut scanned), expected);
        }
        assert_eq!(end_of_head(b"GET / HTTP/1.1\n\nx", &mut 0), Some(16));
        assert_eq!(end_of_head(b"GET / HTTP/1.1\r\n\nx", &mut 0), Some(17));
        assert_eq!(end_of_head(b"\r\n\r\n", &mut 0), Some(4));
    }
}
