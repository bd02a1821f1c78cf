//! The time a transaction may take of the engine.

use std::time::{Duration, Instant};

use super::{Allowed, EngineMode, Interruption, InterruptionKind, Phase, Transaction};

/// What was used of it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// By earlier calls.
    spent: Duration,
    /// When the engine was called; None outside of a call.
    entered: Option<Instant>,
    ran_out: bool,
}

impl Transaction {
    /// Does the work of a phase, and judges where its time ran out. What is between phases is another's time.
    pub(super) fn within_budget(
        &mut self,
        phase: Phase,
        work: impl FnOnce(&mut Self) -> Option<Interruption>,
    ) -> Option<Interruption> {
        if self.rules.budget.is_none() {
            return work(self);
        }
        let entered = Instant::now();
        self.clock.entered = Some(entered);
        let ended = work(self);
        self.clock.entered = None;
        self.clock.spent += entered.elapsed();
        ended.or_else(|| self.judge_budget(phase))
    }

    /// Whether no time is left. The first time it is said why nothing more is inspected.
    pub(super) fn is_overdrawn(&mut self) -> bool {
        let (Some(budget), Some(entered)) = (self.rules.budget, self.clock.entered) else {
            return false;
        };
        if self.clock.ran_out {
            return true;
        }
        if self.clock.spent + entered.elapsed() <= budget {
            return false;
        }
        self.clock.ran_out = true;
        self.limits_hit = self.limits_hit.saturating_add(1);
        let reason = &mut self.request.body.reason;
        let why = || {
            format!(
                "the time for the rules ran out (waf_budget_ms = {})",
                budget.as_millis()
            )
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
