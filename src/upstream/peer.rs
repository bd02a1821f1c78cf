//! The peer that is dialled: what must be the same for two requests to share a connection, and
//! who the other side must be.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssl::ssl::SslRef;
use openssl::x509::X509;
use pingora::protocols::l4::ext::TcpKeepalive;
use pingora::protocols::{ALPN, Digest};
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::utils::tls::CertKey;
use pingora::{ErrorType, OrErr};
use tokio::net::TcpSocket;

use super::judge::Judge;
use super::own::{OwnConnections, Tether};
use super::{Cause, Failure, Upstream, lock};
use crate::route::Stream;
use crate::tls::GROUPS;
use crate::tls::reason::{self, CertificateFault};
use crate::tls::verify::{Role, Verifier};

/// A peer of one upstream without its address.
#[derive(Debug)]
pub struct PeerTemplate {
    peer: HttpPeer,
}

impl PeerTemplate {
    /// What all servers of an upstream have in common.
    #[must_use]
    pub fn new(upstream: &Upstream, alpn: ALPN) -> Self {
        let tls = &upstream.tls;
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut peer = HttpPeer::new(unset, true, tls.server_name.clone());
        peer.group_key = group_key(upstream, &alpn);
        peer.client_cert_key = tls
            .client_certificate
            .as_ref()
            // `CertKey::new` must not be given an empty chain.
            .filter(|certified| !certified.chain.is_empty())
            .map(|certified| {
                Arc::new(CertKey::new(certified.chain.clone(), certified.key.clone()))
            });
        let options = &mut peer.options;
        options.ca = Some(Arc::new(tls.trust.certificates.clone().into_boxed_slice()));
        options.alpn = alpn;
        options.connection_timeout = Some(upstream.connect_timeout);
        options.total_connection_timeout = Some(upstream.connect_timeout);
        options.read_timeout = Some(upstream.read_timeout);
        options.write_timeout = Some(upstream.write_timeout);
        options.idle_timeout = Some(upstream.idle_timeout);
        options.tcp_keepalive = Some(keepalive());
        // The request we hand over has no hop-by-hop headers left but those that we mean.
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
        options.max_h2_streams = 100;
        // The post-quantum hybrid first, and no group that nobody wants.
        options.curves = Some(GROUPS.into());
        let address = tls.server_name.parse::<IpAddr>().ok();
        // OpenSSL is told names only; an address is compared by `check_identity`.
        options.verify_hostname = address.is_none();
        let name = tls.server_name.clone();
        let path = OwnPath::of(upstream);
        // Then `identity` verifies: pingora can neither be told of anchors that are no roots, nor of two
        // CAs of one name. Nothing is sent before `check_identity` has seen what came of it.
        options.verify_cert = path.is_none();
        options.upstream_tls_handshake_complete_hook = Some(Arc::new(move |ssl| {
            let checked = identity(ssl, &name, address, path.as_ref());
            Some(Arc::new(IdentityCheck(checked)) as Arc<dyn Any + Send + Sync>)
        }));
        Self { peer }
    }

    /// The peer at this address, for a request that may stream. With `own`, its connection serves nobody but
    /// that client connection.
    #[must_use]
    pub fn at(
        &self,
        address: SocketAddr,
        stream: Option<Stream>,
        own: Option<&OwnConnections>,
    ) -> HttpPeer {
        let mut peer = self.peer.clone();
        peer._address = address.into();
        if stream.is_some() {
            // A stream may be silent for long.
            peer.options.read_timeout = None;
        }
        let tether = own.map(|own| own.bind(&mut peer));
        remember_socket(&mut peer, tether);
        peer
    }
}

/// What we know of a gateway connection; pingora carries it for as long as the connection lives.
struct ConnectionFacts {
    /// An [`IdentityCheck`].
    identity: Option<Arc<dyn Any + Send + Sync>>,
    /// To ask how much it takes. The one other descriptor of its socket that we hold.
    socket: Option<Arc<OwnedFd>>,
}

/// Has the connection that is dialled for this peer keep its socket, and the tether share it.
fn remember_socket(peer: &mut HttpPeer, tether: Option<Arc<Tether>>) {
    let dialled = Arc::new(Mutex::new(None));
    let options = &mut peer.options;
    let identity = options.upstream_tls_handshake_complete_hook.take();
    options.upstream_tls_handshake_complete_hook = Some(Arc::new({
        let dialled = Arc::clone(&dialled);
        move |ssl| {
            let identity = identity.as_ref().and_then(|identity| identity(ssl));
            let socket = lock(&dialled).take();
            Some(Arc::new(ConnectionFacts { identity, socket }))
        }
    }));
    options.upstream_tcp_sock_tweak_hook = Some(Arc::new(move |tcp: &TcpSocket| {
        let socket = tcp.as_fd().try_clone_to_owned().map(Arc::new);
        // Without it nothing is paced; the request fares as well.
        *lock(&dialled) = socket.as_ref().ok().cloned();
        if let Some(tether) = &tether {
            tether.hold(socket.or_err(ErrorType::SocketError, "no descriptor to hold it by")?);
        }
        Ok(())
    }));
}

