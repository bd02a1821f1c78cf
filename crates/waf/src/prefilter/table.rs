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

use super::clauses::{MOST_CLAUSES, Need};
use super::decoded::Decoded;
use super::head::{Head, LinkPlace, PatternFacts, PatternLiterals, QUOTING};
use super::literals;
use super::row::{Row, WORDS};
use super::scan::Scanner;
use crate::byteset::ByteSet;
use crate::operators::Operator;
use crate::rule::{ChainId, Chains, Rule};
use crate::transform::{LiteralEffect, Transformation};
use crate::variables::{Select, Shape, Variable};

/// Rules that one filter can hold; the rest always run.
const MOST_RULES: usize = WORDS * 64;
/// The last chain with a bit in [`Filter::triggered`].
const LAST_CHAIN: usize = 63;
/// Lengths are distinguished up to here; longer values share the last row.
const LENGTHS: usize = 64;

/// The prefilter of one phase.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Unlike that of any other filter in this process.
    pub id: u64,
    /// The link of each bit.
    pub links: Vec<LinkPlace>,
    pub classes: Vec<Classes>,
    words: usize,
    /// For each byte: the clauses it satisfies, `MOST_CLAUSES` times `words`.
    table: Vec<u64>,
    /// Clauses that a rule lacks count as satisfied.
    start: Vec<u64>,
    /// For each length: the rules that can match so short a value.
    lengths: Vec<Row>,
    /// Chains that can change a value, of the rules that test only what the whole chain leaves.
    chains: Vec<Chain>,
    /// For each byte: the chains that it triggers, by their place in `chains`. Those beyond [`LAST_CHAIN`] share its bit.
    triggered: Box<[u64; 256]>,
    /// Rules that match only if one of their literals occurs.
    pub with_literals: Row,
    /// Rules with `multiMatch`: a literal must occur in one of the values that the steps of their chain leave.
    pub literals_at_steps: Row,
    /// Both: the rules with literals that the scan finds.
    scanned: Row,
    /// Of those with literals, the ones that match if and only if one of them occurs (`@pm`), ...
    pub phrases: Row,
    /// ... or, of these, if and only if none occurs (`!@pm`).
    pub negated: Row,
    /// The rules that test what each step of their chain leaves, with literals or not.
    pub at_steps: Vec<AtSteps>,
    /// The same.
    pub tests_steps: Row,
    /// Finds the literals of those rules. Few as they are, this is many times faster than `scanner`; None if there are
    /// too many for it.
    finds_at_steps: Option<packed::Searcher>,
    /// Rules with literals for all of which [`literals::outlives_blanks`] is true.
    outlive_blanks: Row,
    /// For some of the other rules: bytes. Each of their literals for which that is false holds one of them.
    marks: Vec<(u16, ByteSet)>,
    /// Rules whose literals say nothing about a value with a byte of [`QUOTING`].
    pub quotable: Row,
    /// Of these, the rules that may match at the start of a value in which none of their literals occurs. The pattern
    /// for that is in `starts`, in the order of their bits.
    pub anchored: Row,
    starts: Vec<Regex>,
    scanner: Option<Scanner>,
    /// Held so that the next rule set with the same patterns finds them.
    _facts: Vec<Arc<PatternFacts>>,
}

/// A rule that tests what each step of its chain leaves (`multiMatch`).
#[derive(Debug)]
pub(crate) struct AtSteps {
    pub bit: u16,
    pub link: LinkPlace,
    /// What it needs of a tested value.
    pub need: Need,
    /// The chain of each step.
    pub nodes: Box<[ChainId]>,
    /// What it needs of a value that is decoded in one of the steps.
    pub decoded: Option<Decoded>,
}

#[derive(Debug)]
pub(crate) struct Chain {
    pub id: ChainId,
    pub rules: Row,
    /// Each with its own triggers.
    steps: Box<[(Transformation, ByteSet)]>,
}

/// Which rules look at a variable's values.
#[derive(Debug)]
pub(crate) struct Classes {
    pub variable: Variable,
    /// Rules for values of any name.
    pub any: Class,
    /// Rules for values of one name, those for any included.
    pub named: Vec<(Box<[u8]>, Class)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    pub id: u32,
    pub rules: Row,
}

