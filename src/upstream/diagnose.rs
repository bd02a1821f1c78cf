//! A dial of our own, to learn why a server is not taken.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509StoreContextRef, X509VerifyResult};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::{Cause, Failure};
use crate::config::Upstream;
use crate::tls::reason::{self, CertificateFault};

/// How long a server may take to say that it wants a client certificate (TLS 1.3 does so late).
const LATE_ALERT: Duration = Duration::from_millis(500);

/// What a server that was taken presented.
#[derive(Debug)]
pub struct Presented {
    pub address: SocketAddr,
    pub version: &'static str,
    pub cipher: Option<&'static str>,
    pub chain: Vec<X509>,
}

/// Dials as the proxy would: the same name, trust and client certificate.
///
/// # Errors
/// The first thing that is wrong.
pub async fn dial(upstream: &Upstream, address: SocketAddr) -> Result<Presented, Failure> {
    accepted(handshake(upstream, address, b"").await?, address).await
}

/// A verified connection, speaking what `alpn` offers (in the form it has on the wire; may be empty).
///
/// # Errors
/// The first thing that is wrong.
pub async fn handshake(
    upstream: &Upstream,
    address: SocketAddr,
    alpn: &[u8],
) -> Result<SslStream<TcpStream>, Failure> {
    let tcp = connect(upstream, address).await?;
    let complaint = Arc::new(Mutex::new(None));
    let ssl = client(upstream, alpn, &complaint)
        .map_err(|error| Failure::new(Cause::Internal, format!("cannot set up TLS: {error}")))?;
    let mut tls = SslStream::new(ssl, tcp)
        .map_err(|error| Failure::new(Cause::Internal, format!("cannot set up TLS: {error}")))?;
    let handshake = timeout(upstream.connect_timeout, Pin::new(&mut tls).connect()).await;
    let complaint = complaint
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match handshake {
        _ if complaint.is_some() => complaint.map_or_else(|| unreachable(address), Err),
        Err(_) => Err(Failure::new(Cause::Timeout, "no TLS handshake in time")),
        Ok(Err(error)) => Err(handshake_failure(&error)),
        Ok(Ok(())) => Ok(tls),
    }
}

/// `complaint` was just seen to be there.
fn unreachable(address: SocketAddr) -> Result<SslStream<TcpStream>, Failure> {
    Err(Failure::new(
        Cause::Handshake,
        format!("{address} was refused"),
    ))
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

/// What the other side does after the handshake tells whether it wanted a client certificate.
async fn accepted(
    mut tls: SslStream<TcpStream>,
    address: SocketAddr,
) -> Result<Presented, Failure> {
    let mut byte = [0];
    if let Ok(Err(error)) = timeout(LATE_ALERT, tls.read(&mut byte)).await
        && error.to_string().contains("certificate required")
    {
        return Err(Failure::new(
            Cause::ClientCertificate,
            "it asks for a client certificate and did not get one that it takes",
        ));
    }
    let ssl = tls.ssl();
    Ok(Presented {
        address,
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map(|c| c.name()),
        chain: ssl
            .peer_cert_chain()
            .map(|chain| chain.iter().map(ToOwned::to_owned).collect())
            .unwrap_or_default(),
    })
}

fn handshake_failure(error: &openssl::ssl::Error) -> Failure {
    let text = error.to_string();
    let has = |needle: &str| text.contains(needle);
    if has("certificate required") || has("alert bad certificate") || has("alert unknown ca") {
        return Failure::new(
            Cause::ClientCertificate,
            format!("it does not take our client certificate, or wants one: {text}"),
        );
    }
    if has("protocol version") || has("unsupported protocol") {
        return Failure::new(
            Cause::TlsVersion,
            format!("no TLS version in common; TLS 1.2 is the least: {text}"),
        );
    }
    if has("wrong version number") || has("packet length too long") || has("http request") {
        return Failure::new(Cause::Protocol, format!("it does not speak TLS: {text}"));
    }
    Failure::new(Cause::Handshake, format!("TLS handshake failed: {text}"))
}

fn client(
    upstream: &Upstream,
    alpn: &[u8],
    complaint: &Arc<Mutex<Option<Failure>>>,
) -> Result<Ssl, ErrorStack> {
    let tls = &upstream.tls;
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let mut store = X509StoreBuilder::new()?;
    for ca in &tls.trust.certificates {
        store.add_cert(ca.clone())?;
    }
    context.set_cert_store(store.build());
    if let Some(certified) = &tls.client_certificate {
        let mut chain = certified.chain.iter();
        if let Some(leaf) = chain.next() {
            context.set_certificate(leaf)?;
            context.set_private_key(&certified.key)?;
        }
        for intermediate in chain {
            context.add_extra_chain_cert(intermediate.clone())?;
        }
    }
    let trusted: Vec<String> = tls
        .trust
        .certificates
        .iter()
        .map(|ca| reason::name_text(ca.subject_name()))
        .collect();
    let (name, bundle) = (tls.server_name.clone(), tls.trust.name.clone());
    let complaint = Arc::clone(complaint);
    context.set_verify_callback(SslVerifyMode::PEER, move |fine, store| {
        if !fine {
            let mut first = complaint.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| refused(store, &name, &bundle, &trusted));
        }
        fine
    });
    let mut ssl = Ssl::new(&context.build())?;
    if !alpn.is_empty() {
        ssl.set_alpn_protos(alpn)?;
    }
    match tls.server_name.parse::<IpAddr>() {
        Ok(address) => ssl.param_mut().set_ip(address)?,
        Err(_) => {
            ssl.set_hostname(&tls.server_name)?;
            ssl.param_mut().set_host(&tls.server_name)?;
        }
    }
    Ok(ssl)
}

/// OpenSSL's complaint about the certificate it looks at, in words.
fn refused(store: &X509StoreContextRef, name: &str, bundle: &str, trusted: &[String]) -> Failure {
    let result: X509VerifyResult = store.error();
    let fault = CertificateFault::of(result);
    let certificate = store.current_cert();
    let issuer = certificate.map_or_else(String::new, |c| reason::name_text(c.issuer_name()));
    let subject = certificate.map_or_else(String::new, |c| reason::name_text(c.subject_name()));
    let words = match fault {
        CertificateFault::Untrusted => format!(
            "certificate not trusted: {} (issuer \"{issuer}\"; trust bundle \"{bundle}\" has {})",
            result.error_string(),
            reason::list(trusted)
        ),
        CertificateFault::NameMismatch => format!(
            "certificate does not name {name} (it names {})",
            reason::list(&certificate.map(reason::names).unwrap_or_default())
        ),
        CertificateFault::Expired => format!(
            "certificate expired at {} (subject \"{subject}\")",
            certificate.map_or_else(String::new, |c| reason::time_text(c.not_after()))
        ),
        CertificateFault::NotYetValid => format!(
            "certificate is not valid before {} (subject \"{subject}\")",
            certificate.map_or_else(String::new, |c| reason::time_text(c.not_before()))
        ),
        CertificateFault::Weak => {
            format!(
                "certificate is too weak: {} (subject \"{subject}\")",
                result.error_string()
            )
        }
    };
    Failure::new(fault.into(), words)
}
