//! The configuration that can be run: every name is looked up, every file is read, every limit is a number.
//!
//! The other modules of `config` make it from `drawbridge.toml`; `live` and `proxy` run it. It never changes: a reload
//! makes a new one, so a request sees one configuration from its head to its end.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::inputs::{Contents, Inputs};
use crate::events::EventSettings;
use crate::hex::hex;
use crate::identity::issuer::Exchanger;
use crate::identity::{OwnFields, Provider, Signing};
use crate::limits::Limit;
use crate::route::{Exposures, Pairs, RouteTable};
use crate::tls::{CertifiedKey, TrustBundle};
use crate::transform::{ErrorPages, FieldChanges, SecurityHeaders};
use seclang::diagnostic::Diagnostic;
use waf::{Reads, RuleSet, Store, UnparsedBodies};

pub use super::console_settings::{
    ClientRoles, ConsoleOpenId, ConsoleSettings, ConsoleTls, RoleClaim,
};
pub use super::policy_settings::{
    ExclusionFile, OnExpiry, OnUninspected, Policy, PolicyMode, PolicyRules, Shadow,
};
pub use super::route_settings::{Route, RouteTarget};
pub use crate::route::Stream;
pub use crate::telemetry::otlp::OtlpSettings;
pub use crate::telemetry::{AccessFormat, Log, LogSink, Syslog};
pub use crate::tls::{SniPolicy, TlsPolicy, TlsSettings};
pub use crate::upstream::{
    Affinity, AffinityKey, Balance, Balancing, Caps, ConnectionAuth, Ejection, HealthCheck, Server,
    Upstream, UpstreamTls,
};

/// Everything that a front door runs from.
#[derive(Debug)]
pub struct Config {
    /// The path of the main file.
    pub source: PathBuf,
    /// Every file that was read.
    pub inputs: Inputs,
    /// What these files held when they were read; only [`load`](super::load) notes it.
    pub contents: Contents,
    /// The certified keys that are used, by their files.
    pub certificates: Certificates,
    /// Every rule set, with what it was made of.
    pub rule_sets: Vec<Arc<CompiledRules>>,
    /// In the order of their names.
    pub listeners: Vec<Arc<Listener>>,
    /// By name.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// Trust bundles, by name.
    pub trust: BTreeMap<String, Arc<TrustBundle>>,
    /// By name.
    pub policies: BTreeMap<String, Arc<Policy>>,
    /// By name.
    pub limits: BTreeMap<String, Arc<Limit>>,
    /// The issuers whose tokens are taken, by name.
    pub identity: BTreeMap<String, Arc<Provider>>,
    /// The header fields of these issuers that no client may send.
    pub identity_fields: OwnFields,
    /// How tokens for gateways are signed; None if none are.
    pub signing: Option<Arc<Signing>>,
    /// Where callers' tokens are exchanged for others, by name.
    pub exchanges: BTreeMap<String, Arc<Exchanger>>,
    /// What refusals look like, in the order of the names.
    pub error_pages: Vec<Arc<ErrorPages>>,
    /// Its routes name listeners, upstreams and policies that exist here.
    pub routes: RouteTable<Arc<Route>>,
    /// They name routes and listeners that exist here.
    pub exposures: Exposures<Exposure>,
    /// The folder of the exposures' switches and their audit. With None, switches are lost at a restart.
    pub state_dir: Option<PathBuf>,
    /// Which requests are kept in the `state_dir`; with None, none are. With some, there is a `state_dir`.
    pub events: Option<EventSettings>,
    /// Where the access log and audit records go.
    pub log: Log,
    /// The collector of traces and logs; with None there is none.
    pub otlp: Option<Arc<OtlpSettings>>,
    /// Where the admin API answers; with None there is no API.
    pub admin: Option<Admin>,
    /// The web console; with None there is none.
    pub console: Option<ConsoleSettings>,
    /// What the console needs for TLS. With None a console that [has TLS](ConsoleSettings::has_tls) answers nobody.
    pub console_tls: Option<ConsoleTls>,
    /// The console's logins by OpenID Connect, if there are any.
    pub console_openid: Option<Arc<ConsoleOpenId>>,
    /// How many bytes of bodies may be held at once, over all requests. Beyond it a request is answered 503.
    pub body_memory: usize,
    /// The persistent collections of all policies' rules. They outlive a reload.
    pub collections: Arc<Store>,
    /// How long requests in flight may take to finish after SIGTERM.
    pub shutdown_timeout: Duration,
}

/// The admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it answers.
    pub address: AdminAddress,
    /// What callers must send. It is always there if `address` is a TCP address.
    pub token: Option<Token>,
}

/// Where the admin API answers.
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

