//! Values after transformations, each computed once.
//!
//! Chains are nodes of a tree: rules whose chains begin with the same steps share these steps' results.

use super::Matcher;
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
        let node = rules.chains.node(chain);
        let Some(step) = node.transformation else {
            return (raw, false);
        };
        let (input, _) = self.transformed(rules, text, raw, node.parent);
        if steps::is_over() {
            return (input, false);
        }
        self.work.bytes_transformed += input.len() as u64;
        let map = rules.settings().unicode_map.as_deref();
        let changed = step.apply(text.at(input), &mut self.scratch, map);
        // The result is incomplete: it must neither be tested nor kept.
        if steps::is_over() {
            return (input, false);
        }
        let result = match changed {
            true => text.push(&self.scratch),
            false => input,
        };
        self.memo.keep(raw, chain, result, changed);
        (result, changed)
    }
}
