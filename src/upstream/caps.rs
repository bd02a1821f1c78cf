//! Limits how many requests an upstream gets at once, and how many wait for their turn.
//! [`Pool::admit`](super::Pool::admit) asks for each request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Caps, Cause};
use crate::telemetry::UpstreamMetrics;

/// The limits of one upstream.
#[derive(Debug)]
pub(super) struct Gate {
    /// One for each request in flight; None if their number is not limited.
    permits: Option<Arc<Semaphore>>,
    /// One for each request that may wait.
    places: Semaphore,
    /// How long a request may wait.
    patience: Duration,
    /// The configured limits, for messages.
    most: usize,
    waiting: usize,
}

/// A request in flight; it no longer counts once this is dropped.
#[derive(Debug)]
pub struct Permit {
    _held: Option<OwnedSemaphorePermit>,
    metrics: Arc<UpstreamMetrics>,
}

/// Why a request may not go to its upstream now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionReason {
    /// `max_connections` are in flight and `max_pending` wait.
    Full,
    /// None of the requests in flight ended within `pending_timeout`.
    PendingTimeout,
    /// All servers are down.
    NoServer,
    /// The upstream's files were invalid when it was new, so it never ran.
    NotLive,
}

impl AdmissionReason {
    /// The code in answers, logs and metrics. It is stable.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Full => "upstream_full",
            Self::PendingTimeout => "upstream_pending_timeout",
            Self::NoServer => Cause::NoServer.code(),
            Self::NotLive => "upstream_not_live",
        }
    }
}

/// A request that may not go to its upstream now. It is to be answered 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionRefusal {
    /// Why.
    pub reason: AdmissionReason,
    /// For the log.
    pub words: String,
    /// Seconds; at least 1.
    pub retry_after: u32,
}

/// A waiting request in the metrics, until dropped: a client that leaves cancels the wait.
struct Waiting<'m>(&'m UpstreamMetrics);

impl Gate {
    pub(super) fn new(caps: &Caps) -> Self {
        let permits = caps.connections.map(|most| Arc::new(Semaphore::new(most)));
        Self {
            permits,
            places: Semaphore::new(caps.pending),
            patience: caps.pending_timeout,
            most: caps.connections.unwrap_or(0),
            waiting: caps.pending,
        }
    }

    pub(super) async fn enter(
        &self,
        metrics: &Arc<UpstreamMetrics>,
    ) -> Result<Permit, AdmissionRefusal> {
        let held = match &self.permits {
            Some(permits) => Some(self.take(permits, metrics).await?),
            None => None,
        };
        metrics.in_flight.up();
        Ok(Permit {
            _held: held,
            metrics: Arc::clone(metrics),
        })
    }

    async fn take(
        &self,
        permits: &Arc<Semaphore>,
        metrics: &UpstreamMetrics,
    ) -> Result<OwnedSemaphorePermit, AdmissionRefusal> {
        // This overtakes nobody: tokio gives a released permit to the request that has waited longest.
        if let Ok(held) = Arc::clone(permits).try_acquire_owned() {
            return Ok(held);
        }
        // The queue is bounded, because each waiting request holds its body in memory.
        let Ok(_place) = self.places.try_acquire() else {
            metrics.refused_full.count();
            return Err(AdmissionRefusal {
                reason: AdmissionReason::Full,
                words: format!(
                    "max_connections {} are in flight and max_pending {} wait",
                    self.most, self.waiting
                ),
                retry_after: 1,
            });
        };
        let _waiting = Waiting::new(metrics);
        match timeout(self.patience, Arc::clone(permits).acquire_owned()).await {
            Ok(Ok(held)) => Ok(held),
            // The semaphore is never closed; if it were, refusing is right too.
            Ok(Err(_)) | Err(_) => {
                metrics.refused_pending.count();
                Err(AdmissionRefusal {
                    reason: AdmissionReason::PendingTimeout,
                    words: format!(
                        "none of max_connections {} ended within pending_timeout {} s",
                        self.most,
                        self.patience.as_secs_f32()
                    ),
                    retry_after: seconds(self.patience),
                })
            }
        }
    }
}

/// In whole seconds for Retry-After: rounded up, and at least 1, since 0 would ask for a retry at once.
pub(super) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000))
        .unwrap_or(u32::MAX)
        .max(1)
}

impl<'m> Waiting<'m> {
    fn new(metrics: &'m UpstreamMetrics) -> Self {
        metrics.pending.up();
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pending.down();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.in_flight.down();
    }
}
