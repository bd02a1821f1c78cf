//! The counters of the front door. The admin API reads them and decides on their names and labels.
//!
//! Requests count here on every thread, so a counter is an atomic without a lock. All accesses are `Relaxed`: nobody
//! derives the state of other memory from a counter.

mod histogram;
mod rules;
mod shadow;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;

use super::otlp::OtlpMetrics;
use super::queue::LogMetrics;
use crate::tls::Entry;
use crate::tls::handshake::Reason;

pub use histogram::{
    Exemplar, Histogram, HistogramReport, HistogramTable, LatencyHistogram, RouteHistograms,
};
pub use rules::{DEAREST, PolicyOnRoute, ReportedRule, RuleReport, RuleTable};
pub use shadow::{
    RuleDifference, RuleFindings, ShadowFindings, ShadowJudgement, ShadowMetrics, ShadowOutcome,
    ShadowPair,
};

/// Counts up; never resets.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts so many.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts one.
    pub fn count(&self) {
        self.add(1);
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request in flight. It counts until this is dropped, also if its task panics or is aborted.
#[derive(Debug)]
pub struct InFlight(Arc<Metrics>);

impl InFlight {
    /// Counts a request until it is dropped.
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
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of the events that are kept.
#[derive(Debug, Default)]
pub struct EventMetrics {
    /// Written.
    pub kept: Counter,
    /// Dropped because too many waited for the disk.
    pub dropped_queue: Counter,
    /// Dropped because the disk did not take them.
    pub dropped_disk: Counter,
    /// Dropped because of a fault of our own.
    pub dropped_internal: Counter,
}

/// What one front door counted since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections that a listener admitted.
    pub connections_accepted: Counter,
    /// Those that are open now.
    pub connections_open: Gauge,
    /// Closed at once because a limit on connections was reached.
    pub connections_refused: Counter,
    /// Failed handshakes, of all reasons.
    pub tls_handshake_failures: Counter,
    /// The same by [`crate::tls::handshake::Reason`].
    pub handshake_failures: HandshakeFailures,
    /// Heads that HTTP forbids or that came too slowly or too large.
    pub malformed_heads: Counter,
    /// HTTP/2 connections that were ended because of a flood of frames that cost their client almost nothing.
    pub http2_floods: Counter,
    /// Requests that are under way.
    pub requests_in_flight: Gauge,
    /// By the class of their status.
    pub answers: Answers,
    /// Requests or responses that the rules stopped.
    pub waf_blocked: Counter,
    /// Requests that matched at least one logged rule.
    pub waf_matched: Counter,
    /// Requests whose body the rules did not see, or not all of it, or on which a rule gave up at a limit.
    pub waf_uninspected: Counter,
    /// Bodies that were not inspected, by part (request or response) and reason.
    pub waf_not_inspected: Table<String, Counter>,
    /// Requests whose caller was checked, by route and outcome.
    pub identity_checks: Table<String, Counter>,
    /// Attempts to follow or rotate the keys of `[signing]` that failed.
    pub signing_failures: Counter,
    /// 503 because held bodies had used up their memory.
    pub body_memory_refusals: Counter,
    /// 503 because too many long inspections waited for a thread.
    pub inspection_refusals: Counter,
    /// By listener and route, or [`NO_ROUTE`].
    pub requests: Table<String, Answers>,
    /// By listener and route, or [`NO_ROUTE`].
    pub histograms: HistogramTable,
    /// Handshakes that succeeded, by listener, TLS version and group of the key exchange.
    pub handshakes: Table<(&'static str, String), Counter>,
    /// By policy and what became of the request: `pass`, `match` or `block`.
    pub waf_requests: Table<String, Counter>,
    /// Requests in which the rule of an exclusion matched, by policy and rule id.
    pub exclusion_hits: Table<u64, Counter>,
    /// What rules matched and cost, by policy, and by policy and route.
    pub waf_rules: RuleTable,
    /// Of the access log.
    pub access_log: Arc<LogMetrics>,
    /// Of the audit log.
    pub audit_log: Arc<LogMetrics>,
    /// Of the events that are kept.
    pub events: Arc<EventMetrics>,
    /// Of what is sent to a collector.
    pub otlp: Arc<OtlpMetrics>,
    /// What the shadows of policies found.
    pub shadow: ShadowMetrics,
    /// The certificates that upstreams presented at the last check. The certificates of the configuration are in
    /// `Config::certificate_inventory`.
    pub presented: ArcSwap<Vec<Entry>>,
}

impl Metrics {
    /// Counts an answer; 0 is none.
    pub fn answered(&self, status: u16) {
        self.answers.count(status);
    }
}

/// What [`Metrics::requests`] has for a request that no route takes.
pub const NO_ROUTE: &str = "-";

/// Answers by the first digit of their status; index 0 is "no answer".
#[derive(Debug, Default)]
pub struct Answers([Counter; 6]);

impl Answers {
    /// Counts an answer; 0 is none.
    pub fn count(&self, status: u16) {
        let class = usize::from(status / 100);
        // HTTP has no class above 5xx. A status such as 999 counts as "none", so that no index fails and none is lost.
        if let Some(counter) = self.0.get(class).or(self.0.first()) {
            counter.count();
        }
    }

    /// The class as a label, and how many.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
        let counts = self.0.iter().map(Counter::value);
        CLASSES.into_iter().zip(counts)
    }
}

/// Values by two names, which come from the configurations that ran. The number of rows is bounded, because the names
/// of removed routes and rules stay: reloads without end must not fill the memory.
#[derive(Debug)]
pub struct Table<K, T> {
    rows: RwLock<Rows<K, T>>,
    uncounted: Counter,
}

type Rows<K, T> = BTreeMap<String, BTreeMap<K, T>>;

/// The limit of a table's rows: far more than one configuration and its rules need. Beyond it, [`Table::uncounted`]
/// says how much is missing.
const MOST_ROWS: usize = 20_000;

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self {
            rows: RwLock::default(),
            uncounted: Counter::default(),
        }
    }
}

