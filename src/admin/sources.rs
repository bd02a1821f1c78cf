//! What the status and the metrics are made of.

use std::sync::Arc;

use crate::live::Live;
use crate::reload::Reloads;
use crate::telemetry::Metrics;

/// Where the answers come from.
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