/// The secret of the admin API. It is never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Keeps a copy of the secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.to_owned())
    }

    /// Whether both are equal. The time it takes does not depend on where they differ.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        // `memcmp::eq` demands equal lengths and panics otherwise. Hashes have that, and hide the token's length too.
        let own = openssl::sha::sha256(self.0.as_bytes());
        openssl::memcmp::eq(&own, &openssl::sha::sha256(given))
    }

    /// The secret itself, for a client that must send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        // Not derived: a comparison that ends at the first difference would reveal by its time how much of a guess is
        // right.
        self.is(other.0.as_bytes())
    }
}

impl Eq for Token {}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not derived: a configuration that is logged must not hold the secret.
        f.write_str("Token(...)")
    }
}

/// Where clients come in.
#[derive(Debug)]
pub struct Listener {
    /// The name of its table.
    pub name: String,
    /// The addresses of this machine where clients connect; at least one.
    pub bind: Vec<SocketAddr>,
    /// What it does with its clients.
    pub kind: ListenerKind,
    /// How much, and how long, one client may use it.
    pub limits: ListenerLimits,
    /// Proxies whose `X-Forwarded-*` and `Forwarded` fields are believed and extended.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Where clients get the key set of `[signing]`.
    pub jwks_path: Option<String>,
    /// What new certificates may lack.
    pub rotation: RotationAllowance,
    /// The limits that its requests ask.
    pub rate_limits: Vec<Arc<Limit>>,
    /// What it changes in the fields that gateways get.
    pub request_fields: FieldChanges,
    /// What it changes in the fields that clients get, whoever answers.
    pub response_fields: FieldChanges,
    /// What it tells browsers, whoever answers.
    pub security_headers: Option<Arc<SecurityHeaders>>,
    /// What its refusals look like; None: the pages of the program.
    pub error_pages: Option<Arc<ErrorPages>>,
}

/// What new certificates may lack of what those that serve have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotationAllowance {
    /// `allow_expired` of each certificate, in their order.
    pub expired: Vec<bool>,
    /// `allow_fewer_names`
    pub fewer_names: bool,
}

impl Listener {
    /// Whether it is new and was refused at a reload, so that it must not be opened.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(&self.kind, ListenerKind::Tls { certificates, .. } if certificates.is_empty())
    }
}

/// What a listener does with its clients.
#[derive(Debug, Clone)]
pub enum ListenerKind {
    /// Serves routes over TLS.
    Tls {
        /// At least one. The first is used if `sni` is [`SniPolicy::Any`] and no name fits.
        certificates: Vec<Arc<CertifiedKey>>,
        /// What happens to a client that asks for another name, or for none.
        sni: SniPolicy,
        /// Everything else that a handshake depends on.
        settings: TlsSettings,
    },
    /// Plain HTTP: answers 308 to this port of the named listener, and 404 for hosts that none of its routes names.
    Redirect {
        /// The name of the listener that clients are redirected to.
        listener: String,
        /// Its port.
        port: u16,
    },
}

/// How much, and how long, one client may use a listener.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// From the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    /// The size of a request's head at most.
    pub head_bytes: usize,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Bytes a second that a body must keep up on average, once it took longer than `body_rate_grace`.
    pub body_min_rate: u64,
    /// How long a body may take before `body_min_rate` counts.
    pub body_rate_grace: Duration,
    /// From the first byte of a connection to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// How long a connection may be idle between requests, and a client may take nothing of an answer.
    pub idle_timeout: Duration,
    /// How long a stream may be silent in both directions.
    pub stream_idle_timeout: Duration,
    /// At once, over all addresses.
    pub connections: usize,
    /// At once. The addresses of one IPv6 /64 count as one.
    pub connections_per_address: usize,
    /// Requests at once over one HTTP/2 connection.
    pub h2_streams: u32,
}

/// Routes on listeners that one team owns, with one switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The name of its table.
    pub name: String,
    /// The team that answers for it.
    pub owner: String,
    /// Each route and listener that belong to it.
    pub pairs: Pairs,
    /// What a client gets while its switch is off.
    pub off: OffAnswer,
}

/// What a client gets from an exposure that is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffAnswer {
    /// 503, with Retry-After if it is known when the switch turns on again.
    Unavailable,
    /// 404, like a path that no route names.
    NotFound,
    /// The connection is closed without an answer.
    Close,
}

/// A network: an address, and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpNetwork {
    /// The first address of the network.
    pub address: IpAddr,
    /// How many of its bits count, from the first.
    pub prefix: u8,
}

impl IpNetwork {
    /// Whether the address is in this network. An IPv4 address that is mapped into IPv6 counts as IPv4: some
    /// systems and trusted proxies report IPv4 clients in that form.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        fn differ(a: u128, b: u128, width: u8, prefix: u8) -> bool {
            // A shift by all bits would overflow, and a prefix of 0 contains every address.
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

/// A part of the configuration that was not taken. Its last good version stays in use, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What was refused.
    pub unit: Unit,
    /// The errors, as `check` gives them.
    pub reasons: Vec<Diagnostic>,
}

