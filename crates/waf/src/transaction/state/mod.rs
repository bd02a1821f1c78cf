//! What rules change: variables, controls, exclusions, and whether the transaction goes on.
//!
//! Only the effects of matches and the engine's own limits change it; received data is in `inputs`.

mod collections;
mod controls;
mod exclusions;
mod matching;
mod tx;

pub(crate) use collections::Collections;
pub(crate) use controls::Controls;
pub(crate) use exclusions::Exclusions;
pub(crate) use matching::Matching;
pub(crate) use tx::{Deferred, Entry, Name, TxStore};

use crate::outcome::{Detection, Interruption, Phase};
use crate::rule::{AllowScope, Control, Disruptive, Rule};
use crate::settings::{EngineMode, Settings};
use crate::variables::{Slice, Value};

/// `HIGHEST_SEVERITY` before a rule with a severity matched, as in ModSecurity.
const NO_SEVERITY: u8 = 255;

/// What `allow` still skips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Allowed {
    #[default]
    Nothing,
    /// Phases 1 and 2.
    Request,
    /// All phases but logging.
    Transaction,
}

/// All state of one transaction.
#[derive(Debug)]
pub(crate) struct State {
    mode: EngineMode,
    allowed: Allowed,
    interruption: Option<Interruption>,
    detection: Option<Detection>,
    /// The last phase that an `allow` would have skipped if the rules did not only detect.
    would_skip: Option<Phase>,
    highest_severity: u8,
    limits_hit: u32,
    tx: TxStore,
    controls: Controls,
    exclusions: Exclusions,
    collections: Collections,
    matching: Matching,
}

impl State {
    /// `tx` has the slots of the rule set's names; `initial` is what they hold before the first rule. `matched` is an
    /// empty buffer.
    pub(crate) fn new(
        settings: &Settings,
        mut tx: TxStore,
        initial: &[(u32, Slice)],
        matched: Vec<Value>,
    ) -> Self {
        for &(slot, value) in initial {
            tx.set(Name::Slot(slot), Entry::Text(value));
        }
        Self {
            mode: settings.engine,
            allowed: Allowed::Nothing,
            interruption: None,
            detection: None,
            would_skip: None,
            highest_severity: NO_SEVERITY,
            limits_hit: 0,
            tx,
            controls: Controls::new(settings),
            exclusions: Exclusions::default(),
            collections: Collections::default(),
            matching: Matching::in_buffer(matched),
        }
    }

    /// The buffers of `TX` and of what matched, for the next transaction.
    pub(crate) fn take_buffers(&mut self) -> (TxStore, Vec<Value>) {
        (std::mem::take(&mut self.tx), self.matching.take_buffer())
    }

    #[inline]
    pub(crate) fn mode(&self) -> EngineMode {
        self.mode
    }

    pub(crate) fn set_mode(&mut self, mode: EngineMode) {
        self.mode = mode;
    }

    pub(crate) fn allowed(&self) -> Allowed {
        self.allowed
    }

    #[inline]
    pub(crate) fn interruption(&self) -> Option<&Interruption> {
        self.interruption.as_ref()
    }

    /// Ends the transaction. Gives back how.
    pub(crate) fn interrupt(&mut self, interruption: Interruption) -> Interruption {
        self.interruption.insert(interruption).clone()
    }

    /// The first rule that would have ended it, if the rules only detect.
    pub(crate) fn detection(&self) -> Option<Detection> {
        self.detection
    }

    /// A disruptive rule matched and ended nothing. If that is so because the rules only detect, the first one is noted
    /// that would have ended the transaction; what an earlier `allow` would have skipped would not.
    pub(crate) fn detect(&mut self, rule: &Rule) {
        let phase = rule.phase;
        // In mode `block` the rule would not have run, so it would not have ended the transaction.
        let is_skipped = self.would_skip.is_some_and(|last| last >= phase);
        if self.mode != EngineMode::DetectionOnly
            || phase == Phase::Logging
            || self.detection.is_some()
            || is_skipped
        {
            return;
        }
        match &rule.disruptive {
            Disruptive::Pass => {}
            Disruptive::Allow(scope) => {
                self.would_skip = Some(match scope {
                    AllowScope::Request if phase <= Phase::RequestBody => Phase::RequestBody,
                    AllowScope::Phase | AllowScope::Request => phase,
                    AllowScope::Transaction => Phase::ResponseBody,
                });
            }
            Disruptive::Deny | Disruptive::Drop | Disruptive::Redirect(_) => {
                self.detection = Some(Detection {
                    rule_id: rule.id,
                    status: rule.ending_status(),
                    phase,
                });
            }
        }
    }

