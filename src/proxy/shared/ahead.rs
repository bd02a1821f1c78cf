//! Watches the client of an HTTP/1 connection while its request is answered. A client that leaves is noticed, even
//! after it sent more than its request; the bytes that it sent ahead wait here for the next request.
//!
//! Pingora alone would keep an early byte and never look at the connection again.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use super::wrapper::{delegate_stream_traits, delegate_writes};

/// How many bytes a client may send ahead before it is no longer read.
const MOST_AHEAD: usize = 64 * 1024;
const STEP: usize = 4096;

/// Whether reads only find out if the client is still there; all clones belong to the same connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadMode(Arc<AtomicU8>);

const TAKEN: u8 = 0;
const WATCHED: u8 = 1;
const WATCHED_STREAM: u8 = 2;

/// Ends the watching when it is dropped.
#[derive(Debug)]
pub(crate) struct WatchGuard(ReadMode);

impl ReadMode {
    /// Until the value is dropped, a read is ready only if the client left. A `stream` has no next request, so a client
    /// that sends without end on it counts as gone.
    #[must_use]
    pub(crate) fn watch(&self, stream: bool) -> WatchGuard {
        let state = if stream { WATCHED_STREAM } else { WATCHED };
        self.0.store(state, Ordering::Relaxed);
        WatchGuard(self.clone())
    }

    pub(crate) fn are_watched(&self) -> bool {
        self.0.load(Ordering::Relaxed) != TAKEN
    }

    fn are_of_a_stream(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WATCHED_STREAM
    }
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.0.store(TAKEN, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct ReadAhead {
    connection: Stream,
    ahead: BytesMut,
    reads: ReadMode,
}

impl ReadAhead {
    #[must_use]
    pub(crate) fn new(connection: Stream, reads: ReadMode) -> Self {
        Self {
            connection,
            ahead: BytesMut::new(),
            reads,
        }
    }

    /// Ready when the client is gone.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.ahead.len() >= MOST_AHEAD {
                if self.reads.are_of_a_stream() {
                    let words = "the client sends what no request asked for";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, words)));
                }
                // Reading goes on with the next request; until then the deadlines of the gateway end a request.
                return Poll::Pending;
            }
            // Read into the stack first, so that a client that sends nothing ahead costs no memory.
            let mut step = [const { MaybeUninit::uninit() }; STEP];
            let mut buffer = ReadBuf::uninit(&mut step);
            ready!(Pin::new(&mut self.connection).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(buffer.filled());
        }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads.are_watched() {
            return self.poll_gone(context);
        }
        if self.ahead.is_empty() {
            return Pin::new(&mut self.connection).poll_read(context, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(self.ahead.get(..length).unwrap_or_default());
        self.ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

delegate_writes!(ReadAhead);
delegate_stream_traits!(ReadAhead);

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    async fn pair() -> (ReadAhead, ReadMode, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (server, _) = listener.accept().await.unwrap();
        let stream = pingora::protocols::l4::stream::Stream::from(server);
        let reads = ReadMode::default();
        let ours = ReadAhead::new(Box::new(stream), reads.clone());
        (ours, reads, client.unwrap())
    }

    /// What comes at once, if anything does.
    async fn soon(ours: &mut ReadAhead) -> Option<usize> {
        let read = ours.read_u8();
        let read = timeout(Duration::from_millis(200), read).await.ok()?;
        Some(read.map_or(0, |_| 1))
    }

    #[tokio::test]
    async fn what_comes_ahead_waits_and_the_end_is_seen() {
        let (mut ours, reads, mut client) = pair().await;
        client.write_all(b"next").await.unwrap();
        let watching = reads.watch(false);
        assert_eq!(soon(&mut ours).await, None, "nothing is taken");
        client.shutdown().await.unwrap();
        assert_eq!(soon(&mut ours).await, Some(0), "the client is gone");
        drop(watching);
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"next");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        for stream in [false, true] {
            let (mut ours, reads, mut client) = pair().await;
            let writer = tokio::spawn(async move {
                let _ = client.write_all(&vec![b'x'; 32 << 20]).await;
            });
            let watching = reads.watch(stream);
            let read = timeout(Duration::from_millis(500), ours.read_u8()).await;
            match stream {
                true => assert!(read.unwrap().is_err()),
                false => assert!(read.is_err(), "no end in sight"),
            }
            assert!(ours.ahead.len() < MOST_AHEAD + STEP);
            drop(watching);
            assert_eq!(ours.read_u8().await.unwrap(), b'x');
            writer.abort();
        }
    }
}