/// What can be refused by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A listener, by its name.
    Listener(String),
    /// An upstream, by its name.
    Upstream(String),
    /// A policy, by its name.
    Policy(String),
    /// A trust bundle, by its name.
    Trust(String),
    /// The TLS of the console.
    Console,
    /// An issuer of tokens, by its name.
    Identity(String),
    /// The keys that sign tokens for gateways.
    Signing,
    /// A set of error pages, by its name.
    ErrorPages(String),
    /// The whole configuration.
    Configuration,
    /// The settings that only a restart can change.
    Restart,
}

impl std::fmt::Display for Unit {
    /// As logs, metrics and the admin API name it: `listener public`, `configuration`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::Upstream(name) => write!(f, "upstream {name}"),
            Self::Policy(name) => write!(f, "policy {name}"),
            Self::Trust(name) => write!(f, "trust {name}"),
            Self::Console => f.write_str("console"),
            Self::Identity(name) => write!(f, "identity {name}"),
            Self::Signing => f.write_str("signing"),
            Self::ErrorPages(name) => write!(f, "error pages {name}"),
            Self::Configuration => f.write_str("configuration"),
            Self::Restart => f.write_str("restart"),
        }
    }
}

/// A rule set and what it was made of, so that a reload compiles only what has changed.
#[derive(Debug)]
pub struct CompiledRules {
    pub(crate) recipe: Recipe,
    pub(crate) reads: Reads,
    pub(crate) rules: Arc<RuleSet>,
}

impl CompiledRules {
    /// Names what the rules decide by: the bytes of their files in load order, and the variables. Not where the files
    /// are, nor the mode.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = openssl::sha::Sha256::new();
        for (_, digest) in &self.reads.files {
            hasher.update(digest.as_ref().map_or(&[], <[u8; 20]>::as_slice));
        }
        for source in &self.recipe.sources {
            // The built-in rules are no files; they change with the program.
            if *source == RuleSource::Baseline {
                hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
            }
        }
        for (name, value) in &self.recipe.variables {
            // A line for each, so that two of them do not run together.
            hasher.update(format!("{name}={value}\n").as_bytes());
        }
        let mut digest = hex(&hasher.finish());
        // Enough to tell versions apart, and short enough to read.
        digest.truncate(16);
        digest
    }
}

/// Everything a rule set is made of. Equal recipes make equal rule sets while the files are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Recipe {
    pub(crate) mode: PolicyMode,
    pub(crate) on_uninspected: OnUninspected,
    /// Whether `[log] audit` names a place for records.
    pub(crate) audited: bool,
    pub(crate) unparsed_bodies: UnparsedBodies,
    /// `waf_budget_ms`
    pub(crate) budget: Option<Duration>,
    pub(crate) request_body_limit: Option<usize>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) sources: Vec<RuleSource>,
    pub(crate) on_expiry: OnExpiry,
    /// It is a shadow's: its persistent collections are its own, and a failed test of an exclusion is a warning.
    pub(crate) is_shadow: bool,
}

impl Default for Recipe {
    /// A policy that blocks and has no other key.
    fn default() -> Self {
        Self {
            mode: PolicyMode::Block,
            on_uninspected: OnUninspected::Block,
            audited: false,
            unparsed_bodies: UnparsedBodies::Inspect,
            budget: None,
            request_body_limit: None,
            variables: Vec::new(),
            sources: Vec::new(),
            on_expiry: OnExpiry::Remove,
            is_shadow: false,
        }
    }
}

impl Config {
    /// What the live rules of a policy were made of.
    pub(crate) fn recipe_of(&self, policy: &Policy) -> Option<&Recipe> {
        self.recipe_of_rules(policy.rules.live()?)
    }

    /// What the rules of a policy or of a shadow were made of.
    pub(crate) fn recipe_of_rules(&self, rules: &Arc<RuleSet>) -> Option<&Recipe> {
        let mut sets = self.rule_sets.iter();
        // By identity: an equal recipe may have been compiled from files that have changed since.
        let made = sets.find(|compiled| Arc::ptr_eq(&compiled.rules, rules))?;
        Some(&made.recipe)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RuleSource {
    /// `@baseline`
    Baseline,
    File(PathBuf),
    /// A file of exclusions, whose tests are run.
    Exclusions(PathBuf),
    /// Exclusions that are in no file, because they are only tried.
    Tried(String),
}

impl RuleSource {
    pub(crate) fn file(self) -> Option<PathBuf> {
        match self {
            Self::Baseline | Self::Tried(_) => None,
            Self::File(path) | Self::Exclusions(path) => Some(path),
        }
    }
}
