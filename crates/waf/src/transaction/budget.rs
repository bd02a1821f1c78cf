//! The time a transaction may take of the engine.

use super::{Allowed, EngineMode, Interruption, InterruptionKind, Phase, Transaction};
use crate::ruleset::RuleSet;
use crate::steps::{self, Limit};

/// What is left of it.
#[derive(Debug)]
pub(super) struct Clock {
    left: Limit,
    /// The engine was called, and what it does can end before it is done.
    runs: bool,
    ran_out: bool,
}

impl Clock {
    pub(super) fn new(rules: &RuleSet) -> Self {
        Self {
            left: match (rules.looks, rules.budget) {
                (Some(looks), _) => Limit::Looks(looks),
                (None, Some(budget)) => Limit::Time(budget),
                (None, None) => Limit::None,
            },
            runs: false,
            ran_out: false,
        }
    }
}

impl Transaction {
    /// Does the work of a phase, and judges where its time ran out. What is between phases is another's time.
    pub(super) fn within_budget(
        &mut self,
        phase: Phase,
        work: impl FnOnce(&mut Self) -> Option<Interruption>,
    ) -> Option<Interruption> {
        let (ended, left) = steps::within(self.clock.left, || {
            self.clock.runs = steps::is_limited();
            let ended = work(self);
            // What ended in the last rule's last value nobody has seen yet.
            if steps::is_over() {
                self.is_overdrawn();
            }
            self.clock.runs = false;
            ended
        });
        self.clock.left = left;
        ended.or_else(|| self.judge_budget(phase))
    }

    /// Whether no time is left. The first time it is said why nothing more is inspected.
    pub(super) fn is_overdrawn(&mut self) -> bool {
        if !self.clock.runs {
            return false;
        }
        if self.clock.ran_out {
            return true;
        }
        if steps::look().is_ok() {
            return false;
        }
        self.clock.ran_out = true;
        self.limits_hit = self.limits_hit.saturating_add(1);
        let reason = &mut self.request.body.reason;
        let budget = self.rules.budget;
        let why = || match budget {
            Some(budget) => format!(
                "the time for the rules ran out (waf_budget_ms = {})",
                budget.as_millis()
            ),
            None => "the inspection was ended before it was done".to_owned(),
        };
        reason.get_or_insert_with(why);
        true
    }

    /// Where no rule decided before the time ran out, the policy's written choice applies.
    fn judge_budget(&mut self, phase: Phase) -> Option<Interruption> {
        let minds = self.engine == EngineMode::On
            && self.rules.block_uninspected
            && self.allowed == Allowed::Nothing;
        if !self.clock.ran_out || !minds || self.interruption.is_some() {
            return None;
        }
        self.interruption = Some(Interruption {
            kind: InterruptionKind::Deny,
            status: 503,
            rule_id: 0,
            phase,
        });
        self.interruption.clone()
    }
}
