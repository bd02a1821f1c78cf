//! Counters, as atomics. Who exposes them decides on names and labels.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;

use super::queue::LogMetrics;
use crate::tls::Entry;
use crate::tls::handshake::Reason;

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

/// A request on its way; counted until dropped, also where its task panics or is cut off.
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
    /// HTTP/2 connections that were ended because of frames that cost their client nothing.
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
    /// Of requests and of responses, and why.
    pub waf_not_inspected: Table<String, Counter>,
    /// 503 because held bodies had used up their memory.
    pub body_memory_refusals: Counter,
    /// 503 because too many long inspections waited for a thread.
    pub inspection_refusals: Counter,
    /// By listener and route, or [`NO_ROUTE`].
    pub requests: Table<String, Answers>,
    /// By policy and what became of the request: `pass`, `match` or `block`.
    pub waf_requests: Table<String, Counter>,
    /// By policy and rule id: what the log says matched.
    pub waf_rule_matches: Table<u64, Counter>,
    /// Of the access log.
    pub access_log: Arc<LogMetrics>,
    /// Of the audit log.
    pub audit_log: Arc<LogMetrics>,
    /// The certificates that upstreams presented when they were last looked at; those of the
    /// configuration are `Config::certificate_inventory`.
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

/// Something by two names. The names are those of the configurations that ran; so that reloads without
/// end cannot fill the memory, there is a most.
#[derive(Debug)]
pub struct Table<K, T>(RwLock<BTreeMap<String, BTreeMap<K, T>>>);

/// Of a table's rows: far more than a configuration and its rules need.
const MOST_ROWS: usize = 20_000;

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Ord, T: Default> Table<K, T> {
    /// Shows one row to `tell`; a new one where there is none.
    pub fn with<Q>(&self, first: &str, second: &Q, tell: impl Fn(&T))
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        // What is inside is whole at every moment.
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.get(first).and_then(|rows| rows.get(second)) {
            return tell(row);
        }
        drop(rows);
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known: usize = rows.values().map(BTreeMap::len).sum();
        if known < MOST_ROWS {
            let rows = rows.entry(first.to_owned()).or_default();
            tell(rows.entry(second.to_owned()).or_default());
        }
    }

    /// Shows every row, in order.
    pub fn each(&self, mut see: impl FnMut(&str, &K, &T)) {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (first, rows) in rows.iter() {
            rows.iter()
                .for_each(|(second, row)| see(first, second, row));
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
    /// What the upstream is made of could not be taken yet.
    pub refused_not_live: Counter,
    /// By the class of their status.
    pub answers: Answers,
    /// Failed tries, by cause.
    pub failures: UpstreamFailures,
    /// Servers taken out because requests to them failed.
    pub ejections: Counter,
    /// Tries beyond a request's first.
    pub retries: Counter,
    /// Health checks that failed.
    pub health_failures: Counter,
}

/// One counter a cause, by the cause's index.
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

/// One counter a reason, by the reason's index.
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
