//! Bytes that a value must hold for a pattern to match it.
//!
//! A clause is a set of bytes, of which a matching value holds at least one. Too few clauses cost time; a clause too
//! many would lose a match. What is not understood therefore gives none.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::byteset::ByteSet;

/// What every match needs: a byte of each clause, and a length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// Rarest first.
    pub clauses: Vec<ByteSet>,
    pub length: usize,
}

/// Clauses that are kept of one pattern. More of them take longer to check than they save.
pub(super) const MOST_CLAUSES: usize = 4;

impl Need {
    pub(super) const NOTHING: Self = Self {
        clauses: Vec::new(),
        length: 0,
    };

    /// What a pattern needs; nothing if the pattern is not understood.
    pub(super) fn of_pattern(source: &str) -> Self {
        parse(source).map_or(Self::NOTHING, |hir| Self {
            length: hir.properties().minimum_len().unwrap_or(0),
            clauses: rarest(clauses(&hir)),
        })
    }

    /// Any of these phrases, in any case.
    pub(super) fn of_phrases(phrases: &[Vec<u8>]) -> Self {
        let each = phrases
            .iter()
            .map(|phrase| phrase.iter().map(|&b| ByteSet::either_case(b)).collect());
        Self {
            clauses: rarest(any_of(each)),
            length: phrases.iter().map(Vec::len).min().unwrap_or(0),
        }
    }

    /// Whether a value of this length that holds no other bytes than these may match.
    pub(crate) fn is_met(&self, present: &ByteSet, length: usize) -> bool {
        length >= self.length && self.clauses.iter().all(|c| c.intersects(present))
    }

    pub(super) fn one_of(bytes: ByteSet) -> Self {
        Self {
            clauses: vec![bytes],
            length: 1,
        }
    }
}

/// The pattern as `regex::bytes` reads it.
pub(super) fn parse(source: &str) -> Option<Hir> {
    regex_syntax::ParserBuilder::new()
        .utf8(false)
        .unicode(false)
        .build()
        .parse(source)
        .ok()
}

/// All of these are needed.
fn clauses(hir: &Hir) -> Vec<ByteSet> {
    match hir.kind() {
        // Anchors and word boundaries match between bytes.
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(literal) => literal.0.iter().map(|&b| ByteSet::EMPTY.with(b)).collect(),
        HirKind::Class(class) => vec![class_bytes(class)],
        // It may occur zero times.
        HirKind::Repetition(repetition) if repetition.min == 0 => Vec::new(),
        HirKind::Repetition(repetition) => clauses(&repetition.sub),
        HirKind::Capture(capture) => clauses(&capture.sub),
        HirKind::Concat(parts) => rarest_many(parts.iter().flat_map(clauses).collect()),
        HirKind::Alternation(branches) => any_of(branches.iter().map(clauses)),
    }
}

/// A match takes one of the branches, so a clause joins one clause of each branch: first the rarest of each, then the
/// second rarest, and so on.
fn any_of(branches: impl Iterator<Item = Vec<ByteSet>>) -> Vec<ByteSet> {
    let mut branches: Vec<Vec<ByteSet>> = branches.collect();
    // A branch without a clause can match without any of the bytes.
    if branches.is_empty() || branches.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    for branch in &mut branches {
        branch.sort_by_cached_key(frequency);
        branch.dedup();
    }
    let most = branches
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or(0)
        .min(MOST_CLAUSES);
    let pick = |rank: usize| {
        branches.iter().fold(ByteSet::EMPTY, |all, branch| {
            let clause = branch[rank.min(branch.len() - 1)];
            all.union(clause)
        })
    };
    (0..most).map(pick).collect()
}

fn rarest_many(mut clauses: Vec<ByteSet>) -> Vec<ByteSet> {
    clauses.sort_by_cached_key(frequency);
    clauses.dedup();
    clauses.truncate(2 * MOST_CLAUSES);
    clauses
}

