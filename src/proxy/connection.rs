//! One connection: the handshake, then one request after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use openssl::ssl::{NameType, SslAcceptor};
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::protocols::tls::SslStream;
use pingora::protocols::{ALPN, Ssl, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use super::admission::Admitted;
use super::chunks::CheckedChunks;
use super::coalesced::{Coalesced, Writes};
use super::exchange;
use super::handshakes;
use super::head::{HeadRead, read_head};
use super::received::Received;
use super::refusal::{self, PageStyle};
use super::request_id::request_id;
use super::server::Front;
use super::workers::Worker;
use crate::config::{Listener, ListenerKind, ListenerLimits, SniPolicy};
use crate::http::{BodyFraming, Head, HeadError, HeadLimits};
use crate::telemetry::{AccessRecord, Metrics, Timing, TlsFacts, text};
use crate::tls::handshake::{Failed, Reason};
use crate::tls::{ClientCa, ClientIdentity, Hello, acceptor, group_text};

/// What is known of a connection.
#[derive(Debug)]
pub struct Connection {
    /// As it was when the connection came.
    pub listener: Arc<Listener>,
    pub client: SocketAddr,
    pub local: SocketAddr,
    pub tls: Option<TlsSession>,
    /// How long what is written to it is kept; of HTTP/1 alone.
    pub writes: Writes,
    /// The thread that it stays on.
    pub worker: Arc<Worker>,
    /// Counts as open until the last of its requests is logged.
    pub open: Open,
}

/// What a connection holds for as long as anything of it goes on.
#[derive(Debug)]
pub struct Open {
    metrics: Arc<Metrics>,
    _admitted: Admitted,
    /// Shutdown waits for the last of these.
    _alive: mpsc::Sender<()>,
    /// True once its listener is closing, alone or with all of them.
    pub closing: watch::Receiver<bool>,
}

impl Open {
    pub fn new(
        metrics: &Arc<Metrics>,
        admitted: Admitted,
        alive: mpsc::Sender<()>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        metrics.connections_accepted.count();
        metrics.connections_open.up();
        Self {
            metrics: Arc::clone(metrics),
            _admitted: admitted,
            _alive: alive,
            closing,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.connections_open.down();
    }
}

#[derive(Debug)]
pub struct TlsSession {
    pub version: &'static str,
    pub cipher: &'static str,
    /// Lower case, without the root's dot.
    pub sni: Option<String>,
    pub policy: SniPolicy,
    /// Of the key exchange.
    pub group: Option<String>,
    /// Whose client certificates were asked for.
    pub client_ca: Option<Arc<ClientCa>>,
    /// What was shown and verified in this handshake.
    pub client: Option<ClientIdentity>,
}

impl TlsSession {
    #[must_use]
    pub fn facts(&self) -> TlsFacts<'_> {
        TlsFacts {
            version: self.version,
            cipher: self.cipher,
            sni: self.sni.as_deref(),
            group: self.group.as_deref(),
            client: self.client.as_ref().map(|client| client.subject.as_str()),
        }
    }
}

/// Shakes hands and serves until the connection ends.
pub async fn serve_tls(
    front: Arc<Front>,
    worker: Arc<Worker>,
    listener: Arc<Listener>,
    tcp: TcpStream,
    client: SocketAddr,
    open: Open,
) {
    let snapshot = front.live.pin();
    let Some(acceptor) = snapshot.acceptor(&listener.name) else {
        // The listener is gone from the configuration and about to stop.
        return;
    };
    let ListenerKind::Tls { sni: policy, .. } = listener.kind else {
        return;
    };
    let Ok(local) = tcp.local_addr() else { return };
    // Small answers leave at once; an error here is a connection that is gone.
    let _ = tcp.set_nodelay(true);
    let mut hello = None;
    let shaken = shake(&acceptor, tcp, &mut hello);
    let shaken = timeout(listener.limits.handshake_timeout, shaken).await;
    let tls = match shaken.unwrap_or_else(|_| Err(Reason::Timeout.into())) {
        Ok(tls) => tls,
        Err(failed) => {
            let sni = match &hello {
                Some(Hello::Asks(name)) => name.as_deref(),
                _ => None,
            };
            return handshakes::failed(&front, &listener.name, client, sni, &failed);
        }
    };
    drop(snapshot);
    let ssl = tls.ssl();
    let asked = acceptor::asked_client(ssl);
    let session = TlsSession {
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map_or("", |c| c.name()),
        sni: ssl
            .servername(NameType::HOST_NAME)
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase()),
        policy,
        group: group_text(ssl),
        client_ca: asked.map(|asked| Arc::clone(&asked.ca)),
        client: asked.and_then(|asked| ClientIdentity::of(ssl, asked.verdict.get()?)),
    };
    let http2 = matches!(tls.selected_alpn_proto(), Some(ALPN::H2));
    let connection = Arc::new(Connection {
        listener,
        client,
        local,
        tls: Some(session),
        writes: Writes::default(),
        worker,
        open,
    });
    let stream: Stream = Box::new(tls);
    if http2 {
        let closing = connection.open.closing.clone();
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(connection.listener.limits.idle_timeout);
        let door = Arc::new(Http2 {
            options,
            begun: AtomicBool::new(false),
            working: Semaphore::new(connection.listener.limits.h2_streams as usize),
            front,
            connection,
        });
        serve_h2(&door, stream, &closing).await;
    } else {
        let stream = Box::new(Coalesced::new(stream, connection.writes.clone()));
        serve_h1(&front, &connection, stream).await;
    }
}

