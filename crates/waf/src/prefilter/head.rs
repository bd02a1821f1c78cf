//! Rules as the prefilter sees them: one link, and what a value needs for it to match.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::bytes::Regex;

use super::clauses::Need;
use super::literals;
use crate::byteset::ByteSet;
use crate::kept::Kept;
use crate::operators::{Operator, injection};
use crate::rule::{ChainId, Chains, Rule, Test};
use crate::transform::Transformation;
use crate::variables::Shape;

/// What a shell removes from a word: quotes, and the first and last bytes of expansions.
pub(super) const QUOTING: ByteSet = ByteSet::of(b"\"'\\$[)");

/// Chains and clauses for which [`before`] is remembered. The CRS has some hundred.
const MOST_KNOWN: usize = 16_384;

/// What a pattern says about the values that it matches. Found once for all rules with the same pattern.
#[derive(Debug)]
pub(super) struct PatternFacts {
    need: Need,
    literals: PatternLiterals,
}

/// The literals of a pattern, of which one occurs in every value that it matches.
#[derive(Debug)]
pub(super) enum PatternLiterals {
    None,
    All(Vec<Vec<u8>>),
    /// In values without a byte of [`QUOTING`].
    UnlessQuoted(Vec<Vec<u8>>),
    /// The same, except for values that the pattern matches at their start.
    ButAtStart(Vec<Vec<u8>>, Regex),
    /// As `All`, but short or many. They save little where many values are searched.
    Uncommon(Vec<Vec<u8>>),
}

/// The first link of a rule that the filter understands.
pub(super) struct Head<'r> {
    pub place: LinkPlace,
    pub test: &'r Test,
    /// None if the operator has no pattern.
    pub facts: Option<Arc<PatternFacts>>,
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
        // A later link runs only if the ones before match. Values are looked at for it in any case, so this must be cheap;
        // and where there is only one value, running the link costs no more.
        let is_cheap = |head: &Self| {
            let mut targets = head.test.targets.targets.iter();
            let may_be_many = targets.any(|t| t.variable.shape() != Shape::Scalar);
            head.place.link == 0 || !head.need.clauses.is_empty() && may_be_many
        };
        heads.find(is_cheap)
    }

    fn of_test(place: LinkPlace, test: &'r Test, chains: &Chains) -> Option<Self> {
        // A counted target tests a number that is not among the values.
        let counted = test.targets.targets.iter().any(|t| t.count);
        if !test.targets.stable || counted || !test.argument.is_literal() {
            return None;
        }
        let facts = match &test.operator {
            Operator::Rx(pattern) if !test.negated => Some(PatternFacts::of(pattern.source()?)),
            _ => None,
        };
        let need = match &test.operator {
            Operator::Phrases(_) if test.negated && !test.multi_match => Need::NOTHING,
            // The bytes that a pattern needs say nothing about values that it does not match.
            _ if test.negated => return None,
            Operator::Rx(_) => facts.as_ref()?.need.clone(),
            Operator::Phrases(phrases) => Need::of_phrases(phrases.phrases()),
            Operator::ForbiddenBytes(forbidden) => Need::one_of(*forbidden),
            Operator::ValidateUrlEncoding => Need::one_of(ByteSet::of(b"%")),
            Operator::ValidateUtf8Encoding => Need::one_of(ByteSet::range(0x80, 0xff)),
            Operator::DetectSqli => Need::one_of(injection::SQLI_NEEDS),
            Operator::DetectXss => Need::one_of(injection::XSS_NEEDS),
            _ => return None,
        };
        let steps: Vec<Transformation> = chains
            .steps(test.chain)
            .into_iter()
            .map(|(_, t)| t)
            .collect();
        // An empty value has no byte that could say that a step changes it.
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
                .map(|n| before_known(steps.get(..n)?, clause))
                .try_fold(ByteSet::EMPTY, |all, s| Some(all.union(s?)))
        });
        Some(Self {
            place,
            test,
            facts,
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

    pub(super) fn pattern_literals(&self) -> Option<&PatternLiterals> {
        self.facts.as_ref().map(|facts| &facts.literals)
    }

    pub(super) fn literals(&self) -> Option<Vec<Vec<u8>>> {
        if let Operator::Phrases(phrases) = &self.test.operator {
            return Some(phrases.phrases().to_vec());
        }
        match self.pattern_literals()? {
            PatternLiterals::All(found) => Some(found.clone()),
            _ => None,
        }
    }
}

impl PatternFacts {
    fn of(source: &str) -> Arc<Self> {
        static KNOWN: Kept<Box<str>, PatternFacts> = Kept::new();
        let find = || {
            Ok::<_, Infallible>(Self {
                need: Need::of_pattern(source),
                literals: PatternLiterals::of(source),
            })
        };
        let Ok(facts) = KNOWN.get(source.into(), find);
        facts
    }
}

impl PatternLiterals {
    fn of(source: &str) -> Self {
        // The facts that hold for most values come first.
        if let Some(found) = literals::required(source) {
            return Self::All(found.into_iter().map(literals::trimmed).collect());
        }
        if let Some(found) = literals::required_without(source, &QUOTING) {
            return Self::UnlessQuoted(found);
        }
        let at_start = literals::required_but_at_start(source, &QUOTING);
        let at_start = at_start.and_then(|(found, start)| Some((found, Regex::new(&start).ok()?)));
        if let Some((found, start)) = at_start {
            return Self::ButAtStart(found, start);
        }
        literals::required_uncommon(source).map_or(Self::None, Self::Uncommon)
    }
}

/// What [`before`] finds, remembered: each policy on the CRS asks for the same chains and clauses.
pub(super) fn before_known(steps: &[Transformation], clause: &ByteSet) -> Option<ByteSet> {
    type Known = HashMap<(Box<[Transformation]>, ByteSet), Option<ByteSet>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    // The map is whole after every step, so a panic elsewhere does no harm.
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (steps.into(), *clause);
    let known = lock().get(&key).copied();
    known.unwrap_or_else(|| {
        let found = before(steps, clause);
        let mut known = lock();
        if known.len() >= MOST_KNOWN {
            // To forget costs time and no verdict.
            known.clear();
        }
        known.insert(key, found);
        found
    })
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
