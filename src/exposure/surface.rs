//! What a configuration makes reachable, as data that can be sent and compared.
//!
//! The running front door sends its surface to `drawbridge diff`, which compares it with that of a file. The two may be
//! of different versions, so the fields and their names are a format: a new field needs a default. Nothing received is
//! trusted to be consistent.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::SurfaceLimit;
use crate::config::{Config, ListenerKind, PolicyMode, Route, Stream};
use crate::identity::RouteIdentity;
use crate::route::{Claim, MethodSet, PatternError};

/// Everything that clients could reach, and who owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surface {
    /// The addresses of each listener that serves routes, by the listener's name.
    pub listeners: BTreeMap<String, Vec<String>>,
    /// All routes.
    pub routes: Vec<SurfaceRoute>,
    /// Where listeners show the keys of our tokens: paths by the listener's name. No route leads there.
    #[serde(default)]
    pub key_sets: BTreeMap<String, String>,
}

/// Why a surface that came from elsewhere cannot be used. No configuration that we loaded has such a surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SurfaceError {
    /// A host or a path of a route is invalid.
    Pattern(PatternError),
    /// Two routes claim the same host, path and method on a listener.
    DuplicateClaim,
}

impl fmt::Display for SurfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(error) => error.fmt(f),
            Self::DuplicateClaim => f.write_str("two routes claim the same host, path and method"),
        }
    }
}

impl std::error::Error for SurfaceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Pattern(error) => Some(error),
            Self::DuplicateClaim => None,
        }
    }
}

impl From<PatternError> for SurfaceError {
    fn from(error: PatternError) -> Self {
        Self::Pattern(error)
    }
}

/// A route: what it claims and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceRoute {
    /// The route's name.
    pub name: String,
    /// Host patterns, as the configuration writes them.
    pub hosts: Vec<String>,
    /// Path patterns, as the configuration writes them.
    pub paths: Vec<String>,
    /// None: all but CONNECT and TRACE.
    pub methods: Option<Vec<String>>,
    /// A route that names GET and not HEAD refuses HEAD.
    #[serde(default)]
    pub head_refused: bool,
    /// The names of the listeners that serve it.
    pub listeners: Vec<String>,
    /// The exposure by listener; a listener that is not here has no owner for this route.
    pub exposures: BTreeMap<String, SurfaceExposure>,
    /// What the whole path must match beside.
    #[serde(default)]
    pub path_regex: Option<String>,
    /// The path and query that the gateway gets, if not the client's.
    #[serde(default)]
    pub rewrite: Option<String>,
    /// Whose pages may read its answers, where the front door decides that.
    #[serde(default)]
    pub cors: Option<String>,
    /// What the front door itself answers, in words. With it there is no upstream.
    #[serde(default)]
    pub own_answer: Option<String>,
    /// The upstream's name; empty if there is none.
    pub upstream: String,
    /// The upstream's servers, each as `host:port`.
    pub servers: Vec<String>,
    /// The policy's name.
    pub policy: String,
    /// `block`, `detect` or `off`.
    pub mode: String,
    /// `websocket`, `grpc` or `sse`; None for requests that are not streams.
    pub stream: Option<String>,
    /// Whether paths with `%2f` go to the upstream.
    pub pass_encoded_slashes: bool,
    /// What is demanded of callers, by listener; on one that is not here nobody is asked.
    #[serde(default)]
    pub identity: BTreeMap<String, SurfaceIdentity>,
    /// The limits that its requests ask, by listener.
    #[serde(default)]
    pub limits: BTreeMap<String, Vec<SurfaceLimit>>,
}

/// What a route demands of its callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceIdentity {
    /// The names of the `[identity.NAME]` tables whose callers are taken.
    pub identities: Vec<String>,
    /// Whether a request without proof is refused.
    pub required: bool,
    /// The words of each claim: all of `scope`, one of any other.
    pub require: BTreeMap<String, Vec<String>>,
    /// What the gateway gets: `original`, `claims`, `signed` or `none`.
    pub forward: String,
}

/// The exposure that a route belongs to on a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceExposure {
    /// The exposure's name.
    pub name: String,
    /// Who owns it, as the configuration writes it.
    pub owner: String,
}

