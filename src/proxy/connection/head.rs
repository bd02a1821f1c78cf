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

/// Reads until `buffer` holds a complete head. `wait` is how long its first byte may take, whatever empty lines come before
/// it; the deadline of the head begins with that byte. So sending a byte now and then does not extend it (Slowloris).
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
    let idle_by = Instant::now() + wait;
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
        // Half of an empty line before the head is no part of it.
        let is_idle = buffer.is_empty() || empty_lines < MOST_EMPTY_LINES && **buffer == *b"\r";
        let read = if is_idle {
            first_bytes(stream, buffer, idle_by, shutdown).await
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
    mut by: Instant,
    shutdown: &mut watch::Receiver<bool>,
) -> usize {
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
    use tokio::io::AsyncWriteExt;

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

    fn at_once() -> tokio::runtime::Runtime {
        // One thread, so that timers end in the order of their times however slow the machine is.
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    /// What a client gets that sends these pieces, each after so many milliseconds, and how many of them it sends.
    fn read(wait: u64, limits: &ListenerLimits, pieces: &[(u64, &[u8])]) -> (HeadRead, usize) {
        let milliseconds = Duration::from_millis;
        at_once().block_on(async {
            let (mut client, mut stream) = tokio::io::duplex(1024);
            let (_sender, mut shutdown) = watch::channel(false);
            let mut sent = 0;
            let send = async {
                for (after, piece) in pieces {
                    tokio::time::sleep(milliseconds(*after)).await;
                    client.write_all(piece).await.unwrap();
                    sent += 1;
                }
                std::future::pending::<HeadRead>().await
            };
            let mut buffer = BytesMut::new();
            let wait = milliseconds(wait);
            let read = read_head(&mut stream, &mut buffer, limits, wait, &mut shutdown);
            let read = tokio::select! { read = read => read, never = send => never };
            (read, sent)
        })
    }

    #[test]
    fn empty_lines_do_not_extend_the_wait() {
        let line: (u64, &[u8]) = (100, b"\r\n");
        let (read, sent) = read(250, &ListenerLimits::default(), &[line; 4]);
        assert_eq!(read, HeadRead::Closed);
        assert!(sent < 4, "{sent}");
    }

    #[test]
    fn an_empty_line_in_pieces_does_not_begin_the_head() {
        let limits = ListenerLimits {
            head_timeout: Duration::from_millis(500),
            ..ListenerLimits::default()
        };
        let head: &[(u64, &[u8])] = &[(0, b"\r"), (0, b"\n"), (600, b"GET / HTTP/1.1\r\n\r\n")];
        let (read, sent) = read(60_000, &limits, head);
        assert_eq!((read, sent), (HeadRead::Complete(18), 3));
    }
}
