//! Serves one HTTP/2 connection: accepts its streams and decides when it ends.
//!
//! Invariants: a connection ends only when no request is running and the client has acknowledged all answers, or if it
//! floods us; at most as many requests run as it may have streams.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::Reason;
use pingora::Result;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora::protocols::{Digest, SocketDigest, Stream};
use pingora::time::sleep;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

use super::closing::{closed_for, linger};
use super::flood;
use super::frames::{FrameWatch, WatchedFrames};
use super::head::LAST_CALL;
use super::header_blocks::FRAGMENT;
use super::malformed::{head_limits, log_malformed};
use crate::config::ListenerLimits;
use crate::proxy::forward::Proxy;
use crate::proxy::request::exchange;
use crate::proxy::shared::connection::Connection;
use crate::proxy::shared::front::Front;
use crate::proxy::shared::page::{PageStyle, RefusalLook};
use crate::proxy::shared::received::Received;
use crate::proxy::shared::refusal::{self, Refusal};
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::proxy::shared::request_id::request_id;
use crate::time::seconds;
use http_strict::HeadError;

type Streams = h2::server::Connection<Stream, Bytes>;

/// How many malformed requests a connection may send before it is closed.
const MOST_REJECTED: usize = 32;
/// How long a closing connection waits for a client that acknowledges nothing of its last answers.
const STALLED: Duration = Duration::from_secs(3);
/// How long the final GOAWAY may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves until the connection ends.
pub(super) async fn serve(
    front: Arc<Front>,
    proxy: Arc<Proxy>,
    connection: Arc<Connection>,
    stream: Stream,
    socket: SocketDigest,
) {
    let watch = Arc::new(FrameWatch::default());
    let limits = &connection.listener.limits;
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let frames = WatchedFrames::new(stream, limits.head_bytes, Arc::clone(&watch));
    let shaking = handshake(Box::new(frames), Some(options(limits)));
    let mut closing = connection.guard.closing.clone();
    let shaken = tokio::select! {
        shaken = timeout(limits.idle_timeout, shaking) => shaken.ok().and_then(Result::ok),
        () = closed_for(&mut closing, LAST_CALL) => None,
    };
    if let Some(streams) = shaken {
        let working = Semaphore::new(limits.h2_streams as usize);
        let serving = Serving {
            streams,
            busy: Arc::new(watch::Sender::new(0)),
            draining: false,
            rejected: 0,
            taken: None,
            socket,
            requests: Arc::new(Http2 {
                front,
                proxy,
                connection,
                working,
            }),
        };
        serving.run(&digest, &watch).await;
    }
    if let Some(stream) = watch.connection() {
        linger(stream).await;
    }
}

fn options(limits: &ListenerLimits) -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_streams(limits.h2_streams);
    options.max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    options
}

/// Ready when no request has been running for `patience`.
async fn quiet(busy: &mut watch::Receiver<usize>, patience: Duration) {
    // The sender lives as long as the connection does.
    let _ = busy.wait_for(|busy| *busy == 0).await;
    sleep(patience).await;
}

struct Serving {
    streams: Streams,
    requests: Arc<Http2>,
    /// How many requests are running.
    busy: Arc<watch::Sender<usize>>,
    /// We sent a GOAWAY; the streams that exist are served to their end.
    draining: bool,
    /// How many malformed requests the h2 crate rejected.
    rejected: usize,
    socket: SocketDigest,
    /// The bytes that the client had acknowledged at the last check whether the connection may end.
    taken: Option<u64>,
}

#[allow(clippy::large_enum_variant)] // one at a time, and no allocation for each request
enum Event {
    Closing,
    Quiet,
    Flood(u8),
    Accepted(Result<Option<H2Accept>>),
}

impl Serving {
    async fn run(mut self, digest: &Arc<Digest>, watch: &FrameWatch) {
        let mut closing = self.requests.connection.guard.closing.clone();
        let mut busy = self.busy.subscribe();
        loop {
            let patience = self.patience();
            let event = tokio::select! {
                // In this order: a flood must not be hidden by the streams that it opens, and a stream goes before the
                // end of the connection.
                biased;
                // An error says that the sender is gone, which is a shutdown too.
                _ = closing.wait_for(|closing| *closing), if !self.draining => Event::Closing,
                kind = watch.flooded() => Event::Flood(kind),
                accepted = HttpSession::from_h2_conn(&mut self.streams, Arc::clone(digest)) => {
                    Event::Accepted(accepted)
                }
                () = quiet(&mut busy, patience) => Event::Quiet,
            };
            if self.take(event).is_break() {
                break;
            }
        }
        // Sends the GOAWAY if it is not sent yet, and ends the streams.
        let goodbye = async { while let Some(Ok(_)) = self.streams.accept().await {} };
        let _ = timeout(GOODBYE, goodbye).await;
    }

