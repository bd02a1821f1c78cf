//! The [`Snapshot`] that a request is pinned to.
//!
//! A snapshot is built beside the one that serves, checked by a handshake with itself, and replaced as a whole. It
//! never changes, except for new ticket keys, so a request sees one configuration from its first byte to its last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::ssl::SslAcceptor;

use crate::config::{Config, Listener, ListenerKind, Unit};
use crate::tls::ClientCas;
use crate::tls::acceptor::acceptor;
use crate::tls::rehearsal::{self, RehearsalError};
use crate::upstream::{Pool, Pools};

/// A configuration, and the acceptors and pools made from it.
pub struct Snapshot {
    /// The configuration.
    pub config: Config,
    /// The number of this snapshot; it grows with each one in this process.
    pub generation: u64,
    /// By the name of the listener, for those with TLS. Swapped in place to renew ticket keys.
    acceptors: BTreeMap<String, ArcSwap<SslAcceptor>>,
    /// The servers of each upstream.
    pub pools: Pools,
}

/// Why a listener cannot run although its configuration is valid.
#[derive(Debug)]
pub struct SnapshotError {
    /// The name of the listener.
    pub listener: String,
    /// What went wrong with it.
    pub cause: SnapshotCause,
}

/// What went wrong with a listener.
#[derive(Debug)]
pub enum SnapshotCause {
    /// OpenSSL does not take its certificates or its TLS settings.
    Acceptor(ErrorStack),
    /// A handshake with it fails.
    Handshake(RehearsalError),
}

impl std::fmt::Display for SnapshotCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Acceptor(error) => write!(f, "OpenSSL does not take it: {error}"),
            Self::Handshake(error) => error.fmt(f),
        }
    }
}

impl SnapshotError {
    /// The listener, as what a reload refuses.
    #[must_use]
    pub fn unit(&self) -> Unit {
        Unit::Listener(self.listener.clone())
    }
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.unit(), self.cause)
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            SnapshotCause::Acceptor(error) => Some(error),
            SnapshotCause::Handshake(error) => Some(error),
        }
    }
}

impl Snapshot {
    /// The first snapshot of a process.
    ///
    /// # Errors
    /// A listener cannot run.
    pub fn new(config: Config) -> Result<Self, SnapshotError> {
        let mut acceptors = BTreeMap::new();
        for listener in &config.listeners {
            if let Some(made) = acceptor_of(listener)? {
                acceptors.insert(listener.name.clone(), ArcSwap::from_pointee(made));
            }
        }
        Ok(Self::assemble(config, acceptors))
    }

    /// The snapshot that follows `previous`. A listener that cannot run as configured goes on as it was. It is left out
    /// if it did not run before, or if it would let in clients that the new configuration refuses. [`Live::swap`] takes
    /// over what is known about servers.
    #[must_use]
    pub fn next(mut config: Config, previous: &Self) -> (Self, Vec<SnapshotError>) {
        let mut acceptors = BTreeMap::new();
        let mut refused = Vec::new();
        for listener in &mut config.listeners {
            let name = listener.name.clone();
            match acceptor_of(listener) {
                Ok(Some(made)) => {
                    acceptors.insert(name, ArcSwap::from_pointee(made));
                }
                Ok(None) => {}
                Err(error) => {
                    if let (Some(old), Some(acceptor)) =
                        (previous.listener(&name), previous.acceptor(&name))
                        // Fail closed: an old listener that asks for fewer certificates must not go on under a
                        // configuration that demands more.
                        && asks_for_the_same_clients(old, listener)
                    {
                        *listener = Arc::clone(old);
                        acceptors.insert(name, ArcSwap::new(acceptor));
                    }
                    refused.push(error);
                }
            }
        }
        // Without an acceptor a TLS listener cannot serve.
        config.listeners.retain(|listener| {
            matches!(listener.kind, ListenerKind::Redirect { .. })
                || acceptors.contains_key(&listener.name)
        });
        (Self::assemble(config, acceptors), refused)
    }

