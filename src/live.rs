//! The [`Snapshot`] a request is pinned to: built aside, checked, then swapped whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::ssl::SslAcceptor;

use crate::config::{Config, Listener, ListenerKind};
use crate::tls::acceptor::acceptor;
use crate::upstream::Pool;

/// A configuration and what was made of it. Never changed; replaced by the next.
pub struct Snapshot {
    pub config: Config,
    /// Counts up with every snapshot of this process.
    pub generation: u64,
    /// By name; only TLS listeners have one.
    acceptors: BTreeMap<String, ArcSwap<SslAcceptor>>,
    pools: BTreeMap<String, Arc<Pool>>,
}

/// Why a configuration cannot be run although it was resolved.
#[derive(Debug)]
pub struct SnapshotError {
    /// `listener public`, `upstream orders`
    pub what: String,
    pub source: ErrorStack,
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.source)
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Snapshot {
    /// # Errors
    /// OpenSSL does not take what a listener or an upstream is made of.
    pub fn new(config: Config) -> Result<Self, SnapshotError> {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let mut acceptors = BTreeMap::new();
        for listener in &config.listeners {
            if let Some(made) = accept(listener)? {
                acceptors.insert(listener.name.clone(), ArcSwap::from_pointee(made));
            }
        }
        let pools = config
            .upstreams
            .values()
            .map(|upstream| (upstream.name.clone(), Arc::new(Pool::new(upstream))))
            .collect();
        Ok(Self {
            config,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            acceptors,
            pools,
        })
    }

    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.config.listeners.iter().find(|l| l.name == name)
    }

    #[must_use]
    pub fn acceptor(&self, listener: &str) -> Option<Arc<SslAcceptor>> {
        Some(self.acceptors.get(listener)?.load_full())
    }

    /// Makes the acceptors anew, and with them the keys that seal session tickets: what was recorded
    /// cannot be opened with a key that is stolen later.
    ///
    /// # Errors
    /// OpenSSL does not take what it took before; that acceptor stays.
    pub fn rotate_tickets(&self) -> Result<(), SnapshotError> {
        for listener in &self.config.listeners {
            if let (Some(slot), Some(made)) =
                (self.acceptors.get(&listener.name), accept(listener)?)
            {
                slot.store(Arc::new(made));
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn pool(&self, upstream: &str) -> Option<&Arc<Pool>> {
        self.pools.get(upstream)
    }
}

fn accept(listener: &Listener) -> Result<Option<SslAcceptor>, SnapshotError> {
    let ListenerKind::Tls {
        certificates,
        sni,
        settings,
    } = &listener.kind
    else {
        return Ok(None);
    };
    let made = acceptor(&listener.name, certificates, *sni, settings);
    made.map(Some).map_err(|source| SnapshotError {
        what: format!("listener {}", listener.name),
        source,
    })
}

/// The current snapshot.
pub struct Live(ArcSwap<Snapshot>);

impl Live {
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The one to pin a request to.
    #[must_use]
    pub fn pin(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// From now on `next` counts for new requests.
    pub fn swap(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::tls::issue::{Authority, LeafOptions};

    #[test]
    fn rotated_tickets_are_of_another_acceptor() {
        const TEXT: &str = r#"
            [listeners.public]
            bind = ["127.0.0.1:1"]
            certificates = [{ chain = "a.pem", key = "a.key" }]
        "#;
        let name = format!("drawbridge-live-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let root = Authority::new("Root", 90).unwrap();
        let leaf = root.leaf(&["a.test"], &LeafOptions::default()).unwrap();
        leaf.write(&folder.join("a.pem"), &folder.join("a.key"))
            .unwrap();
        let file = folder.join("drawbridge.toml");
        std::fs::write(&file, TEXT).unwrap();
        let loaded = config::load(&file);
        std::fs::remove_dir_all(&folder).unwrap();

        let snapshot = Snapshot::new(loaded.unwrap().config).unwrap();
        let before = snapshot.acceptor("public").unwrap();
        let same = snapshot.acceptor("public").unwrap();
        assert!(Arc::ptr_eq(&before, &same));
        snapshot.rotate_tickets().unwrap();
        let after = snapshot.acceptor("public").unwrap();
        assert!(!Arc::ptr_eq(&before, &after));
        assert!(snapshot.acceptor("other").is_none());
    }
}
