//! A connection that HTTP/1.1 is spoken on.
//!
//! Invariant: one exchange at a time. Whatever fails on a connection ends it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_openssl::SslStream;

use super::error::Fault;
use super::settings::Limits;

/// How long an idle connection is kept. Servers close theirs after a minute or so, often without a word.
const IDLE: Duration = Duration::from_secs(30);
/// The most fields of an answer.
const MOST_FIELDS: usize = 100;
/// hyper takes no smaller buffer.
const LEAST_BUFFER: usize = 8 * 1024;

/// A connection to a server that may be spoken to.
#[derive(Debug)]
pub(super) enum Dialled {
    Plain(TcpStream),
    Tls(SslStream<TcpStream>),
}

/// A connection that answered, or a fresh one.
#[derive(Debug)]
pub(super) struct Kept {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
    since: Instant,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // An exchange that was given up would otherwise hold its socket until the server ends it.
        self.task.abort();
    }
}

impl Kept {
    pub(super) async fn begin(dialled: Dialled, limits: &Limits) -> Result<Self, Fault> {
        match dialled {
            Dialled::Plain(tcp) => Self::over(tcp, limits).await,
            Dialled::Tls(tls) => Self::over(tls, limits).await,
        }
    }

    async fn over<S>(stream: S, limits: &Limits) -> Result<Self, Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_headers(MOST_FIELDS)
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.head_bytes.max(LEAST_BUFFER))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Fault::Internal(error.to_string()))?;
        // Its error reaches whoever waits for the answer as well.
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            task,
            since: Instant::now(),
        })
    }

    /// The connection that is kept here, if it is still of use.
    pub(super) async fn take(from: &Mutex<Option<Self>>) -> Option<Self> {
        // Taken out, so that another exchange at the same time dials a connection of its own.
        let kept = from.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut kept = kept.filter(|kept| kept.since.elapsed() < IDLE)?;
        kept.sender.ready().await.is_ok().then_some(kept)
    }

    pub(super) fn keep(mut self, at: &Mutex<Option<Self>>) {
        self.since = Instant::now();
        if !self.sender.is_closed() {
            *at.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
        }
    }

    /// Returns the request in the error if nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, TrySendError<http::Request<Full<Bytes>>>> {
        self.sender.try_send_request(request).await
    }
}
