//! What a configuration makes reachable, without what it is made of: data that can be sent and compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{Config, ListenerKind, PolicyMode, Stream};
use crate::route::{Claim, MethodSet};

/// Everything that a stranger could reach, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surface {
    /// Where each listener that serves routes is bound.
    pub listeners: BTreeMap<String, Vec<String>>,
    pub routes: Vec<SurfaceRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceRoute {
    pub name: String,
    pub hosts: Vec<String>,
    pub paths: Vec<String>,
    /// None: all but CONNECT and TRACE.
    pub methods: Option<Vec<String>>,
    /// HEAD is not taken where only GET is named.
    #[serde(default)]
    pub head_refused: bool,
    pub listeners: Vec<String>,
    /// By listener; one that is not here has no owner.
    pub exposures: BTreeMap<String, SurfaceExposure>,
    pub upstream: String,
    /// `host:port` each, as dialled.
    pub servers: Vec<String>,
    pub policy: String,
    /// `block`, `detect` or `off`.
    pub mode: String,
    /// `websocket`, `grpc` or `sse`.
    pub stream: Option<String>,
    pub pass_encoded_slashes: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceExposure {
    pub name: String,
    pub owner: String,
}

impl Surface {
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
            let servers = route.upstream.servers.iter();
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
                upstream: route.upstream.name.clone(),
                servers: servers.map(|s| format!("{}:{}", s.host, s.port)).collect(),
                policy: route.policy.name.clone(),
                mode: mode(route.policy.mode).to_owned(),
                stream: route.stream.map(|stream| word(stream).to_owned()),
                pass_encoded_slashes: route.pass_encoded_slashes,
            }
        });
        Self {
            routes: routes.collect(),
            listeners,
        }
    }
}

impl SurfaceRoute {
    /// # Errors
    /// A host or a path is none; only what came from elsewhere can have one.
    pub(super) fn claim(&self) -> Result<Claim, String> {
        Ok(Claim {
            hosts: self
                .hosts
                .iter()
                .map(|h| h.parse())
                .collect::<Result<_, _>>()?,
            paths: self
                .paths
                .iter()
                .map(|p| p.parse())
                .collect::<Result<_, _>>()?,
            methods: match &self.methods {
                None => MethodSet::Default,
                Some(methods) if self.head_refused => MethodSet::Exactly(methods.clone()),
                Some(methods) => MethodSet::Only(methods.clone()),
            },
            listeners: self.listeners.clone(),
        })
    }
}

fn mode(mode: PolicyMode) -> &'static str {
    match mode {
        PolicyMode::Block => "block",
        PolicyMode::Detect => "detect",
        PolicyMode::Off => "off",
    }
}

fn word(stream: Stream) -> &'static str {
    match stream {
        Stream::WebSocket => "websocket",
        Stream::Grpc => "grpc",
        Stream::Sse => "sse",
    }
}
