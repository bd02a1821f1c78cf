//! What was counted over time, in all and by route: fine steps for the last hour, coarse ones for a week.
//!
//! The metrics only know totals since the start. Whoever has Prometheus has all of this already; the console is also for
//! those who have not. Invariants: the memory and the file are bounded (two rings of fixed length, a fixed number of routes);
//! a sample counts from the start of the first process whose samples are still here, so that a restart is no step back.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::replace_file::{Access, replace_file};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::LatencyHistogram;
use crate::time::milliseconds;

/// The time between two samples.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// An hour of them.
const FINE: usize = 360;
/// How long the fine steps reach back.
const FINE_SPAN: Duration = Duration::from_secs(STEP.as_secs() * FINE as u64);
/// Each 30th sample is kept for a week.
const COARSE_EVERY: u64 = 30;
const COARSE: usize = 2016;
/// Routes with counts of their own, of each listener. The others are counted together.
const MOST_ROUTES: usize = 64;
const OTHERS: &str = "others";
/// Routes with times of their own: these take twenty times the memory of counts.
const MOST_TIMED: usize = 24;
/// Buckets of a histogram at most.
const MOST_BUCKETS: usize = 16;

const FILE: &str = "console-history.json";
const ASIDE: &str = "console-history.json.new";
/// Far more than full rings take.
const MOST_BYTES: u64 = 32 << 20;
/// Raised when the format changes; a file of another one is left out.
const VERSION: u8 = 1;

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) blocked: u64,
    pub(super) matched: u64,
    pub(super) uninspected: u64,
    pub(super) errors: u64,
}

/// What is counted of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RouteTotals {
    pub(super) requests: u64,
    pub(super) errors: u64,
}

/// Of a route: how many requests took at most as long as each bound, in all, in the rules and at the gateway.
pub(super) type Times = [Vec<(&'static str, u64)>; 3];

/// The counts of [`Times`] without the bounds. They begin anew after the largest number; differences stay right.
type TimeCounts = [Vec<u32>; 3];

/// Listener and route.
type RouteKey = (String, String);

/// What the metrics have now.
#[derive(Debug, Clone, Default)]
struct Now {
    totals: Totals,
    routes: BTreeMap<RouteKey, RouteTotals>,
    times: BTreeMap<RouteKey, Times>,
}

/// Counts at one time.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sample {
    /// Milliseconds since 1970.
    at: u64,
    totals: Totals,
    /// In the order of the names. Earlier samples may lack the last ones.
    routes: Vec<RouteTotals>,
    /// The same of the first of them.
    #[serde(default)]
    times: Vec<TimeCounts>,
}

/// What happened from one sample to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) seconds: f64,
    pub(super) counts: Totals,
}

/// What happened on a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteSpan {
    pub(super) listener: String,
    pub(super) route: String,
    pub(super) counts: RouteTotals,
    /// Of its requests in this time; empty where nobody knows.
    pub(super) times: Times,
}

/// What happened over some time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Span {
    /// The oldest first.
    pub(super) steps: Vec<Step>,
    /// Those that had a request.
    pub(super) routes: Vec<RouteSpan>,
}

/// The samples.
#[derive(Debug, Default)]
pub(super) struct History {
    /// With None they end with the process.
    file: Option<PathBuf>,
    rings: Mutex<Rings>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rings {
    version: u8,
    names: Vec<RouteKey>,
    fine: VecDeque<Sample>,
    coarse: VecDeque<Sample>,
    #[serde(skip)]
    taken: u64,
    /// What the processes before this one counted.
    #[serde(skip)]
    base: Option<Sample>,
}

impl History {
    /// Goes on with the file in the `state_dir`.
    pub(super) fn open(state_dir: Option<&Path>) -> Self {
        let file = state_dir.map(|folder| folder.join(FILE));
        let read = file.as_deref().map_or(Ok(None), Rings::read);
        let rings = read.unwrap_or_else(|why| {
            // A damaged file costs the past, not the console.
            tracing::warn!(target: "console", "the history begins anew: {why}");
            None
        });
        Self {
            file,
            rings: Mutex::new(rings.unwrap_or_default()),
        }
    }

    /// Takes a sample. Whether the file should follow.
    pub(super) fn take(&self, metrics: &Metrics) -> bool {
        self.add(SystemTime::now(), &Now::of(metrics))
    }

    fn add(&self, at: SystemTime, now: &Now) -> bool {
        let mut rings = self.rings();
        let sample = rings.sample(at, now);
        let is_coarse = rings.taken.is_multiple_of(COARSE_EVERY);
        if is_coarse {
            push(&mut rings.coarse, sample.clone(), COARSE);
        }
        push(&mut rings.fine, sample, FINE);
        rings.taken += 1;
        // The very first sample adds nothing to what the file has.
        is_coarse && rings.taken > 1
    }