impl Surface {
    /// What this configuration makes reachable if every exposure is on.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let tls = config
            .listeners
            .iter()
            .filter(|listener| matches!(listener.kind, ListenerKind::Tls { .. }));
        let listeners: BTreeMap<String, Vec<String>> = tls
            .map(|listener| {
                let bind = listener.bind.iter().map(ToString::to_string);
                (listener.name.clone(), bind.collect())
            })
            .collect();
        let routes = config.routes.iter().map(|(claim, route)| {
            // A redirect listener serves no route, so naming it exposes nothing.
            let served = claim.listeners.iter();
            let served: Vec<String> = served
                .filter(|name| listeners.contains_key(*name))
                .cloned()
                .collect();
            let exposures = served.iter().filter_map(|listener| {
                let exposure = config.exposures.of(&route.name, listener)?;
                let exposure = SurfaceExposure {
                    name: exposure.name.clone(),
                    owner: exposure.owner.clone(),
                };
                Some((listener.clone(), exposure))
            });
            let servers = route.upstream().into_iter();
            let servers = servers.flat_map(|upstream| &upstream.servers);
            let limits = served.iter();
            let limits = limits.map(|name| (name.clone(), limits_of(config, name, route)));
            let limits = limits.collect();
            SurfaceRoute {
                name: route.name.clone(),
                hosts: claim.hosts.iter().map(ToString::to_string).collect(),
                paths: claim.paths.iter().map(ToString::to_string).collect(),
                methods: match &claim.methods {
                    MethodSet::Default => None,
                    MethodSet::Only(methods) | MethodSet::Exactly(methods) => Some(methods.clone()),
                },
                head_refused: matches!(claim.methods, MethodSet::Exactly(_)),
                exposures: exposures.collect(),
                listeners: served,
                path_regex: route
                    .path_regex
                    .as_ref()
                    .map(|regex| regex.source().to_owned()),
                rewrite: route.rewrite.as_ref().map(ToString::to_string),
                cors: route.cors.as_ref().map(ToString::to_string),
                own_answer: route.target.own_answer(),
                upstream: route
                    .upstream()
                    .map_or_else(String::new, |upstream| upstream.name.clone()),
                servers: servers.map(|s| format!("{}:{}", s.host, s.port)).collect(),
                policy: route.policy.name.clone(),
                mode: mode_name(route.policy.mode).to_owned(),
                stream: route.stream.map(|stream| stream_name(stream).to_owned()),
                pass_encoded_slashes: route.pass_encoded_slashes,
                identity: route
                    .identity
                    .iter()
                    .map(|(listener, identity)| (listener.clone(), identity_of(identity)))
                    .collect(),
                limits,
            }
        });
        let key_sets = config.listeners.iter().filter_map(|listener| {
            let path = listener.jwks_path.clone()?;
            Some((listener.name.clone(), path))
        });
        Self {
            key_sets: key_sets.collect(),
            routes: routes.collect(),
            listeners,
        }
    }
}

impl SurfaceRoute {
    /// # Errors
    /// A host or a path is invalid; only a surface that came from elsewhere can have one.
    pub(super) fn claim(&self) -> Result<Claim, SurfaceError> {
        Ok(Claim {
            hosts: self
                .hosts
                .iter()
                .map(|h| h.parse())
                .collect::<Result<_, PatternError>>()?,
            paths: self
                .paths
                .iter()
                .map(|p| p.parse())
                .collect::<Result<_, PatternError>>()?,
            methods: match &self.methods {
                None => MethodSet::Default,
                Some(methods) if self.head_refused => MethodSet::Exactly(methods.clone()),
                Some(methods) => MethodSet::Only(methods.clone()),
            },
            listeners: self.listeners.clone(),
        })
    }
}

/// The limits of the listener, the route and the policy, each once.
fn limits_of(config: &Config, listener: &str, route: &Route) -> Vec<SurfaceLimit> {
    let listeners = config.listeners.iter();
    let of_listener = listeners.filter(|known| known.name == listener);
    let all = of_listener.flat_map(|listener| &listener.rate_limits);
    let all = all.chain(&route.rate_limits);
    let all = all.chain(&route.policy.rate_limits);
    let by_name: BTreeMap<&str, SurfaceLimit> = all
        .map(|limit| (limit.name.as_str(), SurfaceLimit::from(&**limit)))
        .collect();
    by_name.into_values().collect()
}

fn identity_of(identity: &RouteIdentity) -> SurfaceIdentity {
    let identities = identity.providers.iter();
    SurfaceIdentity {
        identities: identities.map(|provider| provider.name.clone()).collect(),
        required: identity.required,
        require: identity.require.iter().cloned().collect(),
        forward: identity.forward.name().to_owned(),
    }
}

fn mode_name(mode: PolicyMode) -> &'static str {
    match mode {
        PolicyMode::Block => "block",
        PolicyMode::Detect => "detect",
        PolicyMode::Off => "off",
    }
}

fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::WebSocket => "websocket",
        Stream::Grpc => "grpc",
        Stream::Sse => "sse",
    }
}
