//! The configuration, resolved: every name looked up, every file read, every limit a number.
//!
//! `config` makes it from `drawbridge.toml`; `live`, `proxy` and `upstream` run it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::inputs::Inputs;
use crate::route::{Claim, Exposures, Pairs, RouteTable};
use crate::tls::{CertifiedKey, TrustBundle};
use seclang::diagnostic::Diagnostic;
use waf::{Reads, RuleSet, Store, UnparsedBodies};

pub use crate::route::Stream;
pub use crate::telemetry::{Log, LogSink};
pub use crate::tls::{SniPolicy, TlsPolicy, TlsSettings};
pub use crate::upstream::{
    Affinity, AffinityKey, Balance, Balancing, Caps, ConnectionAuth, Ejection, HealthCheck, Server,
    Upstream, UpstreamTls,
};

/// Everything one front door runs from.
#[derive(Debug)]
pub struct Config {
    /// The main file.
    pub source: PathBuf,
    /// Every file that was read.
    pub inputs: Inputs,
    /// Every chain and key, by its files.
    pub certificates: Certificates,
    /// Every rule set, with what it was made of.
    pub rule_sets: Vec<Arc<CompiledRules>>,
    pub listeners: Vec<Arc<Listener>>,
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    pub trust: BTreeMap<String, Arc<TrustBundle>>,
    pub policies: BTreeMap<String, Arc<Policy>>,
    /// Its routes name listeners, upstreams and policies that exist here.
    pub routes: RouteTable<Arc<Route>>,
    /// Their routes and listeners exist here.
    pub exposures: Exposures<Exposure>,
    /// Where switches are kept over a restart, and their audit; None where nothing is kept.
    pub state_dir: Option<PathBuf>,
    pub log: Log,
    /// Where the loopback API answers; nowhere if None.
    pub admin: Option<Admin>,
    /// Bytes of request bodies held at once over all requests; beyond it a request is answered 503.
    pub body_memory: usize,
    /// The persistent collections of all policies' rules; they go on over reloads.
    pub collections: Arc<Store>,
    /// How long requests in flight may take to finish after SIGTERM.
    pub shutdown_timeout: Duration,
}

/// The loopback API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub address: AdminAddress,
    /// There is one wherever `address` is a TCP address.
    pub token: Option<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// A loopback address.
    Tcp(SocketAddr),
    /// Only the socket's owner may connect.
    Unix(PathBuf),
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A secret that is never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.to_owned())
    }

    /// Takes as long wherever the two differ.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        let own = openssl::sha::sha256(self.0.as_bytes());
        openssl::memcmp::eq(&own, &openssl::sha::sha256(given))
    }

    /// For the one who must send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Token {}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(...)")
    }
}

#[derive(Debug)]
pub struct Listener {
    pub name: String,
    pub bind: Vec<SocketAddr>,
    pub kind: ListenerKind,
    pub limits: ListenerLimits,
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed and extended.
    pub trusted_proxies: Vec<IpNetwork>,
}

impl Listener {
    /// What it is made of could not be taken at a reload, and nothing of it ran before.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        matches!(&self.kind, ListenerKind::Tls { certificates, .. } if certificates.is_empty())
    }
}

#[derive(Debug, Clone)]
pub enum ListenerKind {
    Tls {
        /// At least one; the first answers where `sni` is [`SniPolicy::Any`] and no name fits.
        certificates: Vec<Arc<CertifiedKey>>,
        sni: SniPolicy,
        settings: TlsSettings,
    },
    /// Plain HTTP that answers 308 to this port of the named listener, and 404 for hosts no route of it names.
    Redirect { listener: String, port: u16 },
}

#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// From the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    pub head_bytes: usize,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Bytes a second a body must keep up on average, after a grace of `body_rate_grace`.
    pub body_min_rate: u64,
    pub body_rate_grace: Duration,
    pub handshake_timeout: Duration,
    /// Of a connection between requests, and of a client that takes nothing of what is written to it.
    pub idle_timeout: Duration,
    /// Of a stream on which neither side says anything.
    pub stream_idle_timeout: Duration,
    pub connections: usize,
    pub connections_per_address: usize,
    pub h2_streams: u32,
}

