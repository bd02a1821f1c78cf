//! What one transaction may use: time for its rules, and memory for decoded bodies.
//!
//! Time passes only while a phase runs; waiting for a client or an upstream is free. Phase 5 runs without a limit.

use std::time::Duration;

use super::context::Context;
use crate::ruleset::RuleSet;
use crate::steps::{self, Limit};

/// What is left of the time and of the memory.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The time that the policy allows, for messages.
    time: Option<Duration>,
    left: Limit,
    /// A phase is running, and under a limit.
    runs: bool,
    ran_out: bool,
    /// The most bytes that a decoded body may have, whatever its own limit.
    memory_left: usize,
    /// A body was not decoded because of [`Budget::memory_left`].
    out_of_memory: bool,
}

impl Budget {
    pub(crate) fn new(rules: &RuleSet) -> Self {
        Self {
            time: rules.budget,
            left: match (rules.looks, rules.budget) {
                // A count makes tests independent of the speed of the machine.
                (Some(looks), _) => Limit::Looks(looks),
                (None, Some(budget)) => Limit::Time(budget),
                (None, None) => Limit::None,
            },
            runs: false,
            ran_out: false,
            memory_left: usize::MAX,
            out_of_memory: false,
        }
    }

    pub(crate) fn left(&self) -> Limit {
        self.left
    }

    pub(crate) fn set_left(&mut self, left: Limit) {
        self.left = left;
    }

    pub(crate) fn begin_work(&mut self) {
        self.runs = steps::is_limited();
    }

    pub(crate) fn end_work(&mut self) {
        self.runs = false;
    }

    /// Whether time ran out before the rules were done.
    pub(crate) fn ran_out(&self) -> bool {
        self.ran_out
    }

    /// Whether no time is left. The first time, it records why nothing more is inspected.
    #[inline]
    pub(crate) fn is_overdrawn(&mut self, context: &mut Context) -> bool {
        self.runs && (self.ran_out || self.runs_out(context))
    }

    fn runs_out(&mut self, context: &mut Context) -> bool {
        if steps::look().is_ok() {
            return false;
        }
        self.ran_out = true;
        context.note_limit(|| match self.time {
            Some(time) => format!(
                "the time for the rules ran out (waf_budget_ms = {})",
                time.as_millis()
            ),
            None => "the inspection was ended before it was done".to_owned(),
        });
        true
    }

    /// Bytes that a decoded body may have.
    pub(crate) fn memory_left(&self) -> usize {
        self.memory_left
    }

    pub(crate) fn limit_memory(&mut self, bytes: usize) {
        self.memory_left = bytes;
    }

    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// A body that decodes to more than it may, of at most `limit` bytes, was not decoded.
    pub(crate) fn note_refusal(&mut self, limit: usize) {
        // If the body's own limit was the lower one, more memory would not have helped.
        self.out_of_memory |= self.memory_left < limit;
    }
}