/// Shakes hands with a client whose hello was looked at first, and leaves it in `said`.
async fn shake(
    acceptor: &SslAcceptor,
    mut tcp: TcpStream,
    said: &mut Option<Hello>,
) -> Result<SslStream<pingora::protocols::l4::stream::Stream>, Failed> {
    let mut read = BytesMut::with_capacity(4096);
    let hello = loop {
        match Hello::parse(&read) {
            Hello::Partial(needed) => {
                while read.len() < needed {
                    match tcp.read_buf(&mut read).await {
                        Ok(1..) => {}
                        Ok(0) | Err(_) => return Err(Reason::Closed.into()),
                    }
                }
            }
            hello => break said.insert(hello),
        }
    };
    let unready = |error: String| Failed {
        reason: Reason::Other,
        detail: Some(error),
    };
    let mut io = pingora::protocols::l4::stream::Stream::from(tcp);
    io.rewind(&read);
    let ssl = acceptor::ssl(acceptor, hello).map_err(|e| unready(e.to_string()))?;
    let mut tls = SslStream::new(ssl, io).map_err(|e| unready(e.to_string()))?;
    match tls.accept().await {
        Ok(()) => Ok(tls),
        Err(error) => {
            let asked = acceptor::asked_client(tls.ssl());
            let verdict = asked.and_then(|asked| asked.verdict.get());
            Err(Failed::of(&error, verdict))
        }
    }
}

/// Pingora waits for an HTTP/2 preface without end. So a connection that brought no request within the
/// time it may idle is dropped; one that sent its preface ends then anyway.
async fn serve_h2(door: &Arc<Http2>, stream: Stream, closing: &ShutdownWatch) {
    let mut serving = door.process_new(stream, closing);
    let idle = door.connection.listener.limits.idle_timeout;
    if timeout(idle, &mut serving).await.is_err() && door.begun.load(Ordering::Relaxed) {
        serving.await;
    }
}

