//! The connection of a request with a chunked body. Its framing is checked byte by byte on the way to pingora, whose
//! reader is laxer than RFC 9112: it skips extensions and trailers, with the bare LFs in them. A server that reads
//! those differently would find another request in the body.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use crate::proxy::shared::ahead::ReadMode;
use crate::proxy::shared::wrapper::{delegate_stream_traits, delegate_writes};
use http_strict::{BodyError, ChunkedFraming};

#[derive(Debug)]
pub(super) struct CheckedChunks {
    connection: Stream,
    /// The bytes that were read of the connection beyond the head.
    before: BytesMut,
    framing: ChunkedFraming,
    reads: ReadMode,
    /// Once there is an error, nothing more is read.
    fault: Option<BodyError>,
}

impl CheckedChunks {
    /// A connection whose next bytes are `before` and then its own.
    #[must_use]
    pub(super) fn new(connection: Stream, before: BytesMut, reads: ReadMode) -> Self {
        Self {
            connection,
            before,
            framing: ChunkedFraming::default(),
            reads,
            fault: None,
        }
    }

    /// Takes the connection apart once its request is done: the connection, and what is left of `before`. None if the
    /// stream is of another type.
    #[must_use]
    pub(super) fn undo(stream: Stream) -> Option<(Stream, BytesMut)> {
        let checked = stream.into_any().downcast::<Self>().ok()?;
        Some((checked.connection, checked.before))
    }

    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        let read = self.framing.read(bytes, |_| {});
        self.fault = read.err();
        self.refused()
    }

    fn refused(&self) -> io::Result<()> {
        match self.fault {
            None => Ok(()),
            Some(fault) => Err(io::Error::new(io::ErrorKind::InvalidData, fault)),
        }
    }
}

impl AsyncRead for CheckedChunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.refused()?;
        if self.reads.are_watched() {
            // The body is complete; this read only finds out whether the client is still there, so nothing is checked.
            return Pin::new(&mut self.connection).poll_read(context, buffer);
        }
        if !self.before.is_empty() {
            let length = self.before.len().min(buffer.remaining());
            let bytes: Bytes = self.before.split_to(length).freeze();
            self.check(&bytes)?;
            buffer.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        let known = buffer.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(context, buffer))?;
        let fresh = buffer.filled().get(known..).unwrap_or_default();
        let checked = self.check(fresh);
        if checked.is_err() {
            // No byte of a malformed chunk reaches pingora.
            buffer.set_filled(known);
        }
        Poll::Ready(checked)
    }
}

delegate_writes!(CheckedChunks);
delegate_stream_traits!(CheckedChunks);
