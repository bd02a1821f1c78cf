//! One connection: the handshake, then one request after the other.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use openssl::ssl::{NameType, SslAcceptor};
use pingora::protocols::http::ServerSession;
use pingora::protocols::tls::SslStream;
use pingora::protocols::{ALPN, SocketDigest, Ssl, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::admission::Admitted;
use super::ahead::{ReadAhead, Reads};
use super::chunks::CheckedChunks;
use super::coalesced::{Coalesced, Writes};
use super::handshakes;
use super::head::{HeadRead, read_head};
use super::logins::Logins;
use super::received::Received;
use super::refusal::{self, PageStyle};
use super::request_id::request_id;
use super::server::Front;
use super::workers::Worker;
use super::{exchange, http2};
use crate::config::{Listener, ListenerKind, ListenerLimits, SniPolicy};
use crate::telemetry::{AccessRecord, Metrics, Timing, TlsFacts, text};
use crate::tls::handshake::{Failed, Reason};
use crate::tls::{ClientCa, ClientIdentity, Hello, acceptor, group_text};
use http_strict::{BodyFraming, Head, HeadError, HeadLimits};

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
    /// Whether what is read of it is taken; of HTTP/1 alone.
    pub reads: Reads,
    /// The thread that it stays on.
    pub worker: Arc<Worker>,
    /// Ends with it.
    pub logins: Arc<Logins>,
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
    let socket = SocketDigest::from_raw_fd(tcp.as_raw_fd());
    let mut closing = open.closing.clone();
    let mut hello = None;
    let shaken = tokio::select! {
        shaken = timeout(
            listener.limits.handshake_timeout,
            shake(&acceptor, tcp, &mut hello),
        ) => shaken,
        () = closed_for(&mut closing, LAST_HANDSHAKE) => return,
    };
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
        reads: Reads::default(),
        worker,
        logins: Arc::default(),
        open,
    });
    let stream: Stream = Box::new(tls);
    if http2 {
        http2::serve(front, connection, stream, socket).await;
    } else {
        let watched = ReadAhead::new(stream, connection.reads.clone());
        let stream = Coalesced::new(Box::new(watched), connection.writes.clone());
        serve_h1(&front, &connection, Box::new(stream)).await;
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

/// How long a handshake may go on once its listener closes.
const LAST_HANDSHAKE: Duration = Duration::from_secs(3);

/// The listener has been closing for so long, counted from now at the earliest.
pub async fn closed_for(closing: &mut watch::Receiver<bool>, time: Duration) {
    // An error says that the sender is gone, which is a shutdown too.
    let _ = closing.wait_for(|closing| *closing).await;
    sleep(time).await;
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
            let reads = connection.reads.clone();
            stream = Box::new(CheckedChunks::new(stream, buffer.split(), reads));
        }
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelining_enabled(true);
        // Bodies and streams have deadlines of their own.
        session.set_read_timeout(None);
        session.set_pipelined_prefix(framing_head(&received, &buffer));
        match session.read_request().await {
            Ok(true) => {}
            read => {
                let reason = match read {
                    Err(error) => error.to_string(),
                    Ok(_) => "what frames the body was not understood".to_owned(),
                };
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
pub fn head_limits(limits: &ListenerLimits) -> HeadLimits {
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
    let sent = match stream.write_all(&page).await {
        Ok(()) => page.len() as u64,
        Err(_) => 0,
    };
    log_malformed(front, connection, &id, error, sent);
    if sent > 0 {
        linger(stream).await;
    }
}

pub fn log_malformed(
    front: &Front,
    connection: &Connection,
    id: &str,
    error: &HeadError,
    sent: u64,
) {
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
pub async fn linger(mut stream: Stream) {
    const FORGOTTEN: usize = 1 << 20;
    const TIME: Duration = Duration::from_secs(2);
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
