//! Rules as the prefilter sees them: one link, and what a value needs for it to match.

use regex::bytes::Regex;

use super::clauses::Need;
use super::literals;
use crate::byteset::ByteSet;
use crate::operators::Operator;
use crate::rule::{ChainId, Chains, Rule, Test};
use crate::transform::Transformation;

/// What a shell removes from a word: quotes, and the first and last bytes of expansions.
pub(super) const QUOTING: ByteSet = ByteSet::of(b"\"'\\$[)");

/// The first link of a rule that the filter understands.
pub(super) struct Head<'r> {
    pub place: LinkPlace,
    pub test: &'r Test,
    pub steps: Vec<Transformation>,
    pub nodes: Box<[ChainId]>,
    /// In terms of the value as received.
    pub need: Need,
    /// In terms of the value that the operator is given.
    pub need_of_tested: Need,
    pub triggers: ByteSet,
}

/// Which link of which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkPlace {
    /// Index in the rule set.
    pub rule: u32,
    /// Position in the rule; 0 is its first link.
    pub link: u16,
}

impl<'r> Head<'r> {
    pub(super) fn of(rule: u32, links: &'r Rule, chains: &Chains) -> Option<Self> {
        let mut heads = (0..).zip(&links.links).filter_map(|(link, its)| {
            let place = LinkPlace { rule, link };
            Self::of_test(place, its.test.as_ref()?, chains)
        });
        // A later link runs only if the ones before match. Values are looked at for it in any case, so this must be cheap.
        let is_cheap = |head: &Self| head.place.link == 0 || !head.need.clauses.is_empty();
        heads.find(is_cheap)
    }

    fn of_test(place: LinkPlace, test: &'r Test, chains: &Chains) -> Option<Self> {
        // A counted target tests a number that is not among the values.
        let counted = test.targets.targets.iter().any(|t| t.count);
        if !test.targets.stable || counted || !test.argument.is_literal() {
            return None;
        }
        let need = match &test.operator {
            Operator::Phrases(_) if test.negated && !test.multi_match => Need::NOTHING,
            // The bytes that a pattern needs say nothing about values that it does not match.
            _ if test.negated => return None,
            Operator::Rx(pattern) => Need::of_pattern(pattern.source()?),
            Operator::Phrases(phrases) => Need::of_phrases(phrases.phrases()),
            Operator::ForbiddenBytes(forbidden) => Need::one_of(*forbidden),
            Operator::ValidateUrlEncoding => Need::one_of(ByteSet::of(b"%")),
            Operator::ValidateUtf8Encoding => Need::one_of(ByteSet::range(0x80, 0xff)),
            Operator::DetectSqli | Operator::DetectXss => Need::NOTHING,
            _ => return None,
        };
        let steps: Vec<Transformation> = chains
            .steps(test.chain)
            .into_iter()
            .map(|(_, t)| t)
            .collect();
        if steps.iter().any(|t| t.alters_empty()) {
            return None;
        }
        let triggers = steps
            .iter()
            .fold(ByteSet::EMPTY, |all, t| all.union(t.triggers()));
        // If a step can lengthen a value, the received length proves only that it is not empty.
        let grows = steps.iter().any(|t| t.max_growth() > 1);
        // The clauses are about the transformed value, but the received one is checked. `multiMatch` tests the value
        // after each step, so each beginning of the chain counts.
        let received = need.clauses.iter().filter_map(|clause| {
            let prefixes = if test.multi_match {
                0..=steps.len()
            } else {
                steps.len()..=steps.len()
            };
            prefixes
                .map(|n| before(steps.get(..n)?, clause))
                .try_fold(ByteSet::EMPTY, |all, s| Some(all.union(s?)))
        });
        Some(Self {
            place,
            test,
            triggers,
            need: Need {
                clauses: received.collect(),
                length: if grows {
                    need.length.min(1)
                } else {
                    need.length
                },
            },
            steps,
            nodes: chains.steps(test.chain).iter().map(|s| s.0).collect(),
            need_of_tested: need,
        })
    }

    pub(super) fn literals_without_quoting(&self) -> Option<Vec<Vec<u8>>> {
        match &self.test.operator {
            Operator::Rx(pattern) => literals::required_without(pattern.source()?, &QUOTING),
            _ => None,
        }
    }

    pub(super) fn literals_but_at_start(&self) -> Option<(Vec<Vec<u8>>, Regex)> {
        let Operator::Rx(pattern) = &self.test.operator else {
            return None;
        };
        let (literals, start) = literals::required_but_at_start(pattern.source()?, &QUOTING)?;
        Some((literals, Regex::new(&start).ok()?))
    }

    pub(super) fn literals(&self) -> Option<Vec<Vec<u8>>> {
        match &self.test.operator {
            Operator::Rx(pattern) => {
                let found = literals::required(pattern.source()?)?;
                Some(found.into_iter().map(literals::trimmed).collect())
            }
            Operator::Phrases(phrases) => Some(phrases.phrases().to_vec()),
            _ => None,
        }
    }
}

/// Bytes of which a value must hold one for these steps to leave a byte of `clause` in it; None if no such set is
/// known.
fn before(steps: &[Transformation], clause: &ByteSet) -> Option<ByteSet> {
    let image = |from: &ByteSet| {
        steps
            .iter()
            .fold(*from, |present, step| step.image(&present))
    };
    let leads = |from: &ByteSet| image(from).intersects(clause);
    // A byte is harmless if values made of harmless bytes only never lead to the clause. Each byte alone is checked
    // first, then all together: escapes make a byte out of several.
    let mut harmless = ByteSet::EMPTY;
    for byte in 0..=255u8 {
        if !leads(&ByteSet::EMPTY.with(byte)) {
            harmless.insert(byte);
        }
    }
    // Bytes with which escapes and comments begin. They are given up one group after another until the rest is
    // harmless.
    let makers = [
        ByteSet::of(b"%"),
        ByteSet::of(b"\\"),
        ByteSet::of(b"&"),
        ByteSet::range(0x80, 0xff),
        ByteSet::of(b"/*#<-"),
    ];
    for more in makers {
        if !leads(&harmless) {
            break;
        }
        harmless = harmless.intersection(more.complement());
    }
    (!leads(&harmless)).then(|| harmless.complement())
}