    /// What happened from so long ago until now.
    pub(super) fn span(&self, span: Duration, metrics: &Metrics) -> Span {
        self.span_until(span, SystemTime::now(), &Now::of(metrics))
    }

    fn span_until(&self, span: Duration, at: SystemTime, now: &Now) -> Span {
        let mut rings = self.rings();
        // It only closes the span, whose end the rings do not have yet, and is not kept.
        let last = rings.sample(at, now);
        let ring = match span <= FINE_SPAN {
            true => &rings.fine,
            false => &rings.coarse,
        };
        let begin = at.checked_sub(span).map_or(0, milliseconds);
        let shown: Vec<&Sample> = ring.iter().filter(|sample| sample.at >= begin).collect();
        let routes = match shown.first() {
            Some(first) => rings.routes_between(first, &last, &now.times),
            None => Vec::new(),
        };
        let shown: Vec<&Sample> = shown.into_iter().chain([&last]).collect();
        let pairs = shown.iter().zip(shown.iter().skip(1));
        let steps = pairs.map(|(before, after)| Step {
            seconds: Duration::from_millis(after.at.saturating_sub(before.at)).as_secs_f64(),
            counts: after.totals.since(&before.totals),
        });
        Span {
            steps: steps.collect(),
            routes,
        }
    }

    /// Writes the file. Blocks on the disk.
    pub(super) fn save(&self) {
        let Some(file) = &self.file else { return };
        // The lock is free again before the disk is touched: pages and samples wait for it.
        let content = serde_json::to_vec(&*self.rings());
        let saved = content.map_err(io::Error::from).and_then(|content| {
            replace_file(file, &file.with_file_name(ASIDE), Access::Private, &content)
        });
        if let Err(error) = saved {
            let file = file.display();
            tracing::warn!(target: "console", "cannot write {file}: {error}");
        }
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        // Samples are added and removed whole.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    /// None if there is no file.
    fn read(file: &Path) -> Result<Option<Self>, String> {
        let shown = file.display();
        let opened = match File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {shown}: {error}")),
        };
        let mut content = Vec::new();
        opened
            // The parser then finds a longer file damaged.
            .take(MOST_BYTES)
            .read_to_end(&mut content)
            .map_err(|error| format!("cannot read {shown}: {error}"))?;
        let mut rings: Self = serde_json::from_slice(&content)
            .map_err(|error| format!("{shown} is damaged: {error}"))?;
        // A push removes one sample at most, so a longer ring would never shrink.
        if rings.version != VERSION || !rings.is_bounded() {
            return Err(format!("{shown} is of another version"));
        }
        rings.base = rings.fine.back().cloned();
        Ok(Some(rings))
    }

    fn is_bounded(&self) -> bool {
        let mut samples = self.fine.iter().chain(&self.coarse);
        self.fine.len() <= FINE
            && self.coarse.len() <= COARSE
            // The last one is of all others.
            && self.names.len() <= MOST_ROUTES + 1
            && samples.all(|sample| {
                let mut times = sample.times.iter().flatten();
                sample.routes.len() <= self.names.len()
                    && sample.times.len() <= MOST_TIMED
                    && times.all(|counts| counts.len() <= MOST_BUCKETS)
            })
    }

    fn sample(&mut self, at: SystemTime, now: &Now) -> Sample {
        self.version = VERSION;
        let base = self.base.clone();
        let (totals, mut routes, mut times) =
            base.map_or_else(Default::default, |b| (b.totals, b.routes, b.times));
        for (key, counts) in &now.routes {
            let place = self.place(key);
            routes.resize(routes.len().max(place + 1), RouteTotals::default());
            if let Some(known) = routes.get_mut(place) {
                known.requests += counts.requests;
                known.errors += counts.errors;
            }
            if let Some(now) = now.times.get(key).filter(|_| place < MOST_TIMED) {
                times.resize(times.len().max(place + 1), TimeCounts::default());
                times
                    .get_mut(place)
                    .into_iter()
                    .for_each(|kept| add(kept, now));
            }
        }
        Sample {
            at: milliseconds(at),
            totals: totals.plus(now.totals),
            routes,
            times,
        }
    }

    /// Where the counts of a route stand.
    fn place(&mut self, key: &RouteKey) -> usize {
        if let Some(known) = self.names.iter().position(|known| known == key) {
            return known;
        }
        // A place is never given to another route: the samples of a week count by it.
        match self.names.len() {
            count if count < MOST_ROUTES => {
                self.names.push(key.clone());
                count
            }
            MOST_ROUTES => {
                self.names.push((OTHERS.to_owned(), OTHERS.to_owned()));
                MOST_ROUTES
            }
            _ => MOST_ROUTES,
        }
    }

