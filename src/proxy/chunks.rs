//! The connection of a request with a chunked body. Its framing is checked byte by byte on the way to pingora,
//! whose reader is laxer than RFC 9112: it skips extensions and trailers, with the bare LFs in them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::{BodyError, ChunkedFraming};

#[derive(Debug)]
pub struct CheckedChunks {
    connection: Stream,
    /// What was read of the connection beyond the head.
    before: BytesMut,
    framing: ChunkedFraming,
    /// Once there is one nothing more is read.
    fault: Option<BodyError>,
}

impl CheckedChunks {
    /// A connection whose next bytes are `before` and then its own.
    #[must_use]
    pub fn new(connection: Stream, before: BytesMut) -> Self {
        Self {
            connection,
            before,
            framing: ChunkedFraming::default(),
            fault: None,
        }
    }

    /// The connection again, once its request is done, and what is left of `before`. None where the
    /// stream is no such connection.
    #[must_use]
    pub fn undo(stream: Stream) -> Option<(Stream, BytesMut)> {
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
            buffer.set_filled(known);
        }
        Poll::Ready(checked)
    }
}

impl AsyncWrite for CheckedChunks {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

// What follows says what the connection says.

#[async_trait]
impl Shutdown for CheckedChunks {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.connection).await;
    }
}

#[async_trait]
impl Peek for CheckedChunks {}

impl UniqueID for CheckedChunks {
    fn id(&self) -> UniqueIDType {
        self.connection.id()
    }
}

impl Ssl for CheckedChunks {
    fn get_ssl(&self) -> Option<&pingora::tls::ssl::SslRef> {
        self.connection.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<pingora::protocols::tls::SslDigest>> {
        self.connection.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<pingora::protocols::ALPN> {
        self.connection.selected_alpn_proto()
    }
}

impl GetTimingDigest for CheckedChunks {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.connection.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.connection.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.connection.get_write_pending_time()
    }
}

impl GetProxyDigest for CheckedChunks {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.connection.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.connection.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for CheckedChunks {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.connection.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.connection.set_socket_digest(digest);
    }
}
