//! The rules of one phase as columns of bits: one pass over the bytes of a value rules out most of them at once.
//!
//! A rule is in the filter only if one of its links looks at stable values with a literal argument. All others always
//! run, and so do those of which it is not the first.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aho_corasick::packed;
use regex::bytes::Regex;

use super::at_steps::{AtSteps, Steps, steps_of};
use super::clauses::MOST_CLAUSES;
use super::head::{Head, LinkPlace, PatternFacts, PatternLiterals, QUOTING};
use super::literals;
use super::marks::Marks;
use super::row::Row;
use super::scan::Scanner;
use crate::byteset::ByteSet;
use crate::operators::Operator;
use crate::rule::ChainId;
use crate::transform::LiteralEffect;
use crate::variables::{Select, Shape, Target, Variable};

/// The last chain with a bit in [`Filter::triggered`].
const LAST_CHAIN: usize = 63;
/// Lengths are distinguished up to here; longer values share the last row.
const LENGTHS: usize = 64;

/// The prefilter of one phase.
#[derive(Debug)]
pub(crate) struct Filter<const N: usize> {
    /// Unlike that of any other filter in this process.
    pub id: u64,
    /// The link of each bit.
    pub links: Vec<LinkPlace>,
    pub classes: Vec<Classes<N>>,
    /// What each byte says of a value that holds it.
    bytes: Box<[ByteFacts<N>]>,
    /// The same for every value: clauses that a rule lacks count as satisfied.
    every_value: ByteFacts<N>,
    /// For each length: the rules that can match so short a value.
    lengths: Vec<Row<N>>,
    /// Chains that can change a value, of the rules that test only what the whole chain leaves.
    chains: Vec<Chain<N>>,
    /// Rules that match only if one of their literals occurs.
    pub with_literals: Row<N>,
    /// Rules with `multiMatch`: a literal must occur in one of the values that the steps of their chain leave.
    pub literals_at_steps: Row<N>,
    /// Both: the rules with literals that the scan finds.
    scanned: Row<N>,
    /// Of those with literals, the ones that match if and only if one of them occurs (`@pm`), ...
    pub phrases: Row<N>,
    /// ... or, of these, if and only if none occurs (`!@pm`).
    pub negated: Row<N>,
    /// The rules that test what each step of their chain leaves, with literals or not.
    pub at_steps: Vec<AtSteps>,
    /// The same.
    pub tests_steps: Row<N>,
    /// Finds the literals of those rules. Few as they are, this is many times faster than `scanner`; None if there are
    /// too many for it.
    finds_at_steps: Option<packed::Searcher>,
    /// Rules with literals for all of which [`literals::outlives_blanks`] is true.
    outlive_blanks: Row<N>,
    /// For some of the other rules: bytes. Each of their literals for which that is false holds one of them.
    marks: Vec<(u16, ByteSet)>,
    /// Rules whose literals say nothing about a value with a byte of [`QUOTING`].
    pub quotable: Row<N>,
    /// Of these, the rules that may match at the start of a value in which none of their literals occurs. The pattern
    /// for that is in `starts`, in the order of their bits.
    pub anchored: Row<N>,
    starts: Vec<Regex>,
    scanner: Option<Scanner<N>>,
    /// Held so that the next rule set with the same patterns finds them.
    _facts: Vec<Arc<PatternFacts>>,
}

/// What a byte says of a value that holds it.
#[derive(Debug, Clone, Copy)]
struct ByteFacts<const N: usize> {
    /// For each rank: the rules whose clause of that rank is satisfied.
    clauses: [[u64; N]; MOST_CLAUSES],
    /// The chains that are triggered, by their place in [`Filter::chains`]. Those beyond [`LAST_CHAIN`] share its bit.
    triggered: u64,
}

/// What is known of a value from its bytes and its length.
pub(crate) struct Sight<const N: usize> {
    /// Rules that can match.
    pub allowed: Row<N>,
    /// The bytes that it holds.
    pub present: ByteSet,
    /// The chains that can change it, as in [`ByteFacts`].
    triggered: u64,
}

#[derive(Debug)]
pub(crate) struct Chain<const N: usize> {
    pub id: ChainId,
    pub rules: Row<N>,
    steps: Steps,
}

