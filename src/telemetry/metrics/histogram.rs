//! Histograms that a request costs a few atomic additions: fixed bounds, no lock, no allocation.
//!
//! The histograms of a listener and route are found through a map that is replaced, never changed, so that finding them
//! takes no lock either. Their number is bounded, because names of removed routes stay.

use std::array;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use uuid::Uuid;

use super::Counter;
use crate::time::milliseconds;

/// Bounds of one more bucket than this are the most a histogram can have.
const MOST_BOUNDS: usize = 15;
/// Pairs of listener and route with histograms: each has up to 75 time series.
const MOST_PAIRS: usize = 2000;
/// A bucket gets a new exemplar once the old one is so old: what is stored for every request would cost too much.
const EXEMPLAR_AGE: Duration = Duration::from_secs(1);

/// A bound with its text in both formats, in nanoseconds or bytes.
type Bound = (u64, &'static str);

/// For whole requests and for upstreams.
const LATENCY: &[Bound] = &[
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5.0"),
    (10_000_000_000, "10.0"),
    (30_000_000_000, "30.0"),
];

/// For the rules, which take less.
const INSPECTION: &[Bound] = &[
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (1_000_000_000, "1.0"),
];

/// For bodies.
const SIZE: &[Bound] = &[
    (0, "0.0"),
    (256, "256.0"),
    (1 << 10, "1024.0"),
    (4 << 10, "4096.0"),
    (16 << 10, "16384.0"),
    (64 << 10, "65536.0"),
    (256 << 10, "262144.0"),
    (1 << 20, "1048576.0"),
    (16 << 20, "16777216.0"),
];

/// How many values were at most as large as each bound, and their sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [Bound],
    counts: [Counter; MOST_BOUNDS + 1],
    sum: Counter,
}

/// Durations, with a request's id for each bucket.
#[derive(Debug)]
pub struct LatencyHistogram {
    histogram: Histogram,
    exemplars: [ExemplarSlot; MOST_BOUNDS + 1],
}

/// What a histogram has counted.
#[derive(Debug, PartialEq, Eq)]
pub struct HistogramReport {
    /// The bound, how many values were at most as large, and a request that fell between it and the bound before.
    pub buckets: Vec<(&'static str, u64, Option<Exemplar>)>,
    /// All values, in nanoseconds or bytes.
    pub sum: u64,
}

/// A request that fell into a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// Its id.
    pub request_id: Uuid,
    /// Its trace, if a collector got it.
    pub trace: Option<[u8; 16]>,
    /// How long it took.
    pub value: Duration,
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
}

impl Histogram {
    fn new(bounds: &'static [Bound]) -> Self {
        Self {
            bounds,
            counts: Default::default(),
            sum: Counter::default(),
        }
    }

    /// Counts a value. Returns its bucket.
    pub fn observe(&self, value: u64) -> usize {
        let bucket = self.bounds.partition_point(|(bound, _)| *bound < value);
        // There are at most MOST_BOUNDS bounds, as a test says, so the bucket is there.
        if let Some(count) = self.counts.get(bucket) {
            count.count();
        }
        self.sum.add(value);
        bucket
    }

    /// None until there is a value.
    #[must_use]
    pub fn report(&self) -> Option<HistogramReport> {
        self.report_with(|_| None)
    }

    fn report_with(&self, exemplar: impl Fn(usize) -> Option<Exemplar>) -> Option<HistogramReport> {
        // Read before the counts, so that the sum never has a value that no bucket has.
        let sum = self.sum.value();
        let texts = self.bounds.iter().map(|(_, text)| *text).chain(["+Inf"]);
        let mut total = 0;
        let buckets = texts.zip(&self.counts).enumerate();
        let buckets = buckets.map(|(index, (text, count))| {
            total += count.value();
            (text, total, exemplar(index))
        });
        let buckets = buckets.collect();
        (total > 0).then_some(HistogramReport { buckets, sum })
    }
}

impl LatencyHistogram {
    fn new(bounds: &'static [Bound]) -> Self {
        Self {
            histogram: Histogram::new(bounds),
            exemplars: array::from_fn(|_| ExemplarSlot::default()),
        }
    }

    /// Counts a request. `trace` is its trace, if a collector gets it.
    pub fn observe(
        &self,
        duration: Duration,
        request_id: &str,
        trace: Option<[u8; 16]>,
        now: SystemTime,
    ) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.histogram.observe(nanoseconds);
        if let Some(slot) = self.exemplars.get(bucket) {
            slot.offer(nanoseconds, request_id, trace, milliseconds(now));
        }
    }

    /// None until there is a request.
    #[must_use]
    pub fn report(&self) -> Option<HistogramReport> {
        let exemplar = |index| self.exemplars.get(index).and_then(ExemplarSlot::read);
        self.histogram.report_with(exemplar)
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new(LATENCY)
    }
}

