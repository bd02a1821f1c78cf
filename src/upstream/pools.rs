//! The pools of one snapshot, and what they take over from the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Pool, Upstream};

/// By the upstream's name.
#[derive(Debug, Default)]
pub struct Pools(BTreeMap<String, Arc<Pool>>);

impl Pools {
    /// A pool for each upstream. The pools of upstreams whose settings did not change are those that run, and the
    /// others keep their counters.
    #[must_use]
    pub fn new(upstreams: &BTreeMap<String, Arc<Upstream>>, running: &Self) -> Self {
        let pool = |(name, upstream): (&String, &Arc<Upstream>)| {
            let pool = match running.get(name) {
                // The same pool, so that requests of both snapshots share its limits, health and connections.
                Some(known) if known.upstream == *upstream => Arc::clone(known),
                Some(known) => Arc::new(Pool::new(upstream, Arc::clone(&known.metrics))),
                None => Arc::new(Pool::new(upstream, Arc::default())),
            };
            (name.clone(), pool)
        };
        Self(upstreams.iter().map(pool).collect())
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
