//! The pools of one snapshot, and what they take over from the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Pool, Upstream};

/// By the upstream's name.
#[derive(Debug, Default)]
pub struct Pools(BTreeMap<String, Arc<Pool>>);

impl Pools {
    /// A pool for each upstream.
    #[must_use]
    pub fn new(upstreams: &BTreeMap<String, Arc<Upstream>>) -> Self {
        let pool = |upstream: &Arc<Upstream>| Arc::new(Pool::new(upstream, Arc::default()));
        let pools = upstreams.iter();
        Self(pools.map(|(name, u)| (name.clone(), pool(u))).collect())
    }

    /// Takes over the pools of upstreams whose settings did not change, and the counters of all. To be called before
    /// [`Pools::start`].
    pub fn carry_over(&mut self, old: &Self) {
        for (name, pool) in &mut self.0 {
            let Some(known) = old.0.get(name) else {
                continue;
            };
            // The same pool, so that requests of both snapshots share its limits, health and connections.
            *pool = match known.upstream == pool.upstream {
                true => Arc::clone(known),
                false => Arc::new(Pool::new(&pool.upstream, Arc::clone(&known.metrics))),
            };
        }
    }

    /// Starts health checks and lookups of names. Needs a tokio runtime.
    pub fn start(&self) {
        self.0.values().for_each(Pool::start);
    }

    /// Ends them, except for pools that `next` carries on.
    pub fn stop(&self, next: Option<&Self>) {
        for (name, pool) in &self.0 {
            let carried = next.and_then(|next| next.get(name));
            if carried.is_none_or(|carried| !Arc::ptr_eq(carried, pool)) {
                pool.stop();
            }
        }
    }

    /// The pool of this name.
    #[must_use]
    pub fn get(&self, upstream: &str) -> Option<&Arc<Pool>> {
        self.0.get(upstream)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.0.values()
    }
}
