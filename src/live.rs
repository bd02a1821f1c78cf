//! The [`Snapshot`] a request is pinned to: built aside, checked, then swapped whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use openssl::ssl::SslAcceptor;

use crate::config::{Config, Listener, ListenerKind, Upstream};
use crate::tls::acceptor::acceptor;
use crate::tls::rehearsal;
use crate::upstream::Pool;

/// A configuration and what was made of it. Never changed; replaced by the next.
pub struct Snapshot {
    pub config: Config,
    /// Counts up with every snapshot of this process.
    pub generation: u64,
    /// By name; only TLS listeners have one.
    acceptors: BTreeMap<String, SslAcceptor>,
    pools: BTreeMap<String, Arc<Pool>>,
}

/// Why something cannot be run although it was resolved.
#[derive(Debug)]
pub struct SnapshotError {
    /// `listener public`
    pub what: String,
    pub why: String,
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for SnapshotError {}

impl Snapshot {
    /// # Errors
    /// OpenSSL does not take what a listener is made of, or a handshake with it does not work.
    pub fn new(config: Config) -> Result<Self, SnapshotError> {
        let mut acceptors = BTreeMap::new();
        for listener in &config.listeners {
            if let Some(made) = accept_for(listener)? {
                acceptors.insert(listener.name.clone(), made);
            }
        }
        let pools = pools(&config, None);
        Ok(Self::assemble(config, acceptors, pools))
    }

    /// The one that follows `previous`: a listener that cannot be made goes on as it was, and the
    /// pools of upstreams that did not change are the same pools.
    ///
    /// # Errors
    /// A listener cannot be made and was not there before.
    pub fn next(
        mut config: Config,
        previous: &Self,
    ) -> Result<(Self, Vec<SnapshotError>), SnapshotError> {
        let mut acceptors = BTreeMap::new();
        let mut refused = Vec::new();
        for listener in &mut config.listeners {
            let name = listener.name.clone();
            match accept_for(listener) {
                Ok(Some(made)) => {
                    acceptors.insert(name, made);
                }
                Ok(None) => {}
                Err(error) => {
                    let (Some(old), Some(acceptor)) =
                        (previous.listener(&name), previous.acceptor(&name))
                    else {
                        return Err(error);
                    };
                    *listener = Arc::clone(old);
                    acceptors.insert(name, acceptor.clone());
                    refused.push(error);
                }
            }
        }
        let pools = pools(&config, Some(previous));
        Ok((Self::assemble(config, acceptors, pools), refused))
    }

    fn assemble(
        config: Config,
        acceptors: BTreeMap<String, SslAcceptor>,
        pools: BTreeMap<String, Arc<Pool>>,
    ) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        Self {
            config,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            acceptors,
            pools,
        }
    }

    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.config.listeners.iter().find(|l| l.name == name)
    }

    #[must_use]
    pub fn acceptor(&self, listener: &str) -> Option<&SslAcceptor> {
        self.acceptors.get(listener)
    }

    #[must_use]
    pub fn pool(&self, upstream: &str) -> Option<&Arc<Pool>> {
        self.pools.get(upstream)
    }
}

/// None for a listener without TLS.
fn accept_for(listener: &Listener) -> Result<Option<SslAcceptor>, SnapshotError> {
    let ListenerKind::Tls { certificates, sni } = &listener.kind else {
        return Ok(None);
    };
    let fail = |why| SnapshotError {
        what: format!("listener {}", listener.name),
        why,
    };
    let made = acceptor(&listener.name, certificates, *sni)
        .map_err(|error| fail(format!("OpenSSL does not take it: {error}")))?;
    rehearsal::handshakes(&made, certificates).map_err(fail)?;
    Ok(Some(made))
}

fn pools(config: &Config, previous: Option<&Snapshot>) -> BTreeMap<String, Arc<Pool>> {
    let upstreams = config.upstreams.values();
    let pool = |upstream: &Arc<Upstream>| {
        let known = previous.and_then(|previous| previous.pool(&upstream.name));
        match known.filter(|known| *known.upstream == **upstream) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Pool::new(upstream)),
        }
    };
    upstreams
        .map(|upstream| (upstream.name.clone(), pool(upstream)))
        .collect()
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