/// An exemplar without a lock: the version is odd while it is written, and a reader that finds the version changed reads
/// again.
#[derive(Debug, Default)]
struct ExemplarSlot {
    version: AtomicU64,
    id: [AtomicU64; 2],
    /// 0 is no trace.
    trace: [AtomicU64; 2],
    value: AtomicU64,
    /// 0 is no exemplar.
    at: AtomicU64,
}

impl ExemplarSlot {
    fn offer(&self, value: u64, request_id: &str, trace: Option<[u8; 16]>, now: u64) {
        // Nearly every request ends here, so nothing dearer comes before.
        let age = now.saturating_sub(self.at.load(Ordering::Relaxed));
        if u128::from(age) < EXEMPLAR_AGE.as_millis() {
            return;
        }
        let Ok(id) = Uuid::parse_str(request_id) else {
            return;
        };
        let version = self.version.load(Ordering::Relaxed);
        // Another thread that writes now has as good an example.
        let free = version.is_multiple_of(2);
        let claimed = || {
            let order = (Ordering::Acquire, Ordering::Relaxed);
            self.version
                .compare_exchange(version, version + 1, order.0, order.1)
        };
        if !free || claimed().is_err() {
            return;
        }
        // No reader may see a store below without the odd version.
        fence(Ordering::Release);
        store(&self.id, id);
        store(&self.trace, trace.map_or(Uuid::nil(), Uuid::from_bytes));
        self.value.store(value, Ordering::Relaxed);
        self.at.store(now, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    /// None if there is none, or if it changes all the time.
    fn read(&self) -> Option<Exemplar> {
        for _ in 0..3 {
            let before = self.version.load(Ordering::Acquire);
            let (id, trace) = (load(&self.id), load(&self.trace));
            let value = self.value.load(Ordering::Relaxed);
            let at = self.at.load(Ordering::Relaxed);
            // All loads above happen before the second look at the version.
            fence(Ordering::Acquire);
            let after = self.version.load(Ordering::Relaxed);
            if before == after && before.is_multiple_of(2) {
                return (at > 0).then(|| Exemplar {
                    request_id: id,
                    trace: (!trace.is_nil()).then(|| trace.into_bytes()),
                    value: Duration::from_nanos(value),
                    at,
                });
            }
        }
        None
    }
}

fn store(halves: &[AtomicU64; 2], value: Uuid) {
    let (high, low) = value.as_u64_pair();
    let [own_high, own_low] = halves;
    own_high.store(high, Ordering::Relaxed);
    own_low.store(low, Ordering::Relaxed);
}

fn load(halves: &[AtomicU64; 2]) -> Uuid {
    let [high, low] = halves.each_ref().map(|half| half.load(Ordering::Relaxed));
    Uuid::from_u64_pair(high, low)
}

/// The histograms of a listener and route.
#[derive(Debug)]
pub struct RouteHistograms {
    /// From the head to the end of the answer.
    pub total: LatencyHistogram,
    /// In the rules.
    pub waf: LatencyHistogram,
    /// At the upstream.
    pub upstream: LatencyHistogram,
    /// Of requests' bodies.
    pub bytes_in: Histogram,
    /// Of answers' bodies.
    pub bytes_out: Histogram,
}

impl Default for RouteHistograms {
    fn default() -> Self {
        Self {
            total: LatencyHistogram::default(),
            waf: LatencyHistogram::new(INSPECTION),
            upstream: LatencyHistogram::default(),
            bytes_in: Histogram::new(SIZE),
            bytes_out: Histogram::new(SIZE),
        }
    }
}

type Pairs = BTreeMap<String, BTreeMap<String, Arc<RouteHistograms>>>;

/// The histograms by listener and route.
#[derive(Debug, Default)]
pub struct HistogramTable {
    pairs: ArcSwap<Pairs>,
    /// Held by who adds a pair.
    adding: Mutex<()>,
    uncounted: Counter,
}

impl HistogramTable {
    /// Calls `update` with the histograms of a pair, which it adds if they are missing.
    pub fn with(&self, listener: &str, route: &str, update: impl FnOnce(&RouteHistograms)) {
        let known = |pairs: &Pairs| pairs.get(listener)?.get(route).map(Arc::clone);
        let pairs = self.pairs.load();
        if let Some(pair) = pairs.get(listener).and_then(|routes| routes.get(route)) {
            return update(pair);
        }
        drop(pairs);
        // Nothing is half done while the lock is held.
        let _alone = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        // Both maps share the histograms, so a request that has the old one loses no count.
        let mut pairs = Pairs::clone(&self.pairs.load());
        // Another thread may have added the pair meanwhile.
        if let Some(pair) = known(&pairs) {
            return update(&pair);
        }
        if pairs.values().map(BTreeMap::len).sum::<usize>() >= MOST_PAIRS {
            return self.uncounted.count();
        }
        let pair = Arc::<RouteHistograms>::default();
        update(&pair);
        let routes = pairs.entry(listener.to_owned()).or_default();
        routes.insert(route.to_owned(), pair);
        self.pairs.store(Arc::new(pairs));
    }

    /// Shows every pair, in order.
    pub fn each(&self, mut see: impl FnMut(&str, &str, &RouteHistograms)) {
        for (listener, routes) in self.pairs.load().iter() {
            for (route, histograms) in routes {
                see(listener, route, histograms);
            }
        }
    }

    /// Requests that found no room.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        self.uncounted.value()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_is_not_below_it() {
        let histogram = Histogram::new(SIZE);
        assert_eq!(histogram.report(), None);
        for value in [0, 1, 256, 257, 1 << 40] {
            histogram.observe(value);
        }
        let report = histogram.report().unwrap();
        let counts: Vec<_> = report.buckets.iter().map(|(_, count, _)| *count).collect();
        assert_eq!(counts, [1, 3, 4, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!(report.buckets[1].0, "256.0");
        assert_eq!(report.buckets.last().unwrap().0, "+Inf");
        assert_eq!(report.sum, 514 + (1 << 40));
    }

    #[test]
    fn bounds_rise_and_say_what_they_are() {
        for (bounds, unit) in [(LATENCY, 1e9), (INSPECTION, 1e9), (SIZE, 1.0)] {
            assert!(bounds.len() <= MOST_BOUNDS);
            assert!(bounds.is_sorted_by_key(|(bound, _)| *bound));
            for (bound, text) in bounds {
                assert_eq!(*bound as f64 / unit, text.parse::<f64>().unwrap());
            }
        }
    }

    #[test]
    fn a_bucket_keeps_an_exemplar_for_a_second() {
        let histogram = LatencyHistogram::default();
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let ids: Vec<_> = (0..3).map(|_| Uuid::now_v7()).collect();
        for (id, after) in ids.iter().zip([0, 999, 1000]) {
            let at = begin + Duration::from_millis(after);
            let trace = (after == 1000).then_some([7; 16]);
            histogram.observe(Duration::from_millis(3), &id.to_string(), trace, at);
            let report = histogram.report().unwrap();
            let shown = report.buckets[2].2.unwrap();
            let expected = if after == 1000 { ids[2] } else { ids[0] };
            assert_eq!(shown.request_id, expected);
            assert_eq!(shown.trace, trace);
            assert_eq!(shown.value, Duration::from_millis(3));
            assert_eq!(report.buckets[1].2, None);
        }
    }

    #[test]
    fn an_exemplar_is_never_torn() {
        let slot = ExemplarSlot::default();
        thread::scope(|scope| {
            for writer in 0..3u64 {
                let slot = &slot;
                scope.spawn(move || {
                    for round in 1..2000u64 {
                        let value = round * 3 + writer;
                        let id = Uuid::from_u64_pair(value, value).to_string();
                        let trace = Some(u128::from(value).to_be_bytes());
                        slot.offer(value, &id, trace, value * 10_000);
                    }
                });
            }
            for _ in 0..10_000 {
                if let Some(seen) = slot.read() {
                    let (high, low) = seen.request_id.as_u64_pair();
                    let value = u64::try_from(seen.value.as_nanos()).unwrap();
                    assert_eq!((high, low, seen.at), (value, value, value * 10_000));
                    assert_eq!(seen.trace, Some(u128::from(value).to_be_bytes()));
                }
            }
        });
    }

    #[test]
    fn pairs_have_a_most_and_what_is_left_out_is_counted() {
        let table = HistogramTable::default();
        let count = |route: usize| {
            table.with("public", &route.to_string(), |pair| {
                pair.bytes_in.observe(1);
            });
        };
        (0..MOST_PAIRS + 3).for_each(count);
        count(0);
        let mut pairs = 0;
        table.each(|_, route, pair| {
            pairs += 1;
            let seen = pair.bytes_in.report().unwrap().sum;
            assert_eq!(seen, if route == "0" { 2 } else { 1 });
        });
        assert_eq!((pairs, table.uncounted()), (MOST_PAIRS, 3));
    }
}
