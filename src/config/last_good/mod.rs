//! The last step: which last good version replaces a part that is broken.
//!
//! A reload that finds a broken certificate, trust bundle, revocation list or rule file does not fail: the running
//! version of that part stays in use. Nothing here reads a file or reports a problem. It compares what was resolved
//! with what runs, and chooses.

pub(crate) mod listeners;
mod rotation;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::model::{
    Certificates, CompiledRules, Config, ConsoleTls, Listener, OnUninspected, Policy, PolicyMode,
    PolicyRules, Recipe, Upstream,
};
use crate::identity::issuer::Exchanger;
use crate::identity::{Provider, Signing};
use crate::limits::Limit;
use crate::tls::{CertifiedKey, ClientCa, TrustBundle};
use crate::transform::ErrorPages;
use waf::{FilesNow, Store};

pub(crate) use rotation::HELP as ROTATION_HELP;

/// What runs now; empty at the start.
#[derive(Debug, Default)]
pub(crate) struct LastGood {
    /// False at the start: then a broken part fails the whole configuration.
    pub(crate) runs: bool,
    certificates: Certificates,
    listeners: Vec<Arc<Listener>>,
    console_tls: Option<ConsoleTls>,
    upstreams: BTreeMap<String, Arc<Upstream>>,
    trust: BTreeMap<String, Arc<TrustBundle>>,
    pub(crate) identity: BTreeMap<String, Arc<Provider>>,
    pub(crate) signing: Option<Arc<Signing>>,
    pub(crate) exchanges: BTreeMap<String, Arc<Exchanger>>,
    error_pages: Vec<Arc<ErrorPages>>,
    policies: BTreeMap<String, Arc<Policy>>,
    /// Whose buckets outlive a reload.
    pub(crate) limits: BTreeMap<String, Arc<Limit>>,
    /// The policy of each route.
    route_policies: BTreeMap<String, Arc<Policy>>,
    rule_sets: Vec<Arc<CompiledRules>>,
    /// The persistent collections of the rules, which outlive a reload.
    pub(crate) collections: Arc<Store>,
}

/// Which version of one part of the configuration is used.
#[derive(Debug)]
pub(crate) enum Choice<T> {
    /// What was resolved.
    New(T),
    /// The new version is broken: the last good one stays in use.
    LastGood(T),
    /// It is broken and no version of it ran: whatever needs it stays closed.
    Closed,
    /// It is broken and cannot be replaced: the whole configuration is refused.
    Faulty,
}

