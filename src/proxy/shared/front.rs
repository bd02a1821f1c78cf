//! What all requests share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::body_memory::BodyMemory;
use super::handshakes::HandshakeLog;
use super::inspection_threads::InspectionThreads;
use super::shadow::ShadowThread;
use crate::events::Recorder;
use crate::exposure::Switchboard;
use crate::live::Live;
use crate::telemetry::otlp::Otlp;
use crate::telemetry::{AccessLog, AuditLog, Metrics};

/// What all requests share.
pub(crate) struct Front {
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
    pub access: AccessLog,
    pub audit: AuditLog,
    /// The way to the collector of traces and logs.
    pub otlp: Arc<Otlp>,
    /// Keeps the requests that matter, if the configuration says so.
    pub events: Option<Arc<Recorder>>,
    /// Shows requests to the shadows of policies.
    pub shadow: ShadowThread,
    pub body_memory: Arc<BodyMemory>,
    /// The threads where long inspections run.
    pub inspection_threads: Arc<InspectionThreads>,
    /// Which exposures are off. Snapshots do not change it.
    pub exposures: Arc<Switchboard>,
    pub bound: ArcSwap<BoundAddresses>,
    pub handshakes: Arc<HandshakeLog>,
}

/// The addresses that were really bound, in the configuration's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoundAddresses(pub BTreeMap<String, Vec<SocketAddr>>);

impl BoundAddresses {
    /// The first address of a listener.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.0.get(listener)?.first().copied()
    }
}

impl Front {
    /// The real port of a listener that was configured with port 0.
    #[must_use]
    pub(crate) fn bound_port(&self, listener: &str) -> Option<u16> {
        let address = self.bound.load().address(listener)?;
        Some(address.port())
    }
}
