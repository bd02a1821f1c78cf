//! Whether values match: transformations, proposals of the prefilter, and the test of one value.
//!
//! It keeps results only to save work: a transaction with an empty matcher has the same verdict.

mod derived;
mod memo;
mod pairs;
mod proposals;
mod propose;
mod transform;

use super::context::Context;
use crate::operators::text::within;
use crate::operators::{Captures, Limit, Operator};
use crate::prefilter::Row;
use crate::rule::Test;
use crate::rule::listing::Listing;
use crate::ruleset::RuleSet;
use crate::steps;
use crate::variables::{Slice, TargetList, Text, Value};
use derived::Derived;
use memo::Memo;
use pairs::Pairs;
use proposals::Proposals;

/// How much work a transaction took. Tests prove with it that work grows linearly with the input.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Operators evaluated, also to propose a rule.
    pub evaluations: u64,
    /// Bytes of the values that operators were given.
    pub bytes_tested: u64,
    /// Bytes of the values that transformations were given.
    pub bytes_transformed: u64,
    /// Bytes the prefilter looked at.
    pub bytes_scanned: u64,
    /// Bytes the transaction keeps until it ends.
    pub bytes_held: u64,
}

/// What the evaluation of tests keeps from one test to the next.
#[derive(Debug, Default)]
pub(crate) struct Matcher {
    memo: Memo,
    proposals: Proposals,
    derived: Derived,
    /// The texts of one value that were searched for literals, and the rules whose literals were found.
    scans: Vec<(Slice, Row)>,
    /// Reused where values are collected.
    values: Vec<Value>,
    /// Where in `listed` the values of each stable target list are, once they are there.
    lists: Vec<Option<(u32, u32)>>,
    /// Values of the stable target lists of this phase.
    listed: Vec<Value>,
    captures: Captures,
    /// Reused for what a transformation writes.
    scratch: Vec<u8>,
    /// Reused for an operator's argument.
    joined: Vec<u8>,
    /// Of the list that `@within` was last asked about.
    pairs: Pairs,
    work: Work,
}

impl Matcher {
    /// Makes room for this many target lists.
    pub(crate) fn make_lists(&mut self, count: usize) {
        self.lists.resize(count, None);
    }

    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// Counts an evaluation that did not go through [`Matcher::test`].
    #[inline]
    pub(crate) fn count_evaluation(&mut self) {
        self.work.evaluations += 1;
    }

    /// Forgets the listed values: between phases the body or the response adds to them.
    pub(crate) fn begin_phase(&mut self) {
        self.lists.fill(None);
        self.listed.clear();
    }

    /// The rules that are proposed for some value; None if every rule runs.
    pub(crate) fn hot(&self) -> Option<Row> {
        self.proposals.hot()
    }

    /// Whether the prefilter proposes rules in this phase.
    #[inline]
    pub(crate) fn proposes(&self) -> bool {
        self.proposals.is_active()
    }

    /// Whether the rule with this bit may match the value.
    #[inline]
    pub(crate) fn allows(&self, bit: u16, value: &Value) -> bool {
        self.proposals.allows(bit, value)
    }

    /// Whether the value was looked at and found to match.
    #[inline]
    pub(crate) fn tells(&self, bit: u16, value: &Value) -> bool {
        self.proposals.tells(bit, value)
    }

    /// The places of a stable list's values, for [`Matcher::listed`]. Found once a phase.
    #[inline]
    pub(crate) fn listed_values(
        &mut self,
        rules: &RuleSet,
        context: &mut Context,
        list: &TargetList,
    ) -> (u32, u32) {
        match self.lists.get(list.id as usize) {
            Some(Some(range)) => *range,
            _ => self.list_values(rules, context, list),
        }
    }

    fn list_values(
        &mut self,
        rules: &RuleSet,
        context: &mut Context,
        list: &TargetList,
    ) -> (u32, u32) {
        let position = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let first = self.listed.len();
        let proposals = &self.proposals;
        let base = |variable| proposals.base(variable);
        context.collect(rules, list, base, &mut self.listed);
        let range = (position(first), position(self.listed.len()));
        if let Some(place) = self.lists.get_mut(list.id as usize) {
            *place = Some(range);
        }
        range
    }