/// The clauses that rule out most values.
fn rarest(clauses: Vec<ByteSet>) -> Vec<ByteSet> {
    let mut clauses = rarest_many(clauses);
    // Nine of ten values satisfy such a clause; it rules out too little for its cost.
    clauses.retain(|c| frequency(c) < 900);
    clauses.truncate(MOST_CLAUSES);
    clauses
}

/// The bytes of a class; in byte mode classes are of bytes, and a Unicode one only holds ASCII here.
pub(super) fn class_bytes(class: &Class) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    match class {
        Class::Bytes(class) => {
            for range in class.ranges() {
                set = set.union(ByteSet::range(range.start(), range.end()));
            }
        }
        Class::Unicode(class) => {
            for range in class.ranges() {
                match (u8::try_from(range.start()), u8::try_from(range.end())) {
                    (Ok(first), Ok(last)) if last < 0x80 => {
                        set = set.union(ByteSet::range(first, last));
                    }
                    // Encoded in several bytes: all high bytes stand for it.
                    _ => set = set.union(ByteSet::ALL),
                }
            }
        }
    }
    set
}

/// How often a value of ordinary traffic holds a byte of the set, in thousandths. It is a rough guess that only orders
/// clauses; no verdict depends on it.
fn frequency(set: &ByteSet) -> u32 {
    let missing: f64 = set
        .iter()
        .map(|byte| 1.0 - f64::from(COMMON[usize::from(byte)]) / 1000.0)
        .product();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and 1000
    let thousandths = ((1.0 - missing) * 1000.0) as u32;
    thousandths
}

/// The same for each byte.
static COMMON: [u16; 256] = {
    const GROUPS: [(&[u8], u16); 7] = [
        (b"aeinorst", 700),
        (b"cdfghlmpuby", 450),
        (b"kvwxjqz", 200),
        (b"0123456789", 250),
        (b" .-_", 120),
        (b"/,:=&?+;()", 60),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 60),
    ];
    let mut common = [4; 256];
    let mut group = 0;
    while group < GROUPS.len() {
        let (bytes, often) = GROUPS[group];
        let mut at = 0;
        while at < bytes.len() {
            common[bytes[at] as usize] = often;
            at += 1;
        }
        group += 1;
    }
    common
};

#[cfg(test)]
mod tests {
    use super::*;

    fn need(pattern: &str) -> Need {
        Need::of_pattern(&format!("(?s-u){pattern}"))
    }

    #[test]
    fn finds_what_must_be_there() {
        let found = need("(?i)<script[^>]*>|javascript:");
        assert!(found.length == 8, "{found:?}");
        assert!(found.clauses.contains(&ByteSet::of(b"<:")), "{found:?}");
        assert_eq!(need("a*b?").clauses, []);
        assert_eq!(need("[;|]x+").clauses[0], ByteSet::of(b";|"));
        assert_eq!(need("(?:a|)"), Need::NOTHING);
        assert_eq!(need("^$").length, 0);
    }

    #[test]
    fn a_value_that_matches_has_all_of_it() {
        let patterns = [
            "(?i)union.+select",
            r"\b(?:or|and)\b\s+\d",
            r"[\x80-\xff]",
            "(?i)k",
            r"(?:a|b|\xc2\xb4)+z",
        ];
        let values: [&[u8]; 5] = [
            b"1 UNION all SELECT",
            b"x or 1",
            b"\xff",
            b"K",
            b"\xc2\xb4z",
        ];
        for (pattern, value) in patterns.iter().zip(values) {
            let source = format!("(?s-u){pattern}");
            assert!(regex::bytes::Regex::new(&source).unwrap().is_match(value));
            let need = Need::of_pattern(&source);
            assert!(value.len() >= need.length);
            let held = ByteSet::of(value);
            assert!(
                need.clauses.iter().all(|c| c.intersects(&held)),
                "{pattern}: {need:?}"
            );
        }
    }
}