    fn take(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Closing => {
                self.draining = true;
                self.streams.graceful_shutdown();
            }
            Event::Quiet => {
                if !self.is_still_taken() {
                    return self.end(Reason::NO_ERROR);
                }
            }
            Event::Flood(kind) => {
                self.requests.tell_flood(kind);
                return self.end(Reason::ENHANCE_YOUR_CALM);
            }
            Event::Accepted(Ok(Some(H2Accept::Session(session)))) => {
                self.taken = None;
                self.spawn(ServerSession::new_http2(session));
            }
            Event::Accepted(Ok(Some(H2Accept::Rejected))) => {
                self.rejected += 1;
                if self.rejected >= MOST_REJECTED {
                    return self.end(Reason::ENHANCE_YOUR_CALM);
                }
            }
            // The connection has ended; the h2 crate has sent a GOAWAY if one was needed.
            Event::Accepted(Ok(None) | Err(_)) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self, reason: Reason) -> ControlFlow<()> {
        self.streams.abrupt_shutdown(reason);
        ControlFlow::Break(())
    }

    fn patience(&self) -> Duration {
        match (self.draining, self.taken) {
            (false, _) => self.requests.connection.listener.limits.idle_timeout,
            (true, None) => LAST_CALL,
            (true, Some(_)) => STALLED,
        }
    }

    /// Whether the client still acknowledges answers: some bytes are open, and it acknowledged some since the last
    /// check. Only the kernel knows, because our writes end in its buffer.
    fn is_still_taken(&mut self) -> bool {
        // A socket without information is closed.
        let Some(tcp) = self.socket.tcp_info() else {
            return false;
        };
        let open = tcp.tcpi_unacked > 0 || tcp.tcpi_notsent_bytes > 0 || self.streams.has_streams();
        let before = self.taken.replace(tcp.tcpi_bytes_acked);
        open && before.is_none_or(|before| before < tcp.tcpi_bytes_acked)
    }

    fn spawn(&self, session: ServerSession) {
        let requests = Arc::clone(&self.requests);
        let at_work = RunningRequest::new(&self.busy);
        tokio::spawn(async move {
            let _at_work = at_work;
            requests.answer(session).await;
        });
    }
}

/// A running request; no longer counted once this is dropped.
struct RunningRequest(Arc<watch::Sender<usize>>);

impl RunningRequest {
    fn new(busy: &Arc<watch::Sender<usize>>) -> Self {
        busy.send_modify(|busy| *busy += 1);
        Self(Arc::clone(busy))
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.send_modify(|busy| *busy -= 1);
    }
}

/// What the requests of a connection share.
struct Http2 {
    front: Arc<Front>,
    proxy: Arc<Proxy>,
    connection: Arc<Connection>,
    /// One permit for each running request.
    working: Semaphore,
}

impl Http2 {
    async fn answer(&self, mut session: ServerSession) {
        // A client that gives a stream no window blocks its answer; the kernel's deadline does not see that.
        session.set_write_timeout(Some(self.connection.listener.limits.idle_timeout));
        let ended = session.is_body_done();
        let Some(_working) = self.turn(&mut session).await else {
            return;
        };
        match self.received(&session, ended) {
            Ok(received) => {
                let finished = exchange::run(
                    &self.front,
                    &self.proxy,
                    &self.connection,
                    received,
                    session,
                )
                .await;
                // The answer ended the stream; there is no connection to reuse.
                drop(finished);
            }
            Err(error) => self.refuse_head(&mut session, &error).await,
        }
    }

    fn received(&self, session: &ServerSession, ended: bool) -> Result<Received, HeadError> {
        let header = session.req_header();
        if header.headers.contains_key(FRAGMENT) {
            return Err(HeadError {
                status: 400,
                code: "fragment_in_target",
                reason: ":path holds a fragment".to_owned(),
            });
        }
        let limits = head_limits(&self.connection.listener.limits);
        Received::from_h2(header, ended, &limits)
    }

    /// Waits until the connection runs fewer requests than it may have streams. A stream that its client resets is
    /// closed for HTTP/2 at once, but its request still runs: opening and resetting streams must not cause more work
    /// than keeping them (CVE-2023-44487). None if it was reset meanwhile.
    async fn turn(&self, session: &mut ServerSession) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.working.try_acquire() {
            return Some(permit);
        }
        let ServerSession::H2(stream) = session else {
            return None;
        };
        tokio::select! {
            biased;
            // Without this, streams that were reset would wait for a permit too.
            _ = stream.idle() => None,
            // The semaphore is never closed.
            permit = self.working.acquire() => permit.ok(),
        }
    }

    async fn refuse_head(&self, session: &mut ServerSession, error: &HeadError) {
        self.front.metrics.malformed_heads.count();
        self.front.metrics.answered(error.status);
        let id = request_id();
        let style = PageStyle {
            request_id: &id,
            accept: None,
            head: false,
            look: &RefusalLook::of_listener(&self.connection.listener),
        };
        let page = Refusal::page(error.status, RefusalCode::Http(error.code));
        // An error means that the client is gone; the access line records how much it got.
        let _ = refusal::answer(session, &page, style).await;
        let sent = session.body_bytes_sent() as u64;
        log_malformed(&self.front, &self.connection, &id, error, sent);
    }

    /// Logs at most one line a second, over all connections, so that a flood does not fill the log. The counter counts
    /// all.
    fn tell_flood(&self, kind: u8) {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        self.front.metrics.http2_floods.count();
        let second = seconds(SystemTime::now());
        if TOLD.swap(second, Ordering::Relaxed) != second {
            tracing::warn!(
                target: "http2",
                client = %self.connection.client,
                listener = self.connection.listener.name,
                "the client sent too many {} frames; its connection is closed",
                flood::name(kind)
            );
        }
    }
}
