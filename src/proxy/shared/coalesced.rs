//! Joins small writes of a connection: a head and its body, or a chunk and its size, leave as one TLS record and with
//! one system call.
//!
//! No byte waits longer than its [`WriteMode`] says, and bytes never change their order.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wrapper::delegate_stream_traits;

/// The most bytes of a TLS record (RFC 8446, 5.1); beyond it there is nothing to gain.
const RECORD: usize = 16 * 1024;

/// How long the writes of a connection are held back. All clones belong to the same connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteMode(Arc<AtomicU8>);

const AT_ONCE: u8 = 0;
const UNTIL_FLUSH: u8 = 1;
const JOINED: u8 = 2;

impl WriteMode {
    /// Writes are not held back. Bytes that were held back before leave with the next write.
    pub(crate) fn at_once(&self) {
        self.0.store(AT_ONCE, Ordering::Relaxed);
    }

    /// Writes are held back until they are flushed or fill a record. For a writer that flushes everything that must not
    /// wait.
    pub(crate) fn until_flush(&self) {
        self.0.store(UNTIL_FLUSH, Ordering::Relaxed);
    }

    /// Writes are held back even if they are flushed. For a head whose body follows at once.
    pub(crate) fn joined(&self) {
        self.0.store(JOINED, Ordering::Relaxed);
    }

    fn are(&self, kept: u8) -> bool {
        self.0.load(Ordering::Relaxed) == kept
    }
}

#[derive(Debug)]
pub(crate) struct CoalescedWrites {
    connection: Stream,
    /// Bytes that are held back; at most a record.
    kept: BytesMut,
    writes: WriteMode,
}

impl CoalescedWrites {
    #[must_use]
    pub(crate) fn new(connection: Stream, writes: WriteMode) -> Self {
        Self {
            connection,
            kept: BytesMut::new(),
            writes,
        }
    }

    fn poll_kept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let written = ready!(Pin::new(&mut self.connection).poll_write(context, &self.kept))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.kept.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for CoalescedWrites {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl AsyncWrite for CoalescedWrites {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let at_once = self.writes.are(AT_ONCE);
        if self.kept.is_empty() && (at_once || bytes.len() >= RECORD) {
            return Pin::new(&mut self.connection).poll_write(context, bytes);
        }
        if self.kept.len() >= RECORD {
            ready!(self.poll_kept(context))?;
        }
        let taken = bytes.len().min(RECORD - self.kept.len());
        self.kept
            .extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        if at_once {
            // If the socket takes nothing now, the bytes leave with the next write or the flush.
            if let Poll::Ready(Err(error)) = self.poll_kept(context) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Pingora flushes after a head; this is the flush to skip.
        if self.writes.are(JOINED) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_kept(context))?;
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_kept(context))?;
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

delegate_stream_traits!(CoalescedWrites);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// A connection of ours over TCP, and the client's end.
    async fn pair() -> (CoalescedWrites, WriteMode, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (server, _) = listener.accept().await.unwrap();
        let stream = pingora::protocols::l4::stream::Stream::from(server);
        let writes = WriteMode::default();
        let ours = CoalescedWrites::new(Box::new(stream), writes.clone());
        (ours, writes, client.unwrap())
    }

    async fn reads(client: &mut TcpStream) -> String {
        let mut buffer = [0; 4096];
        let read = client.read(&mut buffer).await.unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    #[tokio::test]
    async fn a_head_leaves_with_its_body() {
        let (mut ours, writes, mut client) = pair().await;
        writes.joined();
        ours.write_all(b"head ").await.unwrap();
        ours.flush().await.unwrap();
        assert_eq!(ours.kept, "head ");
        writes.at_once();
        ours.write_all(b"body").await.unwrap();
        assert!(ours.kept.is_empty(), "no flush is needed");
        assert_eq!(reads(&mut client).await, "head body");
        ours.write_all(b"more").await.unwrap();
        assert_eq!(reads(&mut client).await, "more");
    }

    #[tokio::test]
    async fn a_chunk_leaves_whole_when_it_is_flushed() {
        let (mut ours, writes, mut client) = pair().await;
        writes.until_flush();
        for part in ["4\r\n", "wiki", "\r\n"] {
            ours.write_all(part.as_bytes()).await.unwrap();
        }
        assert_eq!(ours.kept, "4\r\nwiki\r\n");
        ours.flush().await.unwrap();
        assert_eq!(reads(&mut client).await, "4\r\nwiki\r\n");
    }

    #[tokio::test]
    async fn everything_arrives_in_order() {
        let (mut ours, writes, mut client) = pair().await;
        let all: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let sent = all.clone();
        let writer = tokio::spawn(async move {
            let mut rest = &sent[..];
            for (n, size) in [1, 100, RECORD - 1, RECORD, RECORD + 1, 40_000, 7]
                .iter()
                .cycle()
                .enumerate()
            {
                match n % 3 {
                    0 => writes.joined(),
                    1 => writes.until_flush(),
                    _ => writes.at_once(),
                }
                let (now, later) = rest.split_at((*size).min(rest.len()));
                ours.write_all(now).await.unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            writes.until_flush();
            ours.flush().await.unwrap();
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        writer.await.unwrap();
        assert!(received == all);
    }
}
