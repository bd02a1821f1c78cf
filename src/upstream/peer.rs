//! The peer that is dialled: what must be equal for two requests to share a connection, and who the other side must be.
//!
//! No byte of a request is sent before [`check_identity`] has accepted the connection.

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

use super::own::{OwnConnections, Tether};
use super::{Cause, Failure, Upstream, lock};
use crate::route::Stream;
use crate::tls::GROUPS;
use crate::tls::reason::{self, CertificateFault};
use crate::tls::refusal::Judge;
use crate::tls::verify::{Role, Verifier};

/// The peer of an upstream without an address.
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
            // `CertKey::new` panics on an empty chain.
            .filter(|certified| !certified.chain.is_empty())
            .map(|certified| {
                Arc::new(CertKey::new(certified.chain.clone(), certified.key.clone()))
            });
        let options = &mut peer.options;
        options.ca = Some(Arc::new(tls.trust.certificates.clone().into_boxed_slice()));
        options.alpn = alpn;
        options.connection_timeout = Some(upstream.connect_timeout);
        // Includes the TLS handshake, so a server that stalls in it is given up too.
        options.total_connection_timeout = Some(upstream.connect_timeout);
        options.read_timeout = Some(upstream.read_timeout);
        options.write_timeout = Some(upstream.write_timeout);
        options.idle_timeout = Some(upstream.idle_timeout);
        options.tcp_keepalive = Some(keepalive());
        // Pingora must not change the head: it has only those hop-by-hop fields that we wrote.
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
        options.max_h2_streams = 100;
        // The post-quantum hybrid first, and no weak group.
        options.curves = Some(GROUPS.into());
        let address = tls.server_name.parse::<IpAddr>().ok();
        // Pingora gives OpenSSL only names to compare; `identity` compares an address.
        options.verify_hostname = address.is_none();
        let name = tls.server_name.clone();
        let path = OwnPath::of(upstream);
        // If there is one, `identity` verifies the chain: pingora supports neither anchors that are no roots nor two
        // CAs of one name. Nothing is sent before `check_identity` has seen the result.
        options.verify_cert = path.is_none();
        options.upstream_tls_handshake_complete_hook = Some(Arc::new(move |ssl| {
            let checked = identity(ssl, &name, address, path.as_ref());
            Some(Arc::new(IdentityCheck(checked)) as Arc<dyn Any + Send + Sync>)
        }));
        Self { peer }
    }

    /// The peer at this address, for a request that may be a stream. With `own`, its connection serves only that client
    /// connection.
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
            // A stream may be silent for long; `stream_idle_timeout` bounds it.
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
    /// To ask the kernel how much the gateway takes. The only other descriptor of this socket that we hold.
    socket: Option<Arc<OwnedFd>>,
}

/// Makes the connection that is dialled for this peer keep its socket, which the tether shares.
fn remember_socket(peer: &mut HttpPeer, tether: Option<Arc<Tether>>) {
    // A dial runs the hook of its TCP socket before that of its handshake, so this carries the socket from one to the
    // other.
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
        // Without the descriptor the body is not paced, and the request goes on.
        *lock(&dialled) = socket.as_ref().ok().cloned();
        // Here the dial fails without it: we could not end the connection, and with it the login, when the client
        // leaves.
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

/// A host that vanished is noticed within two minutes, also on a stream that is silent.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 6,
        user_timeout: Duration::from_secs(120),
    }
}

/// The result of checking the server's certificate in the handshake.
#[derive(Debug)]
pub struct IdentityCheck(Result<(), Failure>);

/// Our own verification, for a bundle that pingora does not support.
struct OwnPath {
    verifier: Result<Verifier, Failure>,
    judge: Judge,
}

impl OwnPath {
    /// None if OpenSSL comes to the same result during the handshake.
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
            // Kept, so that a dial fails with the reason and other upstreams go on.
            verifier: verifier.map_err(failed),
            judge: Judge::new(&tls.server_name, &tls.trust, upstream.at_hand()),
        })
    }

    fn check(&self, ssl: &SslRef, leaf: &X509) -> Result<(), Failure> {
        let verifier = self.verifier.as_ref().map_err(Clone::clone)?;
        let presented = ssl.peer_cert_chain().into_iter().flatten().skip(1);
        let presented: Vec<X509> = presented.map(ToOwned::to_owned).collect();
        let verdict = verifier.verify(leaf, &presented);
        match verdict.is_good() {
            true => Ok(()),
            false => Err(self.judge.refused(&verdict).into()),
        }
    }
}

/// Checks what OpenSSL leaves open: it accepts a common name if there is no DNS name, which RFC 9525, 2, forbids, and
/// it did not compare addresses.
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

/// Refuses what pingora accepts: TLS below 1.2, and certificates that the handshake hook refused. Must be called before
/// the first byte of a request is sent.
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
        // Cannot happen, because the hook is set for every peer; if it does, the connection is not used.
        None => Err(Failure::new(
            Cause::Internal,
            "its certificate's names were not looked at",
        )),
    }
}

/// Pingora's own pool key holds the address, the name and the client certificate's serial number, but neither the CAs
/// nor ALPN. A connection that was verified under one CA must never serve a peer that trusts another.
fn group_key(upstream: &Upstream, alpn: &ALPN) -> u64 {
    let tls = &upstream.tls;
    let mut hash = openssl::sha::Sha256::new();
    hash.update(&tls.trust.digest);
    match &tls.client_certificate {
        Some(certified) => {
            // The tags keep a client certificate's digest apart from what follows.
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