impl Classes {
    pub(crate) fn of(&self, key: &[u8]) -> &Class {
        let named = self
            .named
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        named.map_or(&self.any, |(_, class)| class)
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Filter {
    /// For these rules of one phase; None if there is nothing to filter.
    pub(crate) fn build<'r>(
        rules: impl Iterator<Item = (u32, &'r Rule)>,
        chains: &Chains,
    ) -> Option<Self> {
        let heads: Vec<Head<'r>> = rules
            .filter_map(|(index, rule)| Head::of(index, rule, chains))
            .take(MOST_RULES)
            .collect();
        if heads.is_empty() {
            return None;
        }
        // `satisfied` is compiled for these.
        let words = match heads.len().div_ceil(64) {
            few @ (0..=2) => few,
            3 | 4 => 4,
            _ => WORDS,
        };
        let mut filter = Self {
            // Only uniqueness matters, so no ordering is needed.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            links: heads.iter().map(|h| h.place).collect(),
            classes: classes(&heads),
            words,
            table: vec![0; 256 * MOST_CLAUSES * words],
            start: vec![0; MOST_CLAUSES * words],
            lengths: vec![Row::default(); LENGTHS],
            chains: Vec::new(),
            triggered: Box::new([0; 256]),
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
        for (bit, head) in (0u16..).zip(&heads) {
            filter.add(bit, head);
        }
        filter.add_literals(&heads);
        Some(filter)
    }

    fn add(&mut self, bit: u16, head: &Head<'_>) {
        let (word, mask) = (usize::from(bit) / 64, 1u64 << (bit % 64));
        for rank in 0..MOST_CLAUSES {
            let column = rank * self.words + word;
            match head.need.clauses.get(rank) {
                None => self.start[column] |= mask,
                Some(clause) => {
                    for byte in clause.iter().map(usize::from) {
                        self.table[byte * MOST_CLAUSES * self.words + column] |= mask;
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
        if head.test.multi_match {
            self.tests_steps.insert(bit);
            self.at_steps.push(AtSteps {
                bit,
                link: head.place,
                need: head.need_of_tested.clone(),
                nodes: head.nodes.clone(),
                decoded: Decoded::of(head),
            });
            return;
        }
        if head.triggers.is_empty() {
            return;
        }
        match self.chains.iter_mut().find(|c| c.id == head.test.chain) {
            Some(chain) => chain.rules.insert(bit),
            None => {
                let mut rules = Row::default();
                rules.insert(bit);
                for byte in head.triggers.iter() {
                    self.triggered[usize::from(byte)] |= 1 << self.chains.len().min(LAST_CHAIN);
                }
                self.chains.push(Chain {
                    id: head.test.chain,
                    rules,
                    steps: head.steps.iter().map(|s| (*s, s.triggers())).collect(),
                });
            }
        }
    }

    fn add_literals(&mut self, heads: &[Head<'_>]) {
        let mut all: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
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
        let literals = head
            .literals()
            .or_else(|| self.literals_unless_quoted(bit, head))?;
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
            PatternLiterals::None | PatternLiterals::All(_) => return None,
        };
        self.quotable.insert(bit);
        Some(literals.clone())
    }

    /// The chains that can change a value of these bytes.
    pub(crate) fn triggered(&self, present: &ByteSet) -> impl Iterator<Item = &Chain> {
        let mut bits = 0;
        present
            .iter()
            .for_each(|b| bits |= self.triggered[usize::from(b)]);
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

    /// The rules of `among` that the bytes and the length of this value allow, and which bytes occur in it.
    pub(crate) fn allowed(&self, among: &Row, value: &[u8]) -> (Row, ByteSet) {
        let present = ByteSet::all_of(value);
        let clauses = match self.words {
            1 => self.satisfied::<MOST_CLAUSES>(&present),
            2 => self.satisfied::<{ 2 * MOST_CLAUSES }>(&present),
            4 => self.satisfied::<{ 4 * MOST_CLAUSES }>(&present),
            _ => self.satisfied::<{ WORDS * MOST_CLAUSES }>(&present),
        };
        let mut row = among.and(&self.lengths[value.len().min(LENGTHS - 1)]);
        for (word, also) in row.0.iter_mut().zip(clauses.0) {
            *word &= also;
        }
        (row, present)
    }

    /// The rules that have a byte of each of their clauses among these. `N` is the number of words in a line of the table.
    /// It is a constant so that the compiler joins whole lines with few instructions.
    fn satisfied<const N: usize>(&self, present: &ByteSet) -> Row {
        let mut line = [0u64; N];
        line.copy_from_slice(&self.start);
        let (lines, _) = self.table.as_chunks::<N>();
        // Not a `for` loop: that asks the iterator for one byte after the other, which is slower.
        present.iter().for_each(|byte| {
            for (word, more) in line.iter_mut().zip(&lines[usize::from(byte)]) {
                *word |= more;
            }
        });
        let mut row = Row([0; WORDS]);
        for (at, word) in row.0.iter_mut().enumerate().take(self.words) {
            let clauses = line.iter().skip(at).step_by(self.words);
            *word = clauses.fold(u64::MAX, |all, clause| all & clause);
        }
        row
    }

    /// The rules of `allowed` with a literal that occurs in the value or may be hidden in it by quotes. The value is in
    /// lower case. `present`: bytes that it may hold, in whatever case.
    pub(crate) fn hits(&self, allowed: &Row, value: &[u8], present: &ByteSet) -> Row {
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
    pub(crate) fn like_received(&self, chain: &Chain, present: &ByteSet, its: &Row) -> Row {
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
    fn outliving_blanks(&self, among: &Row, present: &ByteSet) -> Row {
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
    pub(crate) fn starting(&self, among: &Row, value: &[u8]) -> Row {
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
        self.table.len() * 8 + scanner + self.lengths.len() * size_of::<Row>()
    }
}

/// For each variable of the rules' targets: which rules look at it.
fn classes(heads: &[Head<'_>]) -> Vec<Classes> {
    let mut all: Vec<Classes> = Vec::new();
    let mut id = 0;
    let mut next = || {
        id += 1;
        Class {
            id,
            rules: Row::default(),
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
    for (bit, head) in (0u16..).zip(heads) {
        for target in head.test.targets.targets.iter().filter(|t| !t.exclude) {
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
                    classes
                        .named
                        .iter_mut()
                        .for_each(|(_, class)| class.rules.insert(bit));
                }
            }
        }
    }
    all
}

/// `XML:/*` selects by path, not by name.
fn has_named_values(variable: Variable) -> bool {
    variable.shape() != Shape::Scalar && variable != Variable::Xml
}