/// Which rules look at a variable's values.
#[derive(Debug)]
pub(crate) struct Classes<const N: usize> {
    pub variable: Variable,
    /// Rules for values of any name.
    pub any: Class<N>,
    /// Rules for values of one name, those for any included.
    pub named: Vec<(Box<[u8]>, Class<N>)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Class<const N: usize> {
    pub id: u32,
    pub rules: Row<N>,
    /// What each of them needs.
    pub marks: Marks,
}

impl<const N: usize> Classes<N> {
    pub(crate) fn of(&self, key: &[u8]) -> &Class<N> {
        let named = self
            .named
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        named.map_or(&self.any, |(_, class)| class)
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl<const N: usize> Filter<N> {
    /// For these rules of one phase, at most 64 for each word of a row.
    pub(super) fn of(heads: &[Head<'_>]) -> Self {
        let no_facts = ByteFacts {
            clauses: [[0; N]; MOST_CLAUSES],
            triggered: 0,
        };
        let mut filter = Self {
            // Only uniqueness matters, so no ordering is needed.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            links: heads.iter().map(|h| h.place).collect(),
            classes: classes(heads),
            bytes: vec![no_facts; 256].into(),
            every_value: no_facts,
            lengths: vec![Row::default(); LENGTHS],
            chains: Vec::new(),
            with_literals: Row::default(),
            literals_at_steps: Row::default(),
            scanned: Row::default(),
            at_steps: Vec::new(),
            tests_steps: Row::default(),
            finds_at_steps: None,
            outlive_blanks: Row::default(),
            marks: Vec::new(),
            phrases: Row::default(),
            negated: Row::default(),
            quotable: Row::default(),
            anchored: Row::default(),
            starts: Vec::new(),
            scanner: None,
            _facts: heads.iter().filter_map(|h| h.facts.clone()).collect(),
        };
        for (bit, head) in (0u16..).zip(heads) {
            filter.add(bit, head);
        }
        filter.add_literals(heads);
        filter
    }

    fn add(&mut self, bit: u16, head: &Head<'_>) {
        let (word, mask) = (usize::from(bit) / 64, 1u64 << (bit % 64));
        for rank in 0..MOST_CLAUSES {
            match head.need.clauses.get(rank) {
                None => self.every_value.clauses[rank][word] |= mask,
                Some(clause) => {
                    for byte in clause.iter().map(usize::from) {
                        self.bytes[byte].clauses[rank][word] |= mask;
                    }
                }
            }
        }
        for row in self.lengths.iter_mut().skip(head.need.length) {
            row.insert(bit);
        }
        // The last row is for all longer values, so every rule is in it, even one that needs a longer match.
        if let Some(last) = self.lengths.last_mut() {
            last.insert(bit);
        }
        // Each step of its chain is tested, so the chain as a whole says nothing of it.
        if head.test.multi_match {
            self.tests_steps.insert(bit);
            self.at_steps.push(AtSteps::of(bit, head));
            return;
        }
        // No byte makes its chain change a value, so the value is tested as received.
        if head.triggers.is_empty() {
            return;
        }
        match self.chains.iter_mut().find(|c| c.id == head.test.chain) {
            Some(chain) => chain.rules.insert(bit),
            None => {
                let mut rules = Row::default();
                rules.insert(bit);
                for byte in head.triggers.iter() {
                    self.bytes[usize::from(byte)].triggered |=
                        1 << self.chains.len().min(LAST_CHAIN);
                }
                self.chains.push(Chain {
                    id: head.test.chain,
                    rules,
                    steps: steps_of(head),
                });
            }
        }
    }

    fn add_literals(&mut self, heads: &[Head<'_>]) {
        let mut all: BTreeMap<Vec<u8>, Row<N>> = BTreeMap::new();
        for (bit, head) in (0u16..).zip(heads) {
            let Some(literals) = self.literals_of(bit, head) else {
                continue;
            };
            let mut others = literals.iter().filter(|l| !literals::outlives_blanks(l));
            let marks = others.try_fold(ByteSet::EMPTY, |all, literal| {
                literals::last_mark(literal).map(|mark| all.with(mark))
            });
            match marks {
                Some(ByteSet::EMPTY) => self.outlive_blanks.insert(bit),
                Some(marks) => self.marks.push((bit, marks)),
                None => {}
            }
            self.scanned.insert(bit);
            for literal in literals {
                // The scan sees values in lower case.
                all.entry(literal.to_ascii_lowercase())
                    .or_default()
                    .insert(bit);
            }
        }
        let at_steps = all
            .iter()
            .filter(|(_, rules)| rules.intersects(&self.literals_at_steps));
        self.finds_at_steps = packed::Searcher::new(at_steps.map(|(literal, _)| literal));
        if !all.is_empty() {
            self.scanner = Some(Scanner::new(all));
        }
    }

    /// The literals of a rule. Notes in the rows what their presence means.
    fn literals_of(&mut self, bit: u16, head: &Head<'_>) -> Option<Vec<Vec<u8>>> {
        if head.test.multi_match {
            let literals = head.literals()?;
            self.literals_at_steps.insert(bit);
            return Some(literals);
        }
        // Rare literals first; others are taken only where nothing better is known.
        let literals = head
            .literals()
            .or_else(|| self.literals_unless_quoted(bit, head))
            .or_else(|| match head.pattern_literals()? {
                PatternLiterals::Uncommon(literals) => Some(literals.clone()),
                _ => None,
            })?;
        self.with_literals.insert(bit);
        if matches!(head.test.operator, Operator::Phrases(_)) {
            self.phrases.insert(bit);
        }
        if head.test.negated {
            self.negated.insert(bit);
        }
        Some(literals)
    }

    fn literals_unless_quoted(&mut self, bit: u16, head: &Head<'_>) -> Option<Vec<Vec<u8>>> {
        let literals = match head.pattern_literals()? {
            PatternLiterals::UnlessQuoted(literals) => literals,
            PatternLiterals::ButAtStart(literals, start) => {
                self.anchored.insert(bit);
                self.starts.push(start.clone());
                literals
            }
            _ => return None,
        };
        self.quotable.insert(bit);
        Some(literals.clone())
    }

    /// The chains that can change a value.
    pub(crate) fn triggered(&self, value: &Sight<N>) -> impl Iterator<Item = &Chain<N>> {
        let bits = value.triggered;
        let mut next = 0;
        std::iter::from_fn(move || {
            let rest = bits >> next.min(LAST_CHAIN);
            if rest == 0 {
                return None;
            }
            if next < LAST_CHAIN {
                next += rest.trailing_zeros() as usize;
            }
            next += 1;
            self.chains.get(next - 1)
        })
    }

    /// What the bytes and the length of this value say; of the rules those of `among`.
    pub(crate) fn look_at(&self, among: &Row<N>, value: &[u8]) -> Sight<N> {
        let present = ByteSet::all_of(value);
        let mut facts = self.every_value;
        // Not a `for` loop: that asks the iterator for one byte after the other, which is slower.
        present.iter().for_each(|byte| {
            let more = &self.bytes[usize::from(byte)];
            facts.triggered |= more.triggered;
            for (clause, more) in facts.clauses.iter_mut().zip(&more.clauses) {
                for (word, more) in clause.iter_mut().zip(more) {
                    *word |= more;
                }
            }
        });
        // A rule needs a byte of each of its clauses.
        let mut allowed = among.and(&self.lengths[value.len().min(LENGTHS - 1)]);
        for clause in facts.clauses {
            allowed = allowed.and(&Row(clause));
        }
        Sight {
            allowed,
            present,
            triggered: facts.triggered,
        }
    }

    /// The rules of `allowed` with a literal that occurs in the value or may be hidden in it by quotes. The value is in
    /// lower case. `present`: bytes that it may hold, in whatever case.
    pub(crate) fn hits(&self, allowed: &Row<N>, value: &[u8], present: &ByteSet) -> Row<N> {
        let Some(scanner) = &self.scanner else {
            return Row::default();
        };
        let wanted = allowed.and(&self.scanned);
        let quotable = wanted.and(&self.quotable);
        if quotable.is_empty() || !QUOTING.intersects(present) {
            return scanner.find(value, present, &wanted);
        }
        // A quote may split a literal: its absence says nothing about these rules, so they stay.
        let mut hits = scanner.find(value, present, &wanted.without(&quotable));
        hits.union(&quotable);
        hits
    }

    /// The rules of `its` for which the chain makes no new literal: a literal of theirs in the transformed value is in the
    /// value as received too, in whatever case. `present`: the bytes of the value as received.
    pub(crate) fn like_received(
        &self,
        chain: &Chain<N>,
        present: &ByteSet,
        its: &Row<N>,
    ) -> Row<N> {
        // These can match without any of their literals.
        let of_use = self
            .with_literals
            .without(&self.negated)
            .without(&self.anchored);
        let mut alike = its.and(&of_use);
        let (received, mut present) = (present, *present);
        for (step, triggers) in &chain.steps {
            if alike.is_empty() {
                break;
            }
            if !triggers.intersects(&present) {
                continue;
            }
            match step.effect_on_literals(&present) {
                LiteralEffect::None => {}
                LiteralEffect::Blanks => alike = self.outliving_blanks(&alike, received),
                LiteralEffect::Any => return Row::default(),
            }
            present = step.may_leave(present);
        }
        alike
    }

    /// The rules of `among` for which a change of blanks makes no new literal. `present`: the bytes of the value.
    fn outliving_blanks(&self, among: &Row<N>, present: &ByteSet) -> Row<N> {
        let mut outliving = among.and(&self.outlive_blanks);
        for (bit, marks) in &self.marks {
            if among.contains(*bit) && !marks.intersects(present) {
                outliving.insert(*bit);
            }
        }
        outliving
    }

    /// Whether a literal of a rule that tests each step may occur in the value, which is in lower case.
    pub(crate) fn may_hit_at_a_step(&self, value: &[u8]) -> bool {
        let searcher = self.finds_at_steps.as_ref();
        searcher.is_none_or(|searcher| searcher.find(value).is_some())
    }

    /// Those of `among`, which are `anchored`, that match at the beginning of a value.
    pub(crate) fn starting(&self, among: &Row<N>, value: &[u8]) -> Row<N> {
        let mut found = Row::default();
        for (bit, start) in self.anchored.iter().zip(&self.starts) {
            if among.contains(bit) && start.is_match(value) {
                found.insert(bit);
            }
        }
        found
    }

    /// Bytes of memory it holds.
    pub(crate) fn memory(&self) -> usize {
        let scanner = self.scanner.as_ref().map_or(0, Scanner::memory);
        size_of_val(&*self.bytes) + scanner + self.lengths.len() * size_of::<Row<N>>()
    }
}

/// Names that only exclusions name and that get a class of their own, for each variable. Each one is compared with the
/// name of every value.
const MOST_EXCLUDED: usize = 8;

/// For each variable of the rules' targets: which rules look at it.
fn classes<const N: usize>(heads: &[Head<'_>]) -> Vec<Classes<N>> {
    let mut all: Vec<Classes<N>> = Vec::new();
    let mut id = 0;
    let mut next = || {
        id += 1;
        Class {
            id,
            rules: Row::default(),
            marks: Marks::Unknown,
        }
    };
    // First all names, so that a rule for any name can then be added to each of them.
    for target in heads
        .iter()
        .flat_map(|h| &*h.test.targets.targets)
        .filter(|t| !t.exclude)
    {
        let at = all
            .iter()
            .position(|c| c.variable == target.variable)
            .unwrap_or_else(|| {
                all.push(Classes {
                    variable: target.variable,
                    any: next(),
                    named: Vec::new(),
                });
                all.len() - 1
            });
        if let (Select::Key(key), true) = (&target.select, has_named_values(target.variable)) {
            let named = &mut all[at].named;
            if !named.iter().any(|(name, _)| name.eq_ignore_ascii_case(key)) {
                named.push((key.clone(), next()));
            }
        }
    }
    for (variable, key) in heads.iter().flat_map(|h| excluded(&h.test.targets.targets)) {
        let classes = all.iter_mut().find(|c| c.variable == variable);
        let Some(Classes { named, .. }) = classes else {
            continue;
        };
        // Beyond that the rule is proposed for such a name too, which only costs time.
        if named.len() < MOST_EXCLUDED
            && !named.iter().any(|(name, _)| name.eq_ignore_ascii_case(key))
        {
            named.push((key.clone(), next()));
        }
    }
    for (bit, head) in (0u16..).zip(heads) {
        let targets = &head.test.targets.targets;
        for target in targets.iter().filter(|t| !t.exclude) {
            let Some(classes) = all.iter_mut().find(|c| c.variable == target.variable) else {
                continue;
            };
            match &target.select {
                Select::Key(key) if has_named_values(target.variable) => {
                    for (_, class) in classes
                        .named
                        .iter_mut()
                        .filter(|(name, _)| name.eq_ignore_ascii_case(key))
                    {
                        class.rules.insert(bit);
                    }
                }
                // A regular expression over names may match any name.
                _ => {
                    classes.any.rules.insert(bit);
                    let is_excluded = |name: &[u8]| {
                        excluded(targets).any(|(variable, key)| {
                            variable == target.variable && key.eq_ignore_ascii_case(name)
                        })
                    };
                    classes
                        .named
                        .iter_mut()
                        .filter(|(name, _)| !is_excluded(name))
                        .for_each(|(_, class)| class.rules.insert(bit));
                }
            }
        }
    }
    for classes in &mut all {
        let named = classes.named.iter_mut().map(|(_, class)| class);
        for class in named.chain([&mut classes.any]) {
            let its = class.rules.iter();
            class.marks = Marks::of(its.filter_map(|bit| heads.get(usize::from(bit))));
        }
    }
    all
}

/// Names of which the targets exclude every value of a variable. An exclusion removes only what stands before it.
fn excluded(targets: &[Target]) -> impl Iterator<Item = (Variable, &Box<[u8]>)> {
    targets.iter().enumerate().filter_map(|(at, target)| {
        let Select::Key(key) = &target.select else {
            return None;
        };
        let mut later = targets[at..].iter();
        let is_last = !later.any(|t| !t.exclude && t.variable == target.variable);
        (target.exclude && is_last && has_named_values(target.variable))
            .then_some((target.variable, key))
    })
}

/// `XML:/*` selects by path, not by name.
fn has_named_values(variable: Variable) -> bool {
    variable.shape() != Shape::Scalar && variable != Variable::Xml
}
