//! The last good version of what can fail alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::{Config, Listener, Policy, Upstream};
use super::policies::Built;
use crate::tls::{CertifiedKey, TrustBundle};
use seclang::diagnostic::Diagnostic;
use waf::Store;

/// Chains and keys by their files.
pub type Certificates = BTreeMap<(PathBuf, PathBuf), Arc<CertifiedKey>>;

/// Something that was not taken, so its last good version goes on; or nothing where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `listener public`, `upstream orders`, `policy default`, `trust onprem`, or `configuration`: all of it.
    pub unit: String,
    /// As `check` gives them.
    pub reasons: Vec<Diagnostic>,
}

/// From the configuration that runs now; empty where none does.
#[derive(Debug, Default)]
pub(super) struct Kept {
    certificates: Certificates,
    /// Something runs.
    pub runs: bool,
    listeners: Vec<Arc<Listener>>,
    upstreams: BTreeMap<String, Arc<Upstream>>,
    trust: BTreeMap<String, Arc<TrustBundle>>,
    policies: BTreeMap<String, Arc<Policy>>,
    /// Of each route.
    route_policies: BTreeMap<String, Arc<Policy>>,
    pub built: Vec<Arc<Built>>,
    /// What the rules have counted goes on.
    pub collections: Arc<Store>,
}

impl Kept {
    pub fn of(config: &Config) -> Self {
        Self {
            runs: true,
            certificates: config.certificates.clone(),
            listeners: config.listeners.clone(),
            upstreams: config.upstreams.clone(),
            trust: config.trust.clone(),
            policies: config.policies.clone(),
            route_policies: config
                .routes
                .iter()
                .map(|(_, route)| (route.name.clone(), Arc::clone(&route.policy)))
                .collect(),
            built: config.rule_sets.clone(),
            collections: Arc::clone(&config.collections),
        }
    }

    pub fn certificate(&self, chain: &Path, key: &Path) -> Option<Arc<CertifiedKey>> {
        self.certificates
            .get(&(chain.to_owned(), key.to_owned()))
            .cloned()
    }

    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| listener.name == name)
    }

    /// Only what was live.
    pub fn upstream(&self, name: &str) -> Option<Arc<Upstream>> {
        self.upstreams.get(name).filter(|u| u.live).cloned()
    }

    pub fn trust(&self, name: &str) -> Option<Arc<TrustBundle>> {
        self.trust.get(name).cloned()
    }

    /// Only what was live.
    pub fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        self.policies.get(name).filter(|p| p.is_live()).cloned()
    }

    /// What inspects a route's requests; None where nothing does.
    pub fn inspecting(&self, route: &str) -> Option<Arc<Policy>> {
        let policy = self.route_policies.get(route);
        policy.filter(|p| p.rules.live().is_some()).cloned()
    }
}