    pub(crate) fn highest_severity(&self) -> u8 {
        self.highest_severity
    }

    /// A rule of this severity matched to its last link.
    #[inline]
    pub(crate) fn raise_severity(&mut self, severity: Option<u8>) {
        if let Some(severity) = severity {
            // 0 (emergency) is the highest severity.
            self.highest_severity = self.highest_severity.min(severity);
        }
    }

    /// How many operators gave up at a limit.
    pub(crate) fn limits_hit(&self) -> u32 {
        self.limits_hit
    }

    pub(crate) fn count_limit(&mut self) {
        self.limits_hit = self.limits_hit.saturating_add(1);
    }

    #[inline]
    pub(crate) fn tx(&self) -> &TxStore {
        &self.tx
    }

    #[inline]
    pub(crate) fn tx_mut(&mut self) -> &mut TxStore {
        &mut self.tx
    }

    pub(crate) fn controls(&self) -> &Controls {
        &self.controls
    }

    pub(crate) fn controls_mut(&mut self) -> &mut Controls {
        &mut self.controls
    }

    #[inline]
    pub(crate) fn exclusions(&self) -> &Exclusions {
        &self.exclusions
    }

    #[inline]
    pub(crate) fn exclusions_mut(&mut self) -> &mut Exclusions {
        &mut self.exclusions
    }

    pub(crate) fn collections(&self) -> &Collections {
        &self.collections
    }

    pub(crate) fn collections_mut(&mut self) -> &mut Collections {
        &mut self.collections
    }

    #[inline]
    pub(crate) fn matching(&self) -> &Matching {
        &self.matching
    }

    #[inline]
    pub(crate) fn matching_mut(&mut self) -> &mut Matching {
        &mut self.matching
    }

    /// Whether the rules of this phase run.
    pub(crate) fn may_run(&self, phase: Phase) -> bool {
        if self.mode == EngineMode::Off {
            return false;
        }
        // Also after an interruption and after `allow`.
        if phase == Phase::Logging {
            return true;
        }
        let skipped = match self.allowed {
            Allowed::Nothing => false,
            Allowed::Request => phase <= Phase::RequestBody,
            Allowed::Transaction => true,
        };
        self.interruption.is_none() && !skipped
    }

    pub(crate) fn allow(&mut self, scope: AllowScope, phase: Phase) {
        match scope {
            // The caller ends the phase; nothing is left to skip later.
            AllowScope::Phase => {}
            AllowScope::Request if phase <= Phase::RequestBody => self.allowed = Allowed::Request,
            // `allow:request` in a response phase has nothing left to skip.
            AllowScope::Request => {}
            AllowScope::Transaction => self.allowed = Allowed::Transaction,
        }
    }

    /// Whether a match of this rule ends the transaction or the phase. In phase 5 the response has been sent, and
    /// DetectionOnly ends nothing.
    #[inline]
    pub(crate) fn disrupts(&self, rule: &Rule) -> bool {
        rule.phase != Phase::Logging
            && self.mode == EngineMode::On
            && !matches!(rule.disruptive, Disruptive::Pass)
    }

    /// Applies a `ctl`.
    pub(crate) fn control(&mut self, control: &Control) {
        match control {
            Control::RuleEngine(mode) => self.mode = *mode,
            Control::RemoveRules(removal) | Control::RemoveTargets(removal) => {
                self.exclusions.add(removal);
            }
            setting => self.controls.apply(setting),
        }
    }
}