    /// The value at a place that [`Matcher::listed_values`] gave.
    #[inline]
    pub(crate) fn listed(&self, at: u32) -> Option<Value> {
        self.listed.get(at as usize).copied()
    }

    /// The values of a list that may change while a phase runs. [`Matcher::give_back`] takes the buffer again.
    pub(crate) fn current_values(
        &mut self,
        rules: &RuleSet,
        context: &mut Context,
        list: &TargetList,
    ) -> Vec<Value> {
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        context.collect(rules, list, |_| None, &mut values);
        values
    }

    pub(crate) fn give_back(&mut self, values: Vec<Value>) {
        self.values = values;
    }

    /// Whether the operator holds for these bytes, negation included; keeps its captures.
    pub(crate) fn test(
        &mut self,
        rules: &RuleSet,
        context: &mut Context,
        test: &Test,
        value: Slice,
    ) -> bool {
        // Out of time, the transformations did not finish: this is not the value that the rule asks for.
        if steps::is_over() {
            return false;
        }
        self.work.evaluations += 1;
        self.work.bytes_tested += value.len() as u64;
        // An argument of several parts goes into a reused buffer and not into the text: it is made again for each
        // value, and the text would grow with every test.
        let alone = context.join(rules, &test.argument, &mut self.joined);
        let text = context.text();
        let argument = alone.map_or(&self.joined[..], |slice| text.at(slice));
        if let (Operator::Within, Some(at)) = (&test.operator, alone)
            && !self.pairs.may_hold(at, argument, text.at(value))
        {
            return test.negated;
        }
        self.captures.clear();
        // A negated operator that holds has found nothing to capture.
        let captures = test.capture && !test.negated;
        let wanted = captures.then_some(&mut self.captures);
        let matched = match test.operator.evaluate(argument, text.at(value), wanted) {
            Ok(matched) => matched != test.negated,
            // The budget notes it at the next rule.
            Err(Limit::Time) => false,
            Err(limit) => {
                context.note_operator_limit(&limit);
                false
            }
        };
        if matched && captures {
            context.keep_captures(value, &self.captures);
        }
        matched
    }

    /// A value as the rule of a listing sees it; None if it is in the list.
    pub(crate) fn unlisted(
        &mut self,
        text: &mut Text,
        listing: &Listing,
        list: Slice,
        value: Slice,
    ) -> Option<Slice> {
        self.work.evaluations += 1;
        self.work.bytes_tested += value.len() as u64;
        let joined = &mut self.scratch;
        joined.clear();
        joined.extend_from_slice(text.at(listing.before));
        let from = joined.len();
        joined.extend_from_slice(text.at(value));
        let to = joined.len();
        joined.extend_from_slice(text.at(listing.after));
        let own = joined.get_mut(from..to)?;
        if listing.lower {
            // Only the value, as the rule's transformation does: the rest is written in the rule.
            own.make_ascii_lowercase();
        }
        let changed = *own != *text.at(value);
        let bytes = text.at(list);
        if self.pairs.may_hold(list, bytes, joined) && within(bytes, joined) {
            return None;
        }
        match changed {
            true => Some(text.push(joined.get(from..to)?)),
            false => Some(value),
        }
    }

    /// Every value that was transformed, and the result.
    pub(crate) fn transformations(&self) -> impl Iterator<Item = (Slice, Slice)> {
        self.memo.results()
    }

    /// Bytes that the largest of its buffers has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.scratch
            .capacity()
            .max(self.joined.capacity())
            .max(self.memo.capacity())
            .max(self.derived.capacity())
            .max(self.listed.capacity() * size_of::<Value>())
            .max(self.proposals.capacity())
    }

    /// Forgets a transaction; keeps its buffers.
    pub(crate) fn clear(&mut self) {
        // `proposals` and `derived` forget by themselves, with the next phase and value.
        self.memo.clear();
        self.scans.clear();
        self.values.clear();
        self.lists.clear();
        self.listed.clear();
        self.captures.clear();
        self.scratch.clear();
        self.joined.clear();
        self.pairs.clear();
        self.work = Work::default();
    }
}
