//! Values after transformations, each made once.

use super::Matcher;
use crate::byteset::ByteSet;
use crate::rule::ChainId;
use crate::ruleset::RuleSet;
use crate::steps;
use crate::variables::{Slice, Text};

impl Matcher {
    /// A value after a chain, and whether the chain's last step changed it.
    #[inline]
    pub(crate) fn transformed(
        &mut self,
        rules: &RuleSet,
        text: &mut Text,
        raw: Slice,
        chain: ChainId,
    ) -> (Slice, bool) {
        if chain == 0 {
            return (raw, false);
        }
        if let Some(done) = self.memo.find(raw, chain) {
            return done;
        }
        self.transformed_of(rules, text, raw, chain, &ByteSet::ALL)
    }

    /// The same for a value whose bytes are known: a step that none of them can trigger is not taken.
    pub(crate) fn transformed_of(
        &mut self,
        rules: &RuleSet,
        text: &mut Text,
        raw: Slice,
        chain: ChainId,
        present: &ByteSet,
    ) -> (Slice, bool) {
        let (result, changed, _) = self.transform(rules, text, raw, chain, present);
        (result, changed)
    }

    /// Also gives the bytes that the result may hold.
    fn transform(
        &mut self,
        rules: &RuleSet,
        text: &mut Text,
        raw: Slice,
        chain: ChainId,
        present: &ByteSet,
    ) -> (Slice, bool, ByteSet) {
        let node = rules.chains.node(chain);
        let Some(step) = node.transformation else {
            return (raw, false, *present);
        };
        let (input, _, present) = self.transform(rules, text, raw, node.parent, present);
        if steps::is_over() {
            return (input, false, present);
        }
        let idle = !node.triggers.intersects(&present) && !step.alters_empty();
        let left_by = |changed: bool| match changed {
            true => step.may_leave(present),
            false => present,
        };
        if let Some((result, changed)) = self.memo.find(raw, chain) {
            return (result, changed, left_by(changed));
        }
        if idle {
            self.memo.keep(raw, chain, input, false);
            return (input, false, present);
        }
        self.work.bytes_transformed += input.len() as u64;
        let map = rules.settings().unicode_map.as_deref();
        let changed = step.apply(text.at(input), &mut self.scratch, map);
        // What came out then is not all of it.
        if steps::is_over() {
            return (input, false, present);
        }
        let result = if changed {
            text.push(&self.scratch)
        } else {
            input
        };
        self.memo.keep(raw, chain, result, changed);
        (result, changed, left_by(changed))
    }
}
