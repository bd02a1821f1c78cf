//! What watches the rules while they run: the probe at load, a clock, or a tool that asks of what use exclusions are.
//!
//! The evaluation exists twice, and a transaction that nothing watches runs the copy without any of this.

use std::time::{Duration, Instant};

use super::exclusion_watch::ExclusionWatch;
use crate::rule::RuleSelection;

/// How long one rule took in a transaction, with all links of its chain and all values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleTime {
    /// The rule's `id`; 0 for a rule without one.
    pub rule_id: u64,
    /// As the clock shows it: time in which the thread did not run counts, too.
    pub time: Duration,
}

/// How long the rules of a transaction took. What several rules share, such as a transformation of a value, counts for
/// the first one that needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleTimes {
    /// The search for the rules that can match, which comes before the first rule of a phase.
    pub prefilter: Duration,
    /// Every rule that ran, in order. Rules that the prefilter ruled out, or that are decided at load, did not run.
    pub rules: Vec<RuleTime>,
}

#[derive(Debug)]
pub(super) enum Watch {
    /// Rules that evaluation reached.
    Probe(RuleSelection),
    Clock(Clock),
    Exclusions(ExclusionWatch),
}

#[derive(Debug)]
pub(super) struct Clock {
    /// When it was last looked at.
    last: Instant,
    times: RuleTimes,
}

impl Watch {
    pub(super) fn clock() -> Self {
        Self::Clock(Clock {
            last: Instant::now(),
            times: RuleTimes::default(),
        })
    }

    pub(super) fn is_probe(&self) -> bool {
        matches!(self, Self::Probe(_))
    }

    /// Whether it must see the rules too that were decided at load.
    pub(super) fn sees_all(&self) -> bool {
        matches!(self, Self::Probe(_) | Self::Exclusions(_))
    }

    pub(super) fn times(&self) -> Option<&RuleTimes> {
        match self {
            Self::Clock(clock) => Some(&clock.times),
            Self::Probe(_) | Self::Exclusions(_) => None,
        }
    }

    pub(super) fn exclusions(&self) -> Option<&ExclusionWatch> {
        match self {
            Self::Exclusions(watch) => Some(watch),
            Self::Probe(_) | Self::Clock(_) => None,
        }
    }

    pub(super) fn exclusions_mut(&mut self) -> Option<&mut ExclusionWatch> {
        match self {
            Self::Exclusions(watch) => Some(watch),
            Self::Probe(_) | Self::Clock(_) => None,
        }
    }

    /// What took the time until now is neither a rule nor the prefilter.
    pub(super) fn pass_over(&mut self) {
        if let Self::Clock(clock) = self {
            clock.lap();
        }
    }

    pub(super) fn end_prefilter(&mut self) {
        if let Self::Clock(clock) = self {
            let time = clock.lap();
            clock.times.prefilter += time;
        }
    }

    pub(super) fn begin_rule(&mut self, index: u32) {
        match self {
            Self::Probe(reached) => reached.insert(index as usize),
            Self::Exclusions(watch) => watch.begin_rule(),
            // Its lap began where the one before ended.
            Self::Clock(_) => {}
        }
    }

    pub(super) fn end_rule(&mut self, index: u32, rule_id: u64) {
        match self {
            Self::Clock(clock) => {
                let time = clock.lap();
                // A rule runs at most once in a transaction, so there are no more entries than rules.
                clock.times.rules.push(RuleTime { rule_id, time });
            }
            Self::Exclusions(watch) => watch.end_rule(index),
            Self::Probe(_) => {}
        }
    }
}

impl Clock {
    /// The time since the last look.
    fn lap(&mut self) -> Duration {
        // One look for the end of one rule and the begin of the next: the clock costs as much as a cheap rule.
        let now = Instant::now();
        let time = now.duration_since(self.last);
        self.last = now;
        time
    }
}