    fn assemble(config: Config, acceptors: BTreeMap<String, ArcSwap<SslAcceptor>>) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let pools = Pools::new(&config.upstreams);
        Self {
            config,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            acceptors,
            pools,
        }
    }

    /// The listener of this name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.config.listeners.iter().find(|l| l.name == name)
    }

    /// The acceptor of the listener of this name; None for one without TLS.
    #[must_use]
    pub fn acceptor(&self, listener: &str) -> Option<Arc<SslAcceptor>> {
        Some(self.acceptors.get(listener)?.load_full())
    }

    /// Makes new acceptors, and with them new keys of session tickets, so that a key that is stolen later does not
    /// decrypt recorded sessions. Returns an error for each listener that keeps its acceptor, because OpenSSL refuses
    /// its settings now.
    #[must_use]
    pub fn rotate_tickets(&self) -> Vec<SnapshotError> {
        let mut failed = Vec::new();
        for listener in &self.config.listeners {
            let Some(slot) = self.acceptors.get(&listener.name) else {
                continue;
            };
            match acceptor_of(listener) {
                Ok(Some(made)) => slot.store(Arc::new(made)),
                Ok(None) => {}
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    /// The servers of the upstream of this name.
    #[must_use]
    pub fn pool(&self, upstream: &str) -> Option<&Arc<Pool>> {
        self.pools.get(upstream)
    }
}

/// Whether the running listener lets in no client that the next one would refuse.
fn asks_for_the_same_clients(running: &Listener, next: &Listener) -> bool {
    match (&running.kind, &next.kind) {
        (
            ListenerKind::Tls {
                certificates: old,
                sni: old_sni,
                settings: old_settings,
            },
            ListenerKind::Tls {
                certificates,
                sni,
                settings,
            },
        ) => {
            let asked = ClientCas::new(certificates, *sni, settings);
            ClientCas::new(old, *old_sni, old_settings).keep(&asked)
        }
        _ => false,
    }
}

/// None for a listener without TLS.
fn acceptor_of(listener: &Listener) -> Result<Option<SslAcceptor>, SnapshotError> {
    let ListenerKind::Tls {
        certificates,
        sni,
        settings,
    } = &listener.kind
    else {
        return Ok(None);
    };
    let fail = |cause| SnapshotError {
        listener: listener.name.clone(),
        cause,
    };
    let made = acceptor(&listener.name, certificates, *sni, settings)
        .map_err(|error| fail(SnapshotCause::Acceptor(error)))?;
    // OpenSSL accepts some settings with which no client can make a handshake.
    rehearsal::handshakes(&made, certificates)
        .map_err(|error| fail(SnapshotCause::Handshake(error)))?;
    Ok(Some(made))
}

/// The current snapshot.
pub struct Live(ArcSwap<Snapshot>);

impl Live {
    /// Serves this snapshot first.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The snapshot to pin a request to.
    #[must_use]
    pub fn pin(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// New requests use `next` from now on. It takes over what is known about the servers of upstreams that
    /// did not change. Must be called in a tokio runtime.
    pub fn swap(&self, mut next: Snapshot) {
        let old = self.0.load_full();
        // Before the swap, so that the first request already knows which servers are down.
        next.pools.carry_over(&old.pools);
        let next = Arc::new(next);
        self.0.store(Arc::clone(&next));
        next.pools.start();
        // Requests that are pinned to the old snapshot still use its pools; only their tasks end. Pools that `next`
        // took over keep theirs.
        old.pools.stop(Some(&next.pools));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::tls::CertifiedKey;
    use dev_pki::{Authority, KeyKind, LeafOptions};

    #[test]
    fn tickets_are_rotated_past_a_listener_that_fails() {
        const TEXT: &str = r#"
            [listeners.a]
            bind = ["127.0.0.1:1"]
            certificates = [{ chain = "a.pem", key = "a.key" }]
            [listeners.b]
            bind = ["127.0.0.1:2"]
            certificates = [{ chain = "a.pem", key = "a.key" }]
        "#;
        let name = format!("drawbridge-live-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let root = Authority::new("Root", 90).unwrap();
        let leaf = |key| {
            let options = LeafOptions {
                key,
                ..LeafOptions::default()
            };
            root.leaf(&["a.test"], &options).unwrap()
        };
        let good = leaf(KeyKind::EcP256);
        good.write(&folder.join("a.pem"), &folder.join("a.key"))
            .unwrap();
        let file = folder.join("drawbridge.toml");
        std::fs::write(&file, TEXT).unwrap();
        let loaded = config::load(&file);
        std::fs::remove_dir_all(&folder).unwrap();

        let mut snapshot = Snapshot::new(loaded.unwrap().config).unwrap();
        let acceptors =
            |snapshot: &Snapshot| ["a", "b"].map(|name| snapshot.acceptor(name).unwrap());
        let before = acceptors(&snapshot);
        assert!(snapshot.rotate_tickets().is_empty());
        let after = acceptors(&snapshot);
        assert!(before.iter().zip(&after).all(|(b, a)| !Arc::ptr_eq(b, a)));

        let weak = leaf(KeyKind::Rsa1024);
        let weak = CertifiedKey::from_pem(&weak.chain_pem, &weak.key_pem).unwrap();
        let first = Arc::get_mut(&mut snapshot.config.listeners[0]).unwrap();
        let ListenerKind::Tls { certificates, .. } = &mut first.kind else {
            panic!("it has certificates");
        };
        *certificates = vec![Arc::new(weak)];
        let failed = snapshot.rotate_tickets();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].listener, "a");
        let last = acceptors(&snapshot);
        assert!(Arc::ptr_eq(&after[0], &last[0]));
        assert!(!Arc::ptr_eq(&after[1], &last[1]));
        assert!(snapshot.acceptor("other").is_none());
    }
}