async fn serve_h1(front: &Arc<Front>, connection: &Arc<Connection>, mut stream: Stream) {
    let limits = &connection.listener.limits;
    let mut closing = connection.open.closing.clone();
    let mut buffer = BytesMut::new();
    let mut wait = limits.head_timeout;
    loop {
        let read = read_head(&mut stream, &mut buffer, limits, wait, &mut closing).await;
        let parsed = match read {
            HeadRead::Complete(length) => {
                let raw = buffer.split_to(length).freeze();
                let head = Head::parse_within(&raw, &head_limits(limits));
                head.map(|head| Received::from_h1(raw, head))
            }
            HeadRead::Closed => return,
            HeadRead::TooSlow => Err(unreadable(408, "head_too_slow")),
            HeadRead::TooLarge => Err(unreadable(431, "head_too_large")),
        };
        let received = match parsed {
            Ok(received) => received,
            Err(error) => return refuse_head(front, connection, stream, &error).await,
        };
        let chunked = received.framing() == BodyFraming::Chunked;
        if chunked {
            stream = Box::new(CheckedChunks::new(stream, buffer.split()));
        }
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelining_enabled(true);
        session.set_pipelined_prefix(framing_head(&received, &buffer));
        match session.read_request().await {
            Ok(true) => {}
            read => {
                let reason = read.err().map(|e| e.to_string()).unwrap_or_default();
                let error = HeadError {
                    status: 400,
                    code: "malformed",
                    reason,
                };
                let ServerSession::H1(h1) = session else {
                    return;
                };
                return refuse_head(front, connection, h1.into_inner(), &error).await;
            }
        }
        let Some(mut session) = exchange::run(front, connection, received, session).await else {
            return;
        };
        if !session.is_body_done() || session.get_keepalive().is_none() {
            // The client may still send; closing now could take the answer from it.
            let ServerSession::H1(h1) = session else {
                return;
            };
            return linger(h1.into_inner()).await;
        }
        let Ok(Some(reusable)) = session.finish().await else {
            return;
        };
        let (next, rest) = reusable.into_parts();
        stream = next;
        buffer = rest.unwrap_or_default();
        if chunked {
            let Some((next, unread)) = CheckedChunks::undo(stream) else {
                return;
            };
            stream = next;
            buffer.unsplit(unread);
        }
        wait = limits.idle_timeout;
    }
}

/// What pingora must know of a request to read its body and to write its answer. The rest stays
/// with us, where nobody escapes or reorders it.
fn framing_head(received: &Received, rest: &[u8]) -> BytesMut {
    const KEPT: [&[u8]; 5] = [
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    ];
    let mut head = BytesMut::with_capacity(256 + rest.len());
    head.put_slice(match received.method() {
        b"HEAD" => b"HEAD / ",
        _ => b"POST / ",
    });
    head.put_slice(received.protocol());
    head.put_slice(b"\r\nhost: x\r\n");
    for (name, value) in received.headers() {
        if KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
            head.put_slice(name);
            head.put_slice(b": ");
            head.put_slice(value);
            head.put_slice(b"\r\n");
        }
    }
    head.put_slice(b"\r\n");
    head.put_slice(rest);
    head
}

/// The bytes are bounded as the listener says; the number of fields as [`HeadLimits`] does.
fn head_limits(limits: &ListenerLimits) -> HeadLimits {
    HeadLimits {
        head: limits.head_bytes,
        line: limits.head_bytes,
        ..HeadLimits::default()
    }
}

fn unreadable(status: u16, code: &'static str) -> HeadError {
    HeadError {
        status,
        code,
        reason: code.replace('_', " "),
    }
}

/// A head that is no request gets a page, and the connection ends.
async fn refuse_head(
    front: &Front,
    connection: &Connection,
    mut stream: Stream,
    error: &HeadError,
) {
    front.metrics.malformed_heads.count();
    front.metrics.answered(error.status);
    let id = request_id();
    let style = PageStyle {
        request_id: &id,
        accept: None,
        head: false,
    };
    let page = refusal::bare(error.status, style, None);
    log_malformed(front, connection, &id, error, page.len() as u64);
    if stream.write_all(&page).await.is_ok() {
        linger(stream).await;
    }
}