/// A route and what it leads to.
#[derive(Debug)]
pub struct Route {
    pub name: String,
    pub claim: Claim,
    pub upstream: Arc<Upstream>,
    pub policy: Arc<Policy>,
    pub stream: Option<Stream>,
    /// `client_certificate = "required"`: refused without a verified one, also where the listener
    /// lets such clients in.
    pub client_certificate: bool,
    /// `encoded_slashes = "pass"`: `%2f` in a path is let through as it is.
    pub pass_encoded_slashes: bool,
}

/// Routes on listeners that one team answers for and that one switch takes off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    pub name: String,
    pub owner: String,
    /// What it claims: routes that are served on these listeners.
    pub pairs: Pairs,
    pub off: OffAnswer,
}

/// What a client gets from an exposure that is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffAnswer {
    /// 503, with Retry-After where its end is known.
    Unavailable,
    /// 404, as for what does not exist.
    NotFound,
    /// The connection is closed without an answer.
    Close,
}

#[derive(Debug)]
pub struct Policy {
    pub name: String,
    pub mode: PolicyMode,
    /// What a limit, a parser error or a time budget that stops inspection means.
    pub on_uninspected: OnUninspected,
    /// Bytes; larger bodies are 413.
    pub request_body_limit: usize,
    /// Gateways are asked for answers without a content coding, whatever the client takes.
    pub asks_for_identity: bool,
    pub rules: PolicyRules,
}

impl Policy {
    /// Whether requests under it are answered at all.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.rules, PolicyRules::Refused)
    }
}

/// What a policy inspects with.
#[derive(Debug, Clone)]
pub enum PolicyRules {
    /// Nothing: `mode` is off.
    Off,
    Live(Arc<RuleSet>),
    /// They were refused and there is no last good version: until they are mended, what is under the policy is refused.
    Refused,
}

impl PolicyRules {
    #[must_use]
    pub fn live(&self) -> Option<&Arc<RuleSet>> {
        match self {
            Self::Live(rules) => Some(rules),
            Self::Off | Self::Refused => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyMode {
    Block,
    Detect,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnUninspected {
    Block,
    Detect,
}

/// An address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpNetwork {
    pub address: IpAddr,
    pub prefix: u8,
}

impl IpNetwork {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        fn differ(a: u128, b: u128, width: u8, prefix: u8) -> bool {
            prefix != 0 && (a ^ b) >> (width - prefix) != 0
        }
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                !differ(u32::from(a).into(), u32::from(b).into(), 32, self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => !differ(a.into(), b.into(), 128, self.prefix),
            _ => false,
        }
    }
}

/// Certified keys by the files of their chain and key.
pub type Certificates = BTreeMap<(PathBuf, PathBuf), Arc<CertifiedKey>>;

/// A part of the configuration that was not taken. Its last good version goes on, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `listener public`, `upstream orders`, `policy default`, `trust onprem`, or `configuration`: all of it.
    pub unit: String,
    /// The errors, as `check` gives them.
    pub reasons: Vec<Diagnostic>,
}

/// A rule set and what it was made of, so that a reload compiles only what has changed.
#[derive(Debug)]
pub struct CompiledRules {
    pub(crate) recipe: Recipe,
    pub(crate) reads: Reads,
    pub(crate) rules: Arc<RuleSet>,
}

/// Everything a rule set is made of. Equal recipes make equal rule sets while the files are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Recipe {
    pub(crate) mode: PolicyMode,
    pub(crate) on_uninspected: OnUninspected,
    /// `[log] audit` names a place for records.
    pub(crate) audited: bool,
    pub(crate) unparsed_bodies: UnparsedBodies,
    /// `waf_budget_ms`
    pub(crate) budget: Option<Duration>,
    pub(crate) request_body_limit: Option<usize>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) sources: Vec<RuleSource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RuleSource {
    Baseline,
    File(PathBuf),
}