/// The socket of a connection.
#[must_use]
pub fn socket(digest: Option<&Digest>) -> Option<Arc<OwnedFd>> {
    let tls = digest?.ssl_digest.as_ref()?;
    tls.extension.get::<ConnectionFacts>()?.socket.clone()
}

/// A host that is gone is noticed within two minutes, also on a stream that says nothing.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 6,
        user_timeout: Duration::from_secs(120),
    }
}

/// What the handshake said about the names of the certificate.
#[derive(Debug)]
pub struct IdentityCheck(Result<(), Failure>);

/// The verification of a bundle that pingora cannot be told of.
struct OwnPath {
    verifier: Result<Verifier, Failure>,
    judge: Judge,
}

impl OwnPath {
    /// None where OpenSSL judges alike while it shakes hands.
    fn of(upstream: &Upstream) -> Option<Self> {
        let tls = &upstream.tls;
        if tls.trust.plain {
            return None;
        }
        let verifier = Verifier::new(&tls.trust, Role::Server(&tls.server_name), &[]);
        let failed = |error| {
            let words = format!("nothing can be verified under its trust bundle: {error}");
            Failure::new(Cause::Internal, words)
        };
        Some(Self {
            verifier: verifier.map_err(failed),
            judge: Judge::new(upstream, &tls.trust),
        })
    }

    fn check(&self, ssl: &SslRef, leaf: &X509) -> Result<(), Failure> {
        let verifier = self.verifier.as_ref().map_err(Clone::clone)?;
        let presented = ssl.peer_cert_chain().into_iter().flatten().skip(1);
        let presented: Vec<X509> = presented.map(ToOwned::to_owned).collect();
        let verdict = verifier.verify(leaf, &presented);
        match verdict.is_good() {
            true => Ok(()),
            false => Err(self.judge.refused(&verdict)),
        }
    }
}

/// OpenSSL compared the name, but it takes a common name where there is no DNS name (RFC 9525, 2,
/// forbids it), and it was not told addresses.
fn identity(
    ssl: &SslRef,
    name: &str,
    address: Option<IpAddr>,
    path: Option<&OwnPath>,
) -> Result<(), Failure> {
    let Some(certificate) = ssl.peer_certificate() else {
        return Err(Failure::new(Cause::Handshake, "it has no certificate"));
    };
    if let Some(path) = path {
        path.check(ssl, &certificate)?;
    }
    let fits = match address {
        None => reason::has_dns_name(&certificate),
        Some(wanted) => certificate.subject_alt_names().is_some_and(|names| {
            names
                .iter()
                .filter_map(|n| n.ipaddress())
                .any(|bytes| reason::address(bytes) == Some(wanted))
        }),
    };
    if fits {
        return Ok(());
    }
    let fault = match address {
        None => CertificateFault::of_names(&certificate),
        Some(_) => CertificateFault::NameMismatch,
    };
    let words = reason::name_words(&certificate, name);
    Err(Failure::new(fault.into(), words))
}

/// What pingora leaves open: TLS 1.2 at least, and what OpenSSL does not say of names.
/// To be asked before the first byte of a request goes out.
///
/// # Errors
/// The connection must not be used.
pub fn check_identity(digest: Option<&Digest>) -> Result<(), Failure> {
    let Some(tls) = digest.and_then(|d| d.ssl_digest.as_ref()) else {
        return Err(Failure::new(Cause::Handshake, "the connection is not TLS"));
    };
    if !matches!(tls.version.as_ref(), "TLSv1.2" | "TLSv1.3") {
        return Err(Failure::new(
            Cause::TlsVersion,
            format!("it speaks {} only; TLS 1.2 is the least", tls.version),
        ));
    }
    let facts = tls.extension.get::<ConnectionFacts>();
    let identity = facts.and_then(|facts| facts.identity.as_ref());
    match identity.and_then(|identity| identity.downcast_ref::<IdentityCheck>()) {
        Some(IdentityCheck(checked)) => checked.clone(),
        // The hook is set for every peer.
        None => Err(Failure::new(
            Cause::Internal,
            "its certificate's names were not looked at",
        )),
    }
}

/// Pingora's own key holds address, name and the client certificate's serial number, but neither
/// the CA nor ALPN: a connection verified under one CA must never serve a peer that trusts another.
fn group_key(upstream: &Upstream, alpn: &ALPN) -> u64 {
    let tls = &upstream.tls;
    let mut hash = openssl::sha::Sha256::new();
    hash.update(&tls.trust.digest);
    match &tls.client_certificate {
        Some(certified) => {
            hash.update(&[1]);
            hash.update(&certified.digest);
        }
        None => hash.update(&[0]),
    }
    hash.update(alpn.to_string().as_bytes());
    hash.update(&[0]);
    hash.update(tls.server_name.as_bytes());
    let digest = hash.finish();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}
