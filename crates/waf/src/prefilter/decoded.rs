//! Values that are no base64 of anything a rule looks for.
//!
//! Some rules decode base64 and test what each step of their chain leaves. Most values are not base64, so that noise comes
//! out. Here the bytes of that noise are checked without writing it down: they rarely satisfy the clauses of the rule.

#![allow(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]

use super::head::{Head, before_known};
use crate::byteset::ByteSet;
use crate::rule::ChainId;
use crate::steps::OutOfTime;
use crate::transform::Transformation;

/// What a rule with `multiMatch` needs of a value for a match after it is decoded.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The chain that ends with the decoding step.
    pub node: ChainId,
    /// For each decoded byte: the clauses that it satisfies, a bit each.
    satisfied: Box<[u8; 256]>,
    all: u8,
}

impl Decoded {
    /// None if the rule decodes nothing, or if nothing is known.
    pub(super) fn of(head: &Head<'_>) -> Option<Self> {
        let is_decoding = |step: &Transformation| *step == Transformation::Base64Decode;
        let at = head.steps.iter().position(is_decoding)?;
        let later = head.steps.get(at + 1..)?;
        // The decoded value is tested, and what each later step makes of it.
        let decoded = |clause: &ByteSet| {
            (0..=later.len())
                .map(|n| before_known(later.get(..n)?, clause))
                .try_fold(ByteSet::EMPTY, |all, bytes| Some(all.union(bytes?)))
        };
        let mut satisfied = Box::new([0; 256]);
        let mut all = 0;
        let literals = head.literals().unwrap_or_default();
        let clauses = [head.need_of_tested.clauses.clone(), hit_all(&literals)].concat();
        // Clauses beyond the bits are left out, which only dismisses fewer values.
        for (bit, clause) in (0..u8::BITS).zip(clauses.iter().filter_map(decoded)) {
            all |= 1 << bit;
            clause
                .iter()
                .for_each(|b| satisfied[usize::from(b)] |= 1 << bit);
        }
        (all != 0).then_some(Self {
            node: *head.nodes.get(at)?,
            satisfied,
            all,
        })
    }

    /// Whether the rule may match a value, which is not decoded yet, in this step or a later one.
    pub(crate) fn may_match(&self, value: &[u8]) -> bool {
        match Transformation::join_base64_decoded(value, &self.satisfied, self.all) {
            Ok(clauses) => clauses == self.all,
            // Nothing is known.
            Err(OutOfTime) => true,
        }
    }
}

/// Sets of bytes of which each literal holds one of each set, in either case. In text such bytes are common, in noise rare.
fn hit_all(literals: &[Vec<u8>]) -> Vec<ByteSet> {
    let mut sets = Vec::new();
    let mut used = ByteSet::EMPTY;
    while let Some(set) = hit_all_without(literals, &used) {
        used = used.union(set);
        sets.push(set);
    }
    sets
}

/// A small set of bytes, none of them `used`, of which each literal holds one; None if there is no such set.
fn hit_all_without(literals: &[Vec<u8>], used: &ByteSet) -> Option<ByteSet> {
    let mut left: Vec<&Vec<u8>> = literals.iter().collect();
    let mut set = ByteSet::EMPTY;
    while !left.is_empty() {
        let occurs = |byte: &u8| left.iter().filter(|l| l.contains(byte)).count();
        let most = (0..=255)
            .filter(|&b| !used.contains(b))
            .max_by_key(occurs)?;
        if occurs(&most) == 0 {
            return None;
        }
        left.retain(|literal| !literal.contains(&most));
        set = set.union(ByteSet::either_case(most));
    }
    (!set.is_empty()).then_some(set)
}
