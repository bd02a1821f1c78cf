//! What the status and the metrics read.
//!
//! These are shared handles, so a clone is cheap and always shows the present state.

use std::sync::Arc;

use crate::live::Live;
use crate::reload::Reloads;
use crate::telemetry::Metrics;

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
