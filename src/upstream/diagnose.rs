//! Dials a server ourselves, to learn why it is not accepted and what it presents. Pingora reports too little of a
//! failed handshake. A dial sends no request; health checks use [`handshake`] and send their own.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslCipherRef, SslContext, SslMethod, SslRef, SslVerifyMode};
use openssl::x509::{X509, X509StoreContextRef};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::{Cause, Failure, Pool, Upstream, lock};
use crate::tls::dial::{ExpectedServer, ShakeError, shake};
use crate::tls::{DialFault, GROUPS, TrustBundle, group_text};

/// How long we wait for a server to refuse our client certificate after the handshake, as servers of TLS 1.3 do.
const LATE_ALERT: Duration = Duration::from_millis(500);

/// What a server presented.
#[derive(Debug)]
pub struct Presented {
    /// The address that was dialled.
    pub address: SocketAddr,
    /// The TLS version.
    pub version: &'static str,
    /// The cipher suite.
    pub cipher: Option<&'static str>,
    /// The key exchange group.
    pub group: Option<String>,
    /// The leaf first.
    pub chain: Vec<X509>,
}

/// All that a dial can find out.
#[derive(Debug)]
pub struct Examination {
    /// None if the name does not resolve.
    pub address: Option<SocketAddr>,
    /// Whether the TCP connection was established.
    pub connected: bool,
    /// What it presented, even if that was refused.
    pub presented: Option<Presented>,
    /// None if the proxy would use the server.
    pub failure: Option<Failure>,
}

/// Dials as the proxy would: the same name, trust and client certificate.
///
/// # Errors
/// The first thing that is wrong.
pub async fn dial(upstream: &Upstream, address: SocketAddr) -> Result<Presented, Failure> {
    dial_trusting(upstream, address, &upstream.tls.trust).await
}

/// Like [`dial`], with another trust bundle.
///
/// # Errors
/// The first thing that is wrong.
pub async fn dial_trusting(
    upstream: &Upstream,
    address: SocketAddr,
    trust: &TrustBundle,
) -> Result<Presented, Failure> {
    let tcp = connect(upstream, address).await?;
    strict(upstream, trust, address, tcp).await
}

/// A verified connection that offers the protocols in `alpn` (in wire format; may be empty).
///
/// # Errors
/// The first thing that is wrong.
pub async fn handshake(
    upstream: &Upstream,
    address: SocketAddr,
    alpn: &[u8],
) -> Result<SslStream<TcpStream>, Failure> {
    let tcp = connect(upstream, address).await?;
    verified(upstream, &upstream.tls.trust, alpn, tcp).await
}

/// Like [`dial`], but also reports what was presented if it is refused. That needs a second dial, which sends no client
/// certificate and no request.
pub async fn examine(upstream: &Upstream, address: SocketAddr) -> Examination {
    let mut examination = Examination {
        address: Some(address),
        connected: false,
        presented: None,
        failure: None,
    };
    let tcp = match connect(upstream, address).await {
        Ok(tcp) => tcp,
        Err(failure) => {
            examination.failure = Some(failure);
            return examination;
        }
    };
    examination.connected = true;
    match strict(upstream, &upstream.tls.trust, address, tcp).await {
        Ok(presented) => examination.presented = Some(presented),
        Err(failure) => {
            // A server that speaks no TLS, or not in time, would present nothing on a second dial either.
            if !matches!(failure.cause, Cause::Protocol | Cause::Timeout) {
                examination.presented = look(upstream, address).await;
            }
            examination.failure = Some(failure);
        }
    }
    examination
}

/// Examines every server, with the name that it has in logs. Names are looked up now.
pub async fn examine_all(pool: &Pool) -> Vec<(String, Examination)> {
    let mut all = Vec::new();
    for (name, address) in pool.locate().await {
        let found = match address {
            Ok(address) => examine(&pool.upstream, address).await,
            Err(failure) => Examination {
                address: None,
                connected: false,
                presented: None,
                failure: Some(failure),
            },
        };
        all.push((name, found));
    }
    all
}

/// The chain as far as OpenSSL could build it, from the verify callback.
type Shared = Arc<Mutex<Vec<X509>>>;

async fn strict(
    upstream: &Upstream,
    trust: &TrustBundle,
    address: SocketAddr,
    tcp: TcpStream,
) -> Result<Presented, Failure> {
    let tls = verified(upstream, trust, b"", tcp).await?;
    accepted(tls, address).await
}

async fn verified(
    upstream: &Upstream,
    trust: &TrustBundle,
    alpn: &[u8],
    tcp: TcpStream,
) -> Result<SslStream<TcpStream>, Failure> {
    let tls = &upstream.tls;
    let server = ExpectedServer::new(&tls.server_name, trust, upstream.at_hand());
    let server = Arc::new(server.map_err(|e| unready(&e))?);
    let certificate = tls.client_certificate.as_deref();
    let shaken = shake(tcp, &server, certificate, alpn);
    match timeout(upstream.connect_timeout, shaken).await {
        Err(_) => Err(Failure::new(Cause::Timeout, "no TLS handshake in time")),
        Ok(Ok(tls)) => Ok(tls),
        Ok(Err(ShakeError::Setup(error))) => Err(unready(&error)),
        Ok(Err(ShakeError::Refused(refusal))) => Err(refusal.into()),
        Ok(Err(ShakeError::Failed(error, fault))) => Err(handshake_failure(&error, fault)),
    }
}

