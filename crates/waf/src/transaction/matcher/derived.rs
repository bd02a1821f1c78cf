//! What one value becomes after each chain of transformations, while the prefilter looks at it.
//!
//! The results are appended to the transaction's text, and [`Derived::end`] removes them: most values are proposed for no
//! rule, so nobody needs their results again.

#![allow(
    clippy::indexing_slicing,
    reason = "begin makes a place for each chain of the rule set"
)]

use crate::byteset::ByteSet;
use crate::rule::{ChainId, ChainNode};
use crate::ruleset::RuleSet;
use crate::steps;
use crate::transform::Transformation;
use crate::variables::{Slice, Text};

/// The results of one value.
#[derive(Debug, Default)]
pub(super) struct Derived {
    /// By chain, with the round in which each was made. Results of other rounds belong to earlier values.
    results: Vec<(u32, DerivedValue)>,
    round: u32,
    /// The length of the text without the results.
    mark: usize,
    /// Bytes that the transformations read.
    work: u64,
}

/// A value after a chain of transformations.
#[derive(Debug, Clone, Copy)]
pub(super) struct DerivedValue {
    pub text: Slice,
    /// The chain's last step changed it.
    pub changed: bool,
    /// Bytes that it may hold.
    pub present: ByteSet,
}

impl Derived {
    /// Begins with a value as it was received, and returns that; `present` are its bytes.
    pub(super) fn begin(
        &mut self,
        rules: &RuleSet,
        text: &Text,
        raw: Slice,
        present: &ByteSet,
    ) -> DerivedValue {
        let received = DerivedValue {
            text: raw,
            changed: false,
            present: *present,
        };
        self.round = self.round.wrapping_add(1);
        // After an overflow, results of four thousand million rounds ago would look new.
        if self.round == 0 || self.results.len() != rules.chains.len() {
            self.round = 1;
            self.results.clear();
            self.results.resize(rules.chains.len(), (0, received));
        }
        self.results[0] = (self.round, received);
        self.mark = text.len();
        received
    }

    /// Removes the results. Returns how many bytes the transformations read.
    pub(super) fn end(&mut self, text: &mut Text) -> u64 {
        text.truncate(self.mark);
        std::mem::take(&mut self.work)
    }

    /// The value after a chain. A step that none of the value's bytes can trigger is not taken.
    pub(super) fn after(
        &mut self,
        rules: &RuleSet,
        text: &mut Text,
        chain: ChainId,
        scratch: &mut Vec<u8>,
    ) -> DerivedValue {
        let (round, known) = self.results[usize::from(chain)];
        if round == self.round {
            return known;
        }
        let node = rules.chains.node(chain);
        let Some(step) = node.transformation else {
            return known;
        };
        let input = self.after(rules, text, node.parent, scratch);
        let result = match is_idle(&node, &input) {
            true => DerivedValue {
                changed: false,
                ..input
            },
            false => self.take(rules, text, step, &input, scratch),
        };
        // An unfinished result must not be taken for that of the chain by a later rule.
        if !steps::is_over() {
            self.results[usize::from(chain)] = (self.round, result);
        }
        result
    }

    /// The value after one step more than `input`, by which the chain's parent left it; None if nothing can change.
    #[inline]
    pub(super) fn after_step(
        &mut self,
        rules: &RuleSet,
        text: &mut Text,
        input: &DerivedValue,
        chain: ChainId,
        scratch: &mut Vec<u8>,
    ) -> Option<DerivedValue> {
        if is_idle(&rules.chains.node(chain), input) {
            return None;
        }
        Some(self.after(rules, text, chain, scratch)).filter(|step| step.changed)
    }

    /// Applies a transformation.
    fn take(
        &mut self,
        rules: &RuleSet,
        text: &mut Text,
        step: Transformation,
        input: &DerivedValue,
        scratch: &mut Vec<u8>,
    ) -> DerivedValue {
        let unchanged = DerivedValue {
            changed: false,
            ..*input
        };
        // Out of time: the result would be incomplete. The caller discards what it gets.
        if steps::is_over() {
            return unchanged;
        }
        self.work += input.text.len() as u64;
        let map = rules.settings().unicode_map.as_deref();
        if !step.apply(text.at(input.text), scratch, map) {
            return unchanged;
        }
        DerivedValue {
            text: text.push(scratch),
            changed: true,
            present: match step.may_leave(input.present) {
                // To look at the bytes costs less than to take steps that cannot change them.
                ByteSet::ALL => ByteSet::all_of(scratch),
                present => present,
            },
        }
    }

    /// Bytes that it has room for.
    pub(super) fn capacity(&self) -> usize {
        self.results.capacity() * size_of::<(u32, DerivedValue)>()
    }
}

/// Whether the step to this node cannot change the value.
#[inline]
fn is_idle(node: &ChainNode, input: &DerivedValue) -> bool {
    let alters_empty = || {
        node.transformation
            .is_some_and(Transformation::alters_empty)
    };
    !node.triggers.intersects(&input.present) && !alters_empty()
}
