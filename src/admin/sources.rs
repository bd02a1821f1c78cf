//! What the status and the metrics read.
//!
//! These are shared handles, so a clone is cheap and always shows the present state.

use std::sync::Arc;

use crate::live::Live;
use crate::reload::Reloads;
use crate::telemetry::Metrics;
use crate::tls::Entry;

/// The sources of the status and the metrics.
#[derive(Clone)]
pub struct StatusSources {
    /// The live snapshot.
    pub live: Arc<Live>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The last reload and the one under way.
    pub reloads: Arc<Reloads>,
    /// True once the front door is closing.
    pub closing: tokio::sync::watch::Receiver<bool>,
}

impl StatusSources {
    /// The certificates of the configuration, and those that gateways presented at the last check.
    pub(super) fn certificates(&self) -> Vec<Entry> {
        let mut entries = self.live.pin().config.certificate_inventory();
        entries.extend(self.metrics.presented.load().iter().cloned());
        entries
    }
}
