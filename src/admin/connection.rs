//! One connection of the admin API or of the console: HTTP/1.1 with any number of requests, one after the other, or
//! HTTP/2 with some at once.
//!
//! Invariants: a head and a body are bounded in size and time; so is every write, because a client that reads nothing
//! would hold its answer in our memory for ever. A handler has no deadline: a reload may take longer than all of these and
//! has one of its own.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

use super::router::Response;
use super::slots::{Slot, Stage};

/// Bytes. Our own requests are far smaller; the limits keep a local process from filling the memory.
const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;
/// [`MAX_HEAD`], as HTTP/2 counts it.
const MAX_HEADER_LIST: u32 = 16 * 1024;
/// How long a connection may stay without a complete head, the time between two requests included; how long a body may
/// take; how long the client may take to read what we wrote.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Streams of an HTTP/2 connection at once: more than a browser wants of a page. Each may hold an answer.
const MAX_STREAMS: u32 = 16;
/// Streams that the client resets before they are answered, before the connection ends (CVE-2023-44487), and those that it
/// makes us reset (CVE-2025-8671).
const MAX_RESETS: usize = 32;
/// Bytes of an HTTP/2 stream, and of all of a connection, that the client may send before we have read them.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// Which HTTP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// The body of an answer: known at once, or a stream of events.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// Answers the requests of a connection until it ends.
pub(crate) async fn serve<S, H, F>(stream: S, protocol: Protocol, slot: Slot, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(http::Request<Incoming>) -> F,
    F: Future<Output = http::Response<AnswerBody>> + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TIMEOUT));
    let stream = TokioIo::new(Box::pin(stream));
    let activity = Arc::new(Activity::new(slot));
    let service = service_fn(|request| {
        let (request_activity, answer) = (activity.begin(), handler(request));
        async move {
            let answer = answer.await;
            request_activity.0.slot.set_stage(Stage::WritingAnswer);
            // The body owns the activity: a stream of events is no silence.
            Ok::<_, Infallible>(answer.map(|body| TrackedBody {
                body,
                _activity: request_activity,
            }))
        }
    });
    // An error is the client's: it is gone, too slow, or does not speak HTTP, and hyper has answered what can be answered.
    match protocol {
        Protocol::Http1 => tokio::select! {
            _ = http1().serve_connection(stream, service) => {}
            () = activity.idle_too_long() => {}
        },
        Protocol::Http2 => tokio::select! {
            _ = http2().serve_connection(stream, service) => {}
            () = activity.idle_too_long() => {}
        },
    }
}

fn http1() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    http
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // What a client does not read waits in here, for each of its streams.
        .max_send_buf_size(MAX_BODY)
        // A client that vanishes during a stream of events is never idle; only a ping finds out.
        .keep_alive_interval(TIMEOUT)
        .keep_alive_timeout(TIMEOUT);
    http
}

/// Reads a body.
///
/// # Errors
/// It is too large, too slow, or incomplete: the answer that says so.
pub(crate) async fn read_body(body: Incoming) -> Result<Vec<u8>, Response> {
    // A length that is too large is refused before a byte is read.
    let announced = body.size_hint().lower();
    if announced > MAX_BODY as u64 {
        return Err(Response::error(413, "the body is too large"));
    }
    match timeout(TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().into()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Response::error(413, "the body is too large"))
        }
        Ok(Err(_)) => Err(Response::error(400, "the body is incomplete")),
        Err(_) => Err(Response::error(408, "the body took too long")),
    }
}

/// A body that is known at once.
pub(crate) fn whole_body(bytes: impl Into<Bytes>) -> AnswerBody {
    Full::new(bytes.into()).boxed_unsync()
}

/// Since when a connection has no request. hyper's own deadline begins with the first byte of a head, so it does not end a
/// connection that keeps silent after an answer.
struct Activity {
    slot: Slot,
    requests: Mutex<Requests>,
}

struct Requests {
    at_once: usize,
    /// When the last one ended.
    since: Instant,
}

/// A request, until its answer is written.
struct RequestActivity(Arc<Activity>);

impl Activity {
    fn new(slot: Slot) -> Self {
        Self {
            slot,
            requests: Mutex::new(Requests {
                at_once: 0,
                since: Instant::now(),
            }),
        }
    }

    fn begin(self: &Arc<Self>) -> RequestActivity {
        self.requests().at_once += 1;
        self.slot.set_stage(Stage::Answering);
        RequestActivity(Arc::clone(self))
    }

    async fn idle_too_long(&self) {
        loop {
            // Requests that came during the last sleep have moved the end.
            match TIMEOUT.checked_sub(self.idle()) {
                None | Some(Duration::ZERO) => return,
                Some(left) => sleep(left).await,
            }
        }
    }

    fn idle(&self) -> Duration {
        let requests = self.requests();
        match requests.at_once {
            0 => requests.since.elapsed(),
            _ => Duration::ZERO,
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        // Both fields are valid at any time.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestActivity {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        requests.at_once = requests.at_once.saturating_sub(1);
        requests.since = Instant::now();
        if requests.at_once == 0 {
            // From now on the connection is among the first to lose its slot.
            self.0.slot.set_stage(Stage::ReadingRequest);
        }
    }
}

/// An answer's body, which ends the activity of its request.
struct TrackedBody {
    body: AnswerBody,
    _activity: RequestActivity,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
