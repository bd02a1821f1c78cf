//! Counters, as atomics. Who exposes them decides on names and labels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::tls::Entry;

/// Counts up; never resets.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn count(&self) {
        self.add(1);
    }

    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request on its way; counted until dropped, also where its task panics or is cut off.
#[derive(Debug)]
pub struct InFlight(Arc<Metrics>);

impl InFlight {
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.requests_in_flight.up();
        Self(Arc::clone(metrics))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests_in_flight.down();
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one front door counted since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    pub connections_accepted: Counter,
    pub connections_open: Gauge,
    /// Closed at once because a limit on connections was reached.
    pub connections_refused: Counter,
    pub tls_handshake_failures: Counter,
    /// Heads that HTTP forbids or that came too slowly or too large.
    pub malformed_heads: Counter,
    pub requests_in_flight: Gauge,
    /// Answers by the first digit of their status; index 0 is "no answer".
    pub answers: [Counter; 6],
    /// Requests or responses that the rules stopped.
    pub waf_blocked: Counter,
    /// Requests that matched at least one logged rule.
    pub waf_matched: Counter,
    /// Requests whose body the rules did not see, or not all of it, or on which a rule gave up at a limit.
    pub waf_uninspected: Counter,
    /// 503 because held bodies had used up their memory.
    pub body_memory_refusals: Counter,
    pub upstream_failures: UpstreamFailures,
    /// Access lines that were dropped because their sink did not keep up.
    pub access_lines_dropped: Counter,
    /// The certificates that upstreams presented when they were last looked at; those of the
    /// configuration are [`crate::tls::inventory()`].
    pub presented: ArcSwap<Vec<Entry>>,
}

impl Metrics {
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100);
        if let Some(counter) = self.answers.get(class).or(self.answers.first()) {
            counter.count();
        }
    }
}

/// What one upstream counted, over all configurations it had. Whether its servers are up is the
/// pool's to tell.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    /// Requests under way, streams included.
    pub in_flight: Gauge,
    /// Requests that wait for one of `max_connections`.
    pub pending: Gauge,
    /// 503 because as many as may wait did.
    pub refused_full: Counter,
    /// 503 because waiting took too long.
    pub refused_pending: Counter,
    /// 503 because no server is up.
    pub refused_down: Counter,
    /// Servers taken out because requests to them failed.
    pub ejections: Counter,
    /// Tries beyond a request's first.
    pub retries: Counter,
    pub health_failures: Counter,
}

/// One counter a cause, by the cause's index.
#[derive(Debug, Default)]
pub struct UpstreamFailures([Counter; 32]);

impl UpstreamFailures {
    pub fn count(&self, cause: usize) {
        if let Some(counter) = self.0.get(cause) {
            counter.count();
        }
    }

    #[must_use]
    pub fn value(&self, cause: usize) -> u64 {
        self.0.get(cause).map_or(0, Counter::value)
    }
}