    fn routes_between(
        &self,
        first: &Sample,
        last: &Sample,
        now: &BTreeMap<RouteKey, Times>,
    ) -> Vec<RouteSpan> {
        let rows = self.names.iter().enumerate().filter_map(|(at, key)| {
            let after = last.routes.get(at)?;
            // A route that the first sample lacks had counted nothing then.
            let before = first.routes.get(at).copied().unwrap_or_default();
            let (listener, route) = key.clone();
            let counts = RouteTotals {
                requests: after.requests.saturating_sub(before.requests),
                errors: after.errors.saturating_sub(before.errors),
            };
            let times = now.get(key).zip(last.times.get(at));
            let times =
                times.map(|(bounds, after)| times_since(bounds, after, first.times.get(at)));
            (counts.requests > 0).then(|| RouteSpan {
                listener,
                route,
                counts,
                times: times.unwrap_or_default(),
            })
        });
        let mut rows: Vec<RouteSpan> = rows.collect();
        // The places only say which route had a request first.
        rows.sort_by(|a, b| (&a.listener, &a.route).cmp(&(&b.listener, &b.route)));
        rows
    }
}

fn add(kept: &mut TimeCounts, now: &Times) {
    for (kept, now) in kept.iter_mut().zip(now) {
        // Other bounds than those of the process before.
        if kept.len() != now.len() {
            *kept = vec![0; now.len()];
        }
        for (kept, (_, count)) in kept.iter_mut().zip(now) {
            *kept = kept.wrapping_add(low_half(*count));
        }
    }
}

fn times_since(bounds: &Times, after: &TimeCounts, before: Option<&TimeCounts>) -> Times {
    let mut times = Times::default();
    for (at, (time, bounds)) in times.iter_mut().zip(bounds).enumerate() {
        let after = after.get(at).map(Vec::as_slice).unwrap_or_default();
        let before = before.and_then(|before| before.get(at));
        let before = before.filter(|before| before.len() == after.len());
        let counts = after.iter().enumerate().map(|(bucket, after)| {
            let before = before.and_then(|before| before.get(bucket));
            u64::from(after.wrapping_sub(before.copied().unwrap_or(0)))
        });
        let bounds = bounds.iter().map(|(bound, _)| *bound);
        *time = bounds.zip(counts).collect();
    }
    times
}

fn low_half(count: u64) -> u32 {
    u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0)
}

fn push(ring: &mut VecDeque<Sample>, sample: Sample, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(sample);
}

impl Now {
    fn of(metrics: &Metrics) -> Self {
        let mut routes: BTreeMap<RouteKey, RouteTotals> = BTreeMap::new();
        metrics.requests.each(|listener, route, answers| {
            let counts = RouteTotals {
                requests: answers.each().map(|(_, count)| count).sum(),
                errors: errors(answers.each()),
            };
            routes.insert((listener.to_owned(), route.clone()), counts);
        });
        let mut times: BTreeMap<RouteKey, Times> = BTreeMap::new();
        metrics.histograms.each(|listener, route, known| {
            let reports = [&known.total, &known.waf, &known.upstream].map(LatencyHistogram::report);
            let of = reports.map(|report| {
                let buckets = report.map(|report| report.buckets).unwrap_or_default();
                let counts = buckets.into_iter().map(|(bound, count, _)| (bound, count));
                counts.collect()
            });
            times.insert((listener.to_owned(), route.to_owned()), of);
        });
        Self {
            totals: Totals::of(metrics),
            routes,
            times,
        }
    }
}