impl LastGood {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            runs: true,
            certificates: config.certificates.clone(),
            listeners: config.listeners.clone(),
            console_tls: config.console_tls.clone(),
            upstreams: config.upstreams.clone(),
            trust: config.trust.clone(),
            identity: config.identity.clone(),
            signing: config.signing.clone(),
            exchanges: config.exchanges.clone(),
            error_pages: config.error_pages.clone(),
            policies: config.policies.clone(),
            limits: config.limits.clone(),
            route_policies: config
                .routes
                .iter()
                .map(|(_, route)| (route.name.clone(), Arc::clone(&route.policy)))
                .collect(),
            rule_sets: config.rule_sets.clone(),
            collections: Arc::clone(&config.collections),
        }
    }

    /// `new` if it can be used, otherwise what runs.
    pub(crate) fn choose<T>(&self, new: Option<T>, running: Option<T>) -> Choice<T> {
        match new {
            Some(new) => Choice::New(new),
            // At the start somebody watches, and a part that is silently missing would be found much later.
            None if !self.runs => Choice::Faulty,
            None => running.map_or(Choice::Closed, Choice::LastGood),
        }
    }

    /// Which certificate serves. Also returns why a usable new one does not: it would be worse than the running one
    /// from the same files.
    pub(crate) fn choose_certificate(
        &self,
        new: Option<Arc<CertifiedKey>>,
        running: Option<&Arc<CertifiedKey>>,
        allow_expired: bool,
    ) -> (Choice<Arc<CertifiedKey>>, Option<String>) {
        let worse = match (&new, running) {
            (Some(new), Some(running)) if !allow_expired => rotation::worse(new, running),
            _ => None,
        };
        let new = new.filter(|_| worse.is_none());
        (self.choose(new, running.cloned()), worse)
    }

    /// The certificate that runs from these files of a chain and a key. The same files at another listener are the same
    /// certificate.
    pub(crate) fn certificate(&self, files: &(PathBuf, PathBuf)) -> Option<&Arc<CertifiedKey>> {
        self.certificates.get(files)
    }

    /// Which bundle is trusted. Also returns why a usable new one is not: it would be worse than the running one.
    pub(crate) fn choose_trust(
        &self,
        name: &str,
        new: Option<TrustBundle>,
        allow_expired: bool,
    ) -> (Choice<Arc<TrustBundle>>, Option<String>) {
        let running = self.trust.get(name);
        let worse = match (&new, running) {
            (Some(new), Some(running)) if !allow_expired => rotation::worse_bundle(new, running),
            _ => None,
        };
        let new = new.filter(|_| worse.is_none()).map(Arc::new);
        (self.choose(new, running.cloned()), worse)
    }

    /// An upstream that lacks a part stays as it runs. One that never ran answers 503.
    pub(crate) fn choose_upstream(&self, new: Upstream) -> Arc<Upstream> {
        let running = self.upstreams.get(&new.name);
        // If the running one is not live either, there is no good version.
        let running = running.filter(|running| !new.live && running.live);
        running.cloned().unwrap_or_else(|| Arc::new(new))
    }

    /// What replaces a policy whose rules are broken: the whole running policy, since its mode and limits belong to its
    /// rules. One that never ran lets nothing through.
    pub(crate) fn instead_of_policy(&self, name: &str) -> Arc<Policy> {
        let running = self.policies.get(name).filter(|policy| policy.is_live());
        running.cloned().unwrap_or_else(|| {
            Arc::new(Policy {
                name: name.to_owned(),
                // Every field fails closed, in case one of them is read before `rules`.
                mode: PolicyMode::Block,
                on_uninspected: OnUninspected::Block,
                request_body_limit: 0,
                asks_for_identity: false,
                cost_sample: 0.0,
                exclusions: Vec::new(),
                rules: PolicyRules::Refused,
                rules_digest: String::new(),
                shadow: None,
                rate_limits: Vec::new(),
            })
        })
    }

    /// A route that moves to a policy that never ran keeps the policy that inspects it now: nobody loses service, and
    /// its requests stay inspected.
    pub(crate) fn choose_route_policy(&self, route: &str, new: Arc<Policy>) -> Arc<Policy> {
        if new.is_live() {
            return new;
        }
        let running = self.route_policies.get(route);
        // A policy that is off is no protection to fall back to.
        let running = running.filter(|running| running.rules.live().is_some());
        running.cloned().unwrap_or(new)
    }

    /// The compiled rules of this recipe, if their files are unchanged. Compiling the CRS takes far longer than hashing
    /// its files.
    pub(crate) fn rules(
        &self,
        recipe: &Recipe,
        files: &mut FilesNow,
    ) -> Option<&Arc<CompiledRules>> {
        let mut known = self.rule_sets.iter();
        known.find(|known| known.recipe == *recipe && known.reads.unchanged(files))
    }

    /// The client CA of the console that runs.
    pub(crate) fn console_client_ca(&self) -> Option<&Arc<ClientCa>> {
        self.console_tls.as_ref()?.settings.client_ca.as_ref()
    }

    pub(crate) fn error_pages(&self, name: &str) -> Option<&Arc<ErrorPages>> {
        self.error_pages.iter().find(|pages| pages.name == name)
    }

    pub(crate) fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}