/// Accepts whatever is presented, in order to show it. The connection is used for nothing else.
async fn look(upstream: &Upstream, address: SocketAddr) -> Option<Presented> {
    let tcp = connect(upstream, address).await.ok()?;
    let notes = Shared::default();
    let client = lenient_client(upstream, &notes).ok()?;
    let mut tls = SslStream::new(client, tcp).ok()?;
    let shaken = timeout(upstream.connect_timeout, Pin::new(&mut tls).connect()).await;
    let mut presented = facts(tls.ssl(), address);
    // A handshake that failed has no peer chain; the callback saw it.
    if presented.chain.is_empty() {
        presented.chain = std::mem::take(&mut lock(&notes));
    }
    (matches!(shaken, Ok(Ok(()))) || !presented.chain.is_empty()).then_some(presented)
}

fn unready(error: &ErrorStack) -> Failure {
    Failure::new(Cause::Internal, format!("cannot set up TLS: {error}"))
}

async fn connect(upstream: &Upstream, address: SocketAddr) -> Result<TcpStream, Failure> {
    match timeout(upstream.connect_timeout, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => Ok(tcp),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(Failure::new(Cause::Refused, "connection refused"))
        }
        Ok(Err(error)) => Err(Failure::new(
            Cause::Unreachable,
            format!("cannot connect: {error}"),
        )),
        Err(_) => Err(Failure::new(
            Cause::Timeout,
            format!(
                "no connection within {} s",
                upstream.connect_timeout.as_secs_f32()
            ),
        )),
    }
}

/// Waits a moment after the handshake: a server of TLS 1.3 refuses a client certificate, or its absence, only then.
async fn accepted(
    mut tls: SslStream<TcpStream>,
    address: SocketAddr,
) -> Result<Presented, Failure> {
    let mut byte = [0];
    let ended = match timeout(LATE_ALERT, tls.read(&mut byte)).await {
        // It waits for a request or speaks first, so it accepts us.
        Err(_) | Ok(Ok(1..)) => return Ok(facts(tls.ssl(), address)),
        Ok(Ok(0)) => None,
        Ok(Err(error)) => Some(error),
    };
    let fault = ended.as_ref().map_or(DialFault::Other, DialFault::of_io);
    let words = ended.map_or_else(|| "closed".to_owned(), |error| error.to_string());
    Err(match fault {
        DialFault::CertificateRequired => Failure::wants_client_certificate(),
        DialFault::CertificateRefused => Failure::new(
            Cause::ClientCertificate,
            format!("it does not take our client certificate: {words}"),
        ),
        _ => Failure::new(
            Cause::Closed,
            format!("it ends the connection right after the handshake: {words}"),
        ),
    })
}

fn facts(ssl: &SslRef, address: SocketAddr) -> Presented {
    Presented {
        address,
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map(SslCipherRef::name),
        group: group_text(ssl),
        chain: ssl
            .peer_cert_chain()
            .map(|chain| chain.iter().map(ToOwned::to_owned).collect())
            .unwrap_or_default(),
    }
}

fn handshake_failure(error: &openssl::ssl::Error, fault: DialFault) -> Failure {
    let cause = match fault {
        fault if fault.is_about_our_certificate() => Cause::ClientCertificate,
        DialFault::Weak => Cause::WeakCertificate,
        DialFault::Version => Cause::TlsVersion,
        DialFault::NotTls => Cause::Protocol,
        _ => Cause::Handshake,
    };
    Failure::new(cause, format!("{}: {error}", fault.words()))
}

fn lenient_client(upstream: &Upstream, notes: &Shared) -> Result<Ssl, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    // Also accepts what is too old or too weak to be used, in order to show it.
    context.set_min_proto_version(None)?;
    context.set_cipher_list("ALL:@SECLEVEL=0")?;
    context.set_groups_list(GROUPS)?;
    let notes = Arc::clone(notes);
    context.set_verify_callback(SslVerifyMode::PEER, move |_, store| {
        note_chain(&mut lock(&notes), store);
        true
    });
    let mut ssl = Ssl::new(&context.build())?;
    if upstream.tls.server_name.parse::<IpAddr>().is_err() {
        ssl.set_hostname(&upstream.tls.server_name)?;
    }
    Ok(ssl)
}

fn note_chain(notes: &mut Vec<X509>, store: &X509StoreContextRef) {
    if let Some(chain) = store.chain()
        // OpenSSL calls back while the chain grows; the longest one is the most complete.
        && chain.len() > notes.len()
    {
        *notes = chain.iter().map(ToOwned::to_owned).collect();
    }
}