fn errors(mut answers: impl Iterator<Item = (&'static str, u64)>) -> u64 {
    let found = answers.find(|(class, _)| *class == "5xx");
    found.map_or(0, |(_, count)| count)
}

impl Totals {
    fn of(metrics: &Metrics) -> Self {
        let answers = || metrics.answers.each();
        Self {
            requests: answers().map(|(_, count)| count).sum(),
            blocked: metrics.waf_blocked.value(),
            matched: metrics.waf_matched.value(),
            uninspected: metrics.waf_uninspected.value(),
            errors: errors(answers()),
        }
    }

    fn since(&self, before: &Self) -> Self {
        // Counters are read one after the other, so one may seem to lag behind another for a moment.
        Self {
            requests: self.requests.saturating_sub(before.requests),
            blocked: self.blocked.saturating_sub(before.blocked),
            matched: self.matched.saturating_sub(before.matched),
            uninspected: self.uninspected.saturating_sub(before.uninspected),
            errors: self.errors.saturating_sub(before.errors),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            blocked: self.blocked + other.blocked,
            matched: self.matched + other.matched,
            uninspected: self.uninspected + other.uninspected,
            errors: self.errors + other.errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(step: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(10 * step)
    }

    fn key() -> RouteKey {
        ("public".to_owned(), "orders".to_owned())
    }

    fn counts(step: u64) -> Vec<(&'static str, u64)> {
        let fast = step.saturating_sub(10) * 5;
        vec![("0.1", fast), ("0.2", step * 5), ("+Inf", step * 5)]
    }

    fn now(step: u64) -> Now {
        let route = RouteTotals {
            requests: step * 5,
            errors: step,
        };
        Now {
            totals: Totals {
                requests: step * 7,
                blocked: step,
                ..Totals::default()
            },
            routes: [(key(), route)].into(),
            // Each request took 0.1 to 0.2 seconds until step 10, and less since.
            times: [(key(), [counts(step), Vec::new(), Vec::new()])].into(),
        }
    }

    fn sum(span: &Span) -> Totals {
        let counts = span.steps.iter().map(|step| step.counts);
        counts.fold(Totals::default(), Totals::plus)
    }

    #[test]
    fn steps_are_differences_and_the_rings_are_bounded() {
        let history = History::default();
        let last = 100_000;
        for step in 0..last {
            history.add(at(step), &now(step));
        }
        let five_minutes = history.span_until(Duration::from_secs(300), at(last), &now(last));
        assert_eq!(five_minutes.steps.len(), 30);
        let mut steps = five_minutes.steps.iter();
        assert!(steps.all(|step| step.counts.requests == 7 && step.seconds == 10.0));
        let [orders] = &five_minutes.routes[..] else {
            panic!("{:?}", five_minutes.routes);
        };
        assert_eq!((orders.counts.requests, orders.counts.errors), (150, 30));
        let week = history.span_until(Duration::from_secs(7 * 86_400), at(last), &now(last));
        assert_eq!(week.steps.len(), COARSE);
        // The ring's oldest sample is at most one coarse step younger than a week.
        let blocked = sum(&week).blocked;
        assert!((60_479 - 30..=60_480).contains(&blocked), "{blocked}");
        assert_eq!(history.rings().fine.len(), FINE);
    }

    #[test]
    fn times_are_those_of_the_span_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(Some(folder.path()));
        (0..40).for_each(|step| {
            history.add(at(step), &now(step));
        });
        let of = |history: &History, seconds, step, now: &Now| {
            let span = history.span_until(Duration::from_secs(seconds), at(step), now);
            span.routes[0].times[0].clone()
        };
        let hour = of(&history, 3000, 40, &now(40));
        assert_eq!(hour, [("0.1", 150), ("0.2", 200), ("+Inf", 200)]);
        let minute = of(&history, 60, 40, &now(40));
        assert_eq!(minute, [("0.1", 30), ("0.2", 30), ("+Inf", 30)]);
        history.save();
        let history = History::open(Some(folder.path()));
        history.add(at(50), &now(0));
        // Step 39 was the last one that the file has.
        let after = of(&history, 3000, 51, &now(5));
        assert_eq!(after, [("0.1", 145), ("0.2", 220), ("+Inf", 220)]);
        assert!(history.rings().is_bounded());
    }

    #[test]
    fn a_restart_is_no_step_back() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(Some(folder.path()));
        (0..10).for_each(|step| {
            history.add(at(step), &now(step));
        });
        history.save();
        let history = History::open(Some(folder.path()));
        // The counters of the new process begin at 0.
        (0..5).for_each(|step| {
            history.add(at(20 + step), &now(step));
        });
        let span = history.span_until(Duration::from_secs(3000), at(25), &now(5));
        assert_eq!(sum(&span).requests, 7 * (9 + 5));
        assert_eq!(span.routes[0].counts.requests, 5 * (9 + 5));
        assert!(span.steps.iter().all(|step| step.counts.requests <= 7));
    }

    #[test]
    fn a_file_that_is_no_history_is_left_out() {
        for content in [
            "",
            "{}",
            "[1",
            "{\"version\":9,\"names\":[],\"fine\":[],\"coarse\":[]}",
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), content).unwrap();
            let history = History::open(Some(folder.path()));
            history.add(at(1), &now(1));
            let span = history.span_until(Duration::from_secs(60), at(2), &now(2));
            assert_eq!(sum(&span).requests, 7, "{content}");
        }
    }

    #[test]
    fn many_routes_are_counted_together() {
        let mut many = now(1);
        let one = RouteTotals {
            requests: 1,
            errors: 0,
        };
        for route in 0..200 {
            many.routes
                .insert(("z".to_owned(), format!("r{route}")), one);
        }
        let history = History::default();
        history.add(at(0), &Now::default());
        let span = history.span_until(Duration::from_secs(60), at(1), &many);
        assert_eq!(span.routes.len(), MOST_ROUTES + 1);
        let all: u64 = span.routes.iter().map(|row| row.counts.requests).sum();
        assert_eq!(all, 205);
        assert!(history.rings().is_bounded());
    }
}
