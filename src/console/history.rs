//! What was counted over time: fine steps for the last hour, coarse ones for a week.
//!
//! The metrics only know totals since the start. Whoever has Prometheus has all of this already; the console is also for
//! those who have not. The memory is bounded: two rings of fixed length.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::telemetry::Metrics;

/// The time between two samples.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// An hour of them.
const FINE: usize = 360;
/// How long the fine steps reach back.
const FINE_SPAN: Duration = Duration::from_secs(STEP.as_secs() * FINE as u64);
/// Each 30th sample is kept for a week.
const COARSE_EVERY: u64 = 30;
const COARSE: usize = 2016;

/// Counts since the start of the process, at one time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: SystemTime,
    totals: Totals,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) blocked: u64,
    pub(super) matched: u64,
    pub(super) uninspected: u64,
    pub(super) errors: u64,
}

/// What happened from one sample to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) seconds: f64,
    pub(super) counts: Totals,
}

/// The samples.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Rings>);

#[derive(Debug, Default)]
struct Rings {
    taken: u64,
    fine: VecDeque<Sample>,
    coarse: VecDeque<Sample>,
}

impl History {
    pub(super) fn take(&self, metrics: &Metrics) {
        self.add(SystemTime::now(), Totals::of(metrics));
    }

    fn add(&self, at: SystemTime, totals: Totals) {
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = Sample { at, totals };
        if rings.taken.is_multiple_of(COARSE_EVERY) {
            push(&mut rings.coarse, sample, COARSE);
        }
        push(&mut rings.fine, sample, FINE);
        rings.taken += 1;
    }

    /// The steps of this long until now, the present one included, the oldest first.
    pub(super) fn steps(&self, span: Duration, metrics: &Metrics) -> Vec<Step> {
        self.steps_until(span, SystemTime::now(), Totals::of(metrics))
    }

    fn steps_until(&self, span: Duration, now: SystemTime, totals: Totals) -> Vec<Step> {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = match span <= FINE_SPAN {
            true => &rings.fine,
            false => &rings.coarse,
        };
        let begin = now.checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH);
        let shown = ring.iter().filter(|sample| sample.at >= begin).copied();
        let shown: Vec<Sample> = shown.chain([Sample { at: now, totals }]).collect();
        let pairs = shown.iter().zip(shown.iter().skip(1));
        pairs
            .map(|(before, after)| {
                let time = after.at.duration_since(before.at).unwrap_or_default();
                Step {
                    seconds: time.as_secs_f64(),
                    counts: after.totals.since(&before.totals),
                }
            })
            .collect()
    }
}

fn push(ring: &mut VecDeque<Sample>, sample: Sample, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(sample);
}

impl Totals {
    fn of(metrics: &Metrics) -> Self {
        let answers = || metrics.answers.each();
        Self {
            requests: answers().map(|(_, count)| count).sum(),
            blocked: metrics.waf_blocked.value(),
            matched: metrics.waf_matched.value(),
            uninspected: metrics.waf_uninspected.value(),
            errors: answers()
                .find(|(class, _)| *class == "5xx")
                .map_or(0, |(_, count)| count),
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
    use super::*;

    #[test]
    fn steps_are_differences_and_the_rings_are_bounded() {
        let history = History::default();
        let at = |step: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(10 * step);
        let totals = |step: u64| Totals {
            requests: step * 7,
            blocked: step,
            ..Totals::default()
        };
        let last = 100_000;
        for step in 0..last {
            history.add(at(step), totals(step));
        }
        let five_minutes = history.steps_until(Duration::from_secs(300), at(last), totals(last));
        assert_eq!(five_minutes.len(), 30);
        assert!(
            five_minutes
                .iter()
                .all(|step| step.counts.requests == 7 && step.seconds == 10.0)
        );
        let week = history.steps_until(Duration::from_secs(7 * 86_400), at(last), totals(last));
        assert_eq!(week.len(), COARSE);
        let sum = week
            .iter()
            .map(|step| step.counts)
            .fold(Totals::default(), Totals::plus);
        // The ring's oldest sample is at most one coarse step younger than a week.
        assert!((60_479 - 30..=60_480).contains(&sum.blocked), "{sum:?}");
        assert_eq!(history.0.lock().unwrap().fine.len(), FINE);
    }
}