fn log_malformed(front: &Front, connection: &Connection, id: &str, error: &HeadError, sent: u64) {
    front.access.write(&AccessRecord {
        time: std::time::SystemTime::now(),
        request_id: id,
        client: connection.client,
        listener: &connection.listener.name,
        host: None,
        method: "-".into(),
        path: "-".into(),
        protocol: "HTTP",
        route: None,
        status: error.status,
        bytes_in: 0,
        bytes_out: sent,
        ms: Timing::default(),
        tls: connection.tls.as_ref().map(TlsSession::facts),
        waf: None,
        upstream: None,
        error: Some(error.code.into()),
        reason: Some(text(error.reason.as_bytes())),
        body_inspected: false,
    });
}

/// Ends our side and lets the client finish its own for a moment, so that what we sent is not
/// lost to a reset (RFC 9112, 9.6).
async fn linger(mut stream: Stream) {
    const FORGOTTEN: usize = 1 << 20;
    const TIME: std::time::Duration = std::time::Duration::from_secs(2);
    let closing = async {
        // Errors mean that the client is gone, which is as good.
        let _ = stream.flush().await;
        let _ = AsyncWriteExt::shutdown(&mut stream).await;
        let mut sink = vec![0; 16 * 1024];
        let mut left = FORGOTTEN;
        while let Ok(read @ 1..) = stream.read(&mut sink).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(TIME, closing).await;
}

/// Pingora accepts the streams of an HTTP/2 connection; each comes here.
struct Http2 {
    front: Arc<Front>,
    connection: Arc<Connection>,
    options: HttpServerOptions,
    /// A request has come.
    begun: AtomicBool,
    /// Requests at work.
    working: Semaphore,
}

#[async_trait]
impl HttpServerApp for Http2 {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.begun.store(true, Ordering::Relaxed);
        let ended = session.is_body_done();
        let _working = self.turn(&mut session).await?;
        let limits = head_limits(&self.connection.listener.limits);
        match Received::from_h2(session.req_header(), ended, &limits) {
            Ok(received) => {
                let finished =
                    exchange::run(&self.front, &self.connection, received, session).await;
                // The stream was ended with its answer; nothing of it lives on.
                drop(finished);
            }
            Err(error) => self.refuse_head(&mut session, &error).await,
        }
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        let limits = &self.connection.listener.limits;
        let mut options = default_h2_options();
        options.max_concurrent_streams(limits.h2_streams);
        options.max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

impl Http2 {
    /// Waits until the connection has fewer requests at work than it may have streams. A stream that its
    /// client resets is closed to HTTP/2 at once, its request is not: opening and resetting streams
    /// must not get more work than keeping them (CVE-2023-44487). None where it was reset meanwhile.
    async fn turn(&self, session: &mut ServerSession) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.working.try_acquire() {
            return Some(permit);
        }
        let ServerSession::H2(stream) = session else {
            return None;
        };
        tokio::select! {
            biased;
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
        };
        let page = refusal::Refusal::page(error.status, error.code);
        // A client that is gone meanwhile has no use for it.
        let _ = refusal::answer(session, &page, style).await;
        log_malformed(&self.front, &self.connection, &id, error, 0);
    }
}

/// Reads one head from a plain connection and hands it to `answer`, which says what to send back.
pub async fn serve_plain(
    open: &Open,
    listener: &Listener,
    mut tcp: TcpStream,
    answer: impl FnOnce(Result<Received, HeadError>) -> Bytes,
) {
    let mut closing = open.closing.clone();
    let mut buffer = BytesMut::new();
    let limits = &listener.limits;
    let read = read_head(
        &mut tcp,
        &mut buffer,
        limits,
        limits.head_timeout,
        &mut closing,
    )
    .await;
    let received = match read {
        HeadRead::Complete(length) => {
            let raw = buffer.split_to(length).freeze();
            let head = Head::parse_within(&raw, &head_limits(limits));
            head.map(|head| Received::from_h1(raw, head))
        }
        HeadRead::Closed => return,
        HeadRead::TooSlow => Err(unreadable(408, "head_too_slow")),
        HeadRead::TooLarge => Err(unreadable(431, "head_too_large")),
    };
    let page = answer(received);
    if tcp.write_all(&page).await.is_ok() {
        linger(Box::new(pingora::protocols::l4::stream::Stream::from(tcp))).await;
    }
}
