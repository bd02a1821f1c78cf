//! What pages read of `/status`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What pages read of `/status`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) reload: Reload,
    pub(super) process: Process,
    pub(super) listeners: Vec<Listener>,
    pub(super) policies: Vec<Policy>,
    pub(super) upstreams: Vec<Upstream>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reload {
    pub(super) at: String,
    pub(super) generation: u64,
    pub(super) refused: Vec<Refused>,
    pub(super) warnings: Vec<String>,
    pub(super) changed: Vec<String>,
    // The answer to a reload has neither count.
    #[serde(default)]
    pub(super) attempts: u64,
    #[serde(default)]
    pub(super) failures: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    pub(super) unit: String,
    pub(super) reasons: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) version: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) bind: Vec<String>,
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) mode: String,
    pub(super) rules: usize,
}

/// An upstream as `/status` has it.
#[derive(Debug, Deserialize)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) server_name: String,
    pub(super) trust: String,
    pub(super) client_certificate: bool,
    pub(super) in_flight: u64,
    pub(super) pending: u64,
    pub(super) retries: u64,
    pub(super) ejections: u64,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) addresses: Vec<Server>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) in_flight: u64,
    pub(super) last_health_failure: Option<HealthFailure>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HealthFailure {
    pub(super) code: String,
    pub(super) words: String,
}
