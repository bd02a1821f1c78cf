//! A TLS connection to a server that must prove who it is: upstreams that are looked at, and whatever else the front door
//! connects to itself.
//!
//! Invariant: a stream that [`shake`] returns is TLS 1.2 or later, and its certificate was accepted for the name by
//! [`Verifier`]. OpenSSL's own store is empty, so nothing is accepted without that.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use openssl::error::ErrorStack;
use openssl::ssl::{
    Error, Ssl, SslContext, SslContextBuilder, SslMethod, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::refusal::{Judge, Refusal};
use super::verify::{Role, Verdict, Verifier};
use super::{CertifiedKey, DialFault, GROUPS, TrustBundle};

/// Who a server must be. Making one costs milliseconds where a bundle is large, so it is kept.
pub(crate) struct ExpectedServer {
    name: String,
    verifier: Verifier,
    judge: Judge,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ShakeError {
    /// OpenSSL does not take our own settings.
    Setup(ErrorStack),
    /// We do not take the server's certificate.
    Refused(Refusal),
    /// The handshake failed.
    Failed(Error, DialFault),
}

/// What the verify callback notes.
#[derive(Debug, Default)]
struct Notes {
    complaint: Option<Refusal>,
    verified: bool,
}

impl ExpectedServer {
    /// A server of this name (or address) whose certificate one of these CAs signed. The certificates in `at_hand` only
    /// help to explain a refusal.
    ///
    /// # Errors
    /// OpenSSL does not take a CA.
    pub(crate) fn new(
        name: &str,
        trust: &TrustBundle,
        at_hand: Vec<X509>,
    ) -> Result<Self, ErrorStack> {
        Ok(Self {
            name: name.to_owned(),
            verifier: Verifier::new(trust, Role::Server(name), &[])?,
            judge: Judge::new(name, trust, at_hand),
        })
    }
}

impl std::fmt::Debug for ExpectedServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ExpectedServer").field(&self.name).finish()
    }
}

/// Shakes hands, and offers the protocols in `alpn` (in wire format; may be empty).
///
/// # Errors
/// The server is not who it must be, or does not speak TLS as it must.
pub(crate) async fn shake(
    tcp: TcpStream,
    server: &Arc<ExpectedServer>,
    certificate: Option<&CertifiedKey>,
    alpn: &[u8],
) -> Result<SslStream<TcpStream>, ShakeError> {
    let notes = Arc::<Mutex<Notes>>::default();
    let client = client(server, certificate, alpn, &notes).map_err(ShakeError::Setup)?;
    let mut tls = SslStream::new(client, tcp).map_err(ShakeError::Setup)?;
    let shaken = Pin::new(&mut tls).connect().await;
    let notes = std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
    match (notes.complaint, shaken) {
        // Our own reason says more than the handshake error that follows from it.
        (Some(complaint), _) => Err(ShakeError::Refused(complaint)),
        (None, Ok(())) => Ok(tls),
        (None, Err(error)) => {
            let fault = match DialFault::of(&error) {
                // TLS 1.2 has no alert for a missing client certificate. We had accepted the server's, so little else
                // is left to refuse.
                DialFault::HandshakeRefused if notes.verified => DialFault::CertificateRequired,
                fault => fault,
            };
            Err(ShakeError::Failed(error, fault))
        }
    }
}

fn client(
    server: &Arc<ExpectedServer>,
    certificate: Option<&CertifiedKey>,
    alpn: &[u8],
    notes: &Arc<Mutex<Notes>>,
) -> Result<Ssl, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_groups_list(GROUPS)?;
    // The callback is the judge. The store is empty, so without the callback OpenSSL would accept no certificate.
    context.set_cert_store(X509StoreBuilder::new()?.build());
    if let Some(certified) = certificate {
        show(&mut context, certified)?;
    }
    let verdict = OnceLock::<Verdict>::new();
    let (notes, expected) = (Arc::clone(notes), Arc::clone(server));
    context.set_verify_callback(SslVerifyMode::PEER, move |_, store| {
        // OpenSSL may call back several times; the first call judges the whole chain for all of them.
        let verdict = verdict.get_or_init(|| expected.verifier.verify_presented(store));
        store.set_error(verdict.result);
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.verified = verdict.is_good();
        if !verdict.is_good() {
            let complaint = &mut notes.complaint;
            complaint.get_or_insert_with(|| expected.judge.refused(verdict));
        }
        verdict.is_good()
    });
    let mut ssl = Ssl::new(&context.build())?;
    if !alpn.is_empty() {
        ssl.set_alpn_protos(alpn)?;
    }
    // SNI never holds an address (RFC 6066, 3).
    if server.name.parse::<IpAddr>().is_err() {
        ssl.set_hostname(&server.name)?;
    }
    Ok(ssl)
}

fn show(context: &mut SslContextBuilder, certified: &CertifiedKey) -> Result<(), ErrorStack> {
    if let Some(leaf) = certified.chain.first() {
        context.set_certificate(leaf)?;
        context.set_private_key(&certified.key)?;
    }
    for intermediate in certified.intermediates() {
        context.add_extra_chain_cert(intermediate)?;
    }
    Ok(())
}
