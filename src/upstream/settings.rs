//! What the configuration decides about an upstream. Immutable: a reload makes new settings, and a pool
//! whose settings are equal to the old ones carries on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use openssl::x509::X509;

use crate::tls::{CertifiedKey, TrustBundle};

/// One upstream, as the configuration has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// At least one; every address of a name is a server.
    pub servers: Vec<Server>,
    /// How its servers are verified.
    pub tls: UpstreamTls,
    /// How its servers share the requests.
    pub balancing: Balancing,
    /// For a TCP connection and its TLS handshake.
    pub connect_timeout: Duration,
    /// The longest time between two reads of an answer.
    pub read_timeout: Duration,
    /// The longest time of a write of a request.
    pub write_timeout: Duration,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How many servers are tried for one request, the first included.
    pub attempts: usize,
    /// What is done about logins that are bound to a connection.
    pub connection_auth: ConnectionAuth,
    /// False if its files were refused at a reload and it did not run before: its requests are answered 503, and it
    /// trusts nobody.
    pub live: bool,
}

impl Upstream {
    /// The intermediates of our client certificate: the same private CA often signed the gateways' certificates.
    pub(super) fn at_hand(&self) -> Vec<X509> {
        let certified = self.tls.client_certificate.as_ref();
        certified.map_or_else(Vec::new, |certified| certified.intermediates())
    }
}

/// What is done about a login that a gateway binds to the connection (NTLM, Negotiate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionAuth {
    /// The client connection gets gateway connections of its own.
    Pin,
    /// Such requests are refused, and offers of such logins are removed from answers.
    Refuse,
}

/// Which of an upstream's servers a request goes to, and how many requests it takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Balancing {
    /// Whose turn it is.
    pub balance: Balance,
    /// A cookie that keeps a client at its server.
    pub affinity: Option<Affinity>,
    /// How servers are checked.
    pub health: Option<HealthCheck>,
    /// When a failing server is left alone.
    pub eject: Option<Ejection>,
    /// How many requests it gets at once.
    pub caps: Caps,
    /// How long a resolved name is valid at most; a shorter TTL holds.
    pub dns_refresh: Duration,
    /// The name servers; if there are none, those of `/etc/resolv.conf`.
    pub dns_servers: Vec<SocketAddr>,
}

/// An address or a name that stands for several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// A name in lower case, or an address (IPv6 without brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Its share of the requests, beside the other servers' weights; at least 1.
    pub weight: u32,
}

/// Which server gets the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// In turn, as often as their weights say.
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastConnections,
}

/// A client stays with the server that answered it first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    /// The name of the cookie.
    pub cookie: String,
    /// The key of the servers' ids in the cookie; without it, a secret of this process.
    pub key: Option<AffinityKey>,
}

/// A secret; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AffinityKey(pub Vec<u8>);

impl std::fmt::Debug for AffinityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AffinityKey(..)")
    }
}

/// Every server is asked, over TLS verified like a request's, whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path and query of the GET.
    pub path: String,
    /// The Host field of the check.
    pub host: String,
    /// The statuses of a healthy server.
    pub statuses: Vec<u16>,
    /// The time between two checks.
    pub interval: Duration,
    /// For a check from its first packet to the answer's status; at most `interval`.
    pub timeout: Duration,
    /// How many checks in a row bring a server back.
    pub healthy: u32,
    /// How many checks in a row take a server out.
    pub unhealthy: u32,
}

/// A server that fails requests is left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejection {
    /// How many consecutive failures eject a server.
    pub failures: u32,
    /// How long it is left alone.
    pub duration: Duration,
    /// Whether a 5xx answer is a failure.
    pub server_errors: bool,
}

/// How many requests one upstream gets at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// In flight, streams included; None is any number.
    pub connections: Option<usize>,
    /// How many more may wait for their turn.
    pub pending: usize,
    /// How long a request may wait.
    pub pending_timeout: Duration,
}

/// How an upstream's servers are verified.
#[derive(Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Sent as SNI and matched against the certificate; never empty.
    pub server_name: String,
    /// The CAs that may have signed their certificates.
    pub trust: Arc<TrustBundle>,
    /// The certificate that we show them.
    pub client_certificate: Option<Arc<CertifiedKey>>,
}
