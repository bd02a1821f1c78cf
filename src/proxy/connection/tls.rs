//! Serves a TLS connection: the handshake, then HTTP/1.x or HTTP/2 by ALPN.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use openssl::ssl::{NameType, SslAcceptor};
use pingora::protocols::tls::SslStream;
use pingora::protocols::{ALPN, SocketDigest, Ssl, Stream};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::closing::closed_for;
use super::{h1, h2};
use crate::config::{Listener, ListenerKind};
use crate::proxy::forward::Proxy;
use crate::proxy::shared::ahead::{ReadAhead, ReadMode};
use crate::proxy::shared::coalesced::{CoalescedWrites, WriteMode};
use crate::proxy::shared::connection::{Connection, ConnectionGuard, TlsSession};
use crate::proxy::shared::front::Front;
use crate::telemetry::Counter;
use crate::tls::handshake::{Failed, Reason};
use crate::tls::{ClientHello, ClientIdentity, acceptor, group_text};

/// How long a handshake may go on after its listener begins to close.
const LAST_HANDSHAKE: Duration = Duration::from_secs(3);

/// Makes the handshake and serves until the connection ends.
pub(crate) async fn serve(
    front: Arc<Front>,
    proxy: Arc<Proxy>,
    listener: Arc<Listener>,
    tcp: TcpStream,
    client: SocketAddr,
    guard: ConnectionGuard,
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
    // The descriptor stays valid: `tcp` moves into the stream that lives as long as the connection.
    let socket = SocketDigest::from_raw_fd(tcp.as_raw_fd());
    let mut closing = guard.closing.clone();
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
            let handshakes = &front.handshakes;
            let sni = match &hello {
                Some(ClientHello::ServerName(name)) => name.as_deref(),
                _ => None,
            };
            return handshakes.failed(&front.metrics, &listener.name, client, sni, &failed);
        }
    };
    // A connection may live for days and must not keep an old snapshot; each request pins its own.
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
    let group = session.group.as_deref().unwrap_or("none").to_owned();
    let counts = &front.metrics.handshakes;
    let kind = (session.version, group);
    counts.with(&listener.name, &kind, Counter::count);
    let http2 = matches!(tls.selected_alpn_proto(), Some(ALPN::H2));
    let connection = Arc::new(Connection {
        listener,
        client,
        local,
        tls: Some(session),
        writes: WriteMode::default(),
        reads: ReadMode::default(),
        logins: Arc::default(),
        guard,
    });
    let stream: Stream = Box::new(tls);
    if http2 {
        h2::serve(front, proxy, connection, stream, socket).await;
    } else {
        let watched = ReadAhead::new(stream, connection.reads.clone());
        let stream = CoalescedWrites::new(Box::new(watched), connection.writes.clone());
        h1::serve(&front, &proxy, &connection, Box::new(stream)).await;
    }
}

/// Makes the handshake after reading the client's hello into `said`, so that the caller knows the name even if this is
/// cancelled.
async fn shake(
    acceptor: &SslAcceptor,
    mut tcp: TcpStream,
    said: &mut Option<ClientHello>,
) -> Result<SslStream<pingora::protocols::l4::stream::Stream>, Failed> {
    let mut read = BytesMut::with_capacity(4096);
    let hello = loop {
        match ClientHello::parse(&read) {
            ClientHello::Partial(needed) => {
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
    // OpenSSL must read the same bytes again.
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