impl<K: Ord, T: Default> Table<K, T> {
    /// Calls `update` with one row; adds the row if it is missing.
    pub fn with<Q>(&self, first: &str, second: &Q, update: impl Fn(&T))
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        // Almost every request finds its row, so the read lock comes first: requests do not wait for each other.
        if self.see(first, second, &update).is_some() {
            return;
        }
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have added the row since the read lock was dropped; `entry` then finds that row.
        let known: usize = rows.values().map(BTreeMap::len).sum();
        if known >= MOST_ROWS {
            return self.uncounted.count();
        }
        let rows = rows.entry(first.to_owned()).or_default();
        update(rows.entry(second.to_owned()).or_default());
    }

    /// Calls that found no row and no room.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        self.uncounted.value()
    }

    /// What `see` makes of one row; None if it is missing.
    pub fn see<Q, R>(&self, first: &str, second: &Q, see: impl FnOnce(&T) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        // Rows are only inserted, so a poisoned lock protects nothing half done, here and elsewhere.
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.get(first).and_then(|rows| rows.get(second)).map(see)
    }

    /// Shows every row, in order.
    pub fn each(&self, mut see: impl FnMut(&str, &K, &T)) {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        for (first, rows) in rows.iter() {
            rows.iter()
                .for_each(|(second, row)| see(first, second, row));
        }
    }
}

/// The counters of one upstream. They outlive a reload. The pool knows whether its servers are up.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    /// Requests under way, streams included.
    pub in_flight: Gauge,
    /// Requests that wait for one of `max_connections`.
    pub pending: Gauge,
    /// 503 because `max_pending` requests already waited.
    pub refused_full: Counter,
    /// 503 because waiting took too long.
    pub refused_pending: Counter,
    /// 503 because no server is up.
    pub refused_down: Counter,
    /// 503 because a file of the upstream was refused and there is no last good version.
    pub refused_not_live: Counter,
    /// By the class of their status.
    pub answers: Answers,
    /// Time of requests, with all their attempts.
    pub duration: LatencyHistogram,
    /// Failed tries, by cause.
    pub failures: UpstreamFailures,
    /// Servers taken out because requests to them failed.
    pub ejections: Counter,
    /// Tries beyond a request's first.
    pub retries: Counter,
    /// Health checks that failed.
    pub health_failures: Counter,
}

/// One counter for each cause, by the index of the cause. This module lies below `upstream` and cannot name its
/// `Cause`, so the size is fixed with room for new causes.
#[derive(Debug, Default)]
pub struct UpstreamFailures([Counter; 32]);

impl UpstreamFailures {
    /// Counts a failure, by the number of its cause.
    pub fn count(&self, cause: usize) {
        if let Some(counter) = self.0.get(cause) {
            counter.count();
        }
    }

    /// How many failures had the cause of this number.
    #[must_use]
    pub fn value(&self, cause: usize) -> u64 {
        self.0.get(cause).map_or(0, Counter::value)
    }
}

/// One counter for each reason, by the index of the reason.
#[derive(Debug, Default)]
pub struct HandshakeFailures([Counter; Reason::ALL.len()]);

impl HandshakeFailures {
    /// Counts a failed handshake, by the number of its reason.
    pub fn count(&self, reason: usize) {
        if let Some(counter) = self.0.get(reason) {
            counter.count();
        }
    }

    /// How many handshakes failed for this reason.
    #[must_use]
    pub fn value(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).map_or(0, Counter::value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_most() {
        let table = Table::<u64, Counter>::default();
        for id in 0..MOST_ROWS as u64 + 10 {
            table.with("default", &id, Counter::count);
        }
        table.with("default", &3, Counter::count);
        let (mut rows, mut third) = (0, 0);
        table.each(|policy, id, counter| {
            assert_eq!(policy, "default");
            rows += 1;
            if *id == 3 {
                third = counter.value();
            }
        });
        assert_eq!((rows, third), (MOST_ROWS, 2));
        assert_eq!(table.uncounted(), 10);
    }

    #[test]
    fn answers_have_classes() {
        let answers = Answers::default();
        for status in [0, 101, 200, 204, 404, 503, 999] {
            answers.count(status);
        }
        let counts: Vec<_> = answers.each().collect();
        let expected = [
            ("none", 2),
            ("1xx", 1),
            ("2xx", 2),
            ("3xx", 0),
            ("4xx", 1),
            ("5xx", 1),
        ];
        assert_eq!(counts, expected);
    }
}
