//! One connection of the admin API or of the console: HTTP/1.1 with any number of requests, one after the
//! other.
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
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

use super::router::Response;
use super::slots::{Slot, Stage};

/// Bytes. Our own requests are far smaller; the limits keep a local process from filling the memory.
const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;
/// How long a connection may stay without a complete head, the time between two requests included; how long a body may
/// take; how long the client may take to read what we wrote.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The body of an answer: known at once, or a stream of events.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// Answers the requests of a connection until it ends.
pub(crate) async fn serve<S, H, F>(stream: S, slot: Slot, handler: H)
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
            Ok::<_, Infallible>(answer.map(|body| TrackedBody {
                body,
                _activity: request_activity,
            }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let connection = http.serve_connection(stream, service);
    tokio::select! {
        // An error is the client's: it is gone, too slow, or does not speak HTTP, and hyper has answered what can be
        // answered.
        _ = connection => {}
        () = activity.idle_too_long() => {}
    }
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
    /// None while there is a request.
    idle_since: Mutex<Option<Instant>>,
}

/// A request, until its answer is written.
struct RequestActivity(Arc<Activity>);

impl Activity {
    fn new(slot: Slot) -> Self {
        Self {
            slot,
            idle_since: Mutex::new(Some(Instant::now())),
        }
    }

    fn begin(self: &Arc<Self>) -> RequestActivity {
        *self.idle_since() = None;
        self.slot.set_stage(Stage::Answering);
        RequestActivity(Arc::clone(self))
    }

    async fn idle_too_long(&self) {
        loop {
            let idle = self
                .idle_since()
                .map_or(Duration::ZERO, |since| since.elapsed());
            match TIMEOUT.checked_sub(idle) {
                None | Some(Duration::ZERO) => return,
                Some(left) => sleep(left).await,
            }
        }
    }

    fn idle_since(&self) -> MutexGuard<'_, Option<Instant>> {
        // A time is stored whole.
        self.idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestActivity {
    fn drop(&mut self) {
        *self.0.idle_since() = Some(Instant::now());
        // From now on the connection is among the first to lose its slot.
        self.0.slot.set_stage(Stage::ReadingRequest);
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
