//! Finds which of some thousand literals occur in a value, in one pass.
//!
//! Of each literal the four neighbouring bytes that are rarest (or all three of a shorter one) are in a map that fits
//! the first-level cache of a core: one word for each hash of the first three, one bit in it for the fourth. At most
//! places of most values the map says that no literal can stand there; only at the others are literals compared.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::row::Row;
use crate::byteset::ByteSet;
use crate::steps::{self, STEP};

const PLACE_BITS: u32 = 12;
/// Words of the map.
const PLACES: usize = 1 << PLACE_BITS;
/// Places of a value that are looked at together.
const GROUP: usize = 4;

#[derive(Debug)]
pub(super) struct Scanner<const N: usize> {
    /// For each hash of three bytes: which bytes may follow them in a literal.
    map: Box<[u32; PLACES]>,
    /// For each hash, where its literals begin; one more at the end.
    starts: Vec<u32>,
    /// Of three bytes or more, by their hash.
    long: Vec<Literal<N>>,
    /// Of one or two bytes, by the first.
    short: Vec<Literal<N>>,
    /// For each first byte, where its literals begin in `short`; one more at the end.
    short_starts: Vec<u32>,
    /// Their first bytes, in both cases.
    begin_short: ByteSet,
    /// Rules with a literal of no bytes.
    always: Row<N>,
}

#[derive(Debug)]
struct Literal<const N: usize> {
    /// In lower case.
    bytes: Box<[u8]>,
    /// Where its [`Gram`] begins in it.
    at: usize,
    gram: Gram,
    /// Rules that have it.
    rules: Row<N>,
}

/// The bytes of a literal that the scan looks for: four, or three of a literal of three.
#[derive(Debug, Clone, Copy)]
struct Gram {
    bytes: u32,
    mask: u32,
}

impl<const N: usize> Scanner<N> {
    /// For literals in lower case and the rules each is of.
    pub(super) fn new(literals: impl IntoIterator<Item = (Vec<u8>, Row<N>)>) -> Self {
        let mut always = Row::default();
        let literals = literals.into_iter().filter_map(|(bytes, rules)| {
            if bytes.is_empty() {
                always.union(&rules);
                return None;
            }
            Some(Literal::new(bytes, rules))
        });
        let (mut long, mut short): (Vec<_>, Vec<_>) = literals.partition(|l| l.bytes.len() >= 3);
        short.sort_by_key(Literal::first);
        // Literals of one hash stand side by side, so that `starts` alone finds them.
        long.sort_by_key(|literal| place(literal.gram.bytes));
        let mut map = Box::new([0; PLACES]);
        let mut starts = Vec::with_capacity(PLACES + 1);
        for (at, literal) in (0u32..).zip(&long) {
            let place = place(literal.gram.bytes);
            starts.resize(starts.len().max(place + 1), at);
            map[place] |= literal.gram.follower();
        }
        let end = u32::try_from(long.len()).unwrap_or(u32::MAX);
        starts.resize(PLACES + 1, end);
        let begin_short = short.iter().map(|l| ByteSet::either_case(l.first()));
        let before = |first| short.partition_point(|l| usize::from(l.first()) < first);
        Self {
            begin_short: begin_short.fold(ByteSet::EMPTY, ByteSet::union),
            short_starts: (0..=256)
                .map(|first| u32::try_from(before(first)).unwrap_or(u32::MAX))
                .collect(),
            map,
            starts,
            long,
            short,
            always,
        }
    }

    /// The rules of `wanted` of which a literal occurs in the value, which is in lower case. `present`: bytes that it may
    /// hold, in whatever case.
    pub(super) fn find(&self, value: &[u8], present: &ByteSet, wanted: &Row<N>) -> Row<N> {
        let mut missing = *wanted;
        for start in (0..value.len()).step_by(STEP) {
            // Out of time. The caller checks for that and does not use this result.
            if start > 0 && steps::work(STEP).is_err() {
                return *wanted;
            }
            // Pieces overlap by three bytes: a group of four may begin in one and end in the next.
            let end = value.len().min(start + STEP + 3);
            let mut at = start;
            while let Some(next) = self.next_place(&value[at..end]) {
                at += next;
                let bytes = four(value, at);
                if self.compare(value, at, bytes, &mut missing) && missing.is_empty() {
                    return *wanted;
                }
                at += 1;
            }
        }
        // The last three bytes begin no group of four, but a literal of three may stand there.
        if let Some(&[a, b, c]) = value.last_chunk() {
            let bytes = u32::from_le_bytes([a, b, c, 0]);
            self.compare(value, value.len() - 3, bytes, &mut missing);
        }
        missing = missing.without(&self.always);
        self.find_short(value, present, &mut missing);
        wanted.without(&missing)
    }

    /// The first place of these bytes where four begin that may be a literal's.
    #[inline]
    fn next_place(&self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while let Some(group) = rest.first_chunk::<{ GROUP + 3 }>() {
            let stands = |at| self.may_stand(four(group, at));
            // Written out, so that nothing is counted between two places. The compiler does not unroll a search.
            let at = match () {
                () if stands(0) => 0,
                () if stands(1) => 1,
                () if stands(2) => 2,
                () if stands(3) => 3,
                () => {
                    rest = &rest[GROUP..];
                    continue;
                }
            };
            return Some(bytes.len() - rest.len() + at);
        }
        let mut places = rest.windows(4);
        let at = places.position(|place| self.may_stand(four(place, 0)))?;
        Some(bytes.len() - rest.len() + at)
    }

    /// Removes the rules from `missing` of which a literal of one or two bytes occurs.
    fn find_short(&self, value: &[u8], present: &ByteSet, missing: &mut Row<N>) {
        for first in present.intersection(self.begin_short).iter() {
            let first = usize::from(first.to_ascii_lowercase());
            let its = self.short_starts[first] as usize..self.short_starts[first + 1] as usize;
            for literal in &self.short[its] {
                if literal.rules.intersects(missing)
                    && literal.may_occur_among(present)
                    && literal.occurs_in(value)
                {
                    *missing = missing.without(&literal.rules);
                }
            }
        }
    }

    /// Whether some literal's bytes may be these.
    #[inline]
    fn may_stand(&self, bytes: u32) -> bool {
        self.map[place(bytes)] & (1 << (bytes >> 24 & 31)) != 0
    }

    /// Removes the rules from `missing` that have a literal around the bytes at `at`. Whether there is such a literal.
    fn compare(&self, value: &[u8], at: usize, bytes: u32, missing: &mut Row<N>) -> bool {
        let place = place(bytes);
        let (Some(&from), Some(&to)) = (self.starts.get(place), self.starts.get(place + 1)) else {
            return false;
        };
        let candidates = self.long.get(from as usize..to as usize);
        let mut stands = false;
        for literal in candidates.unwrap_or_default() {
            if bytes & literal.gram.mask == literal.gram.bytes && literal.stands_in(value, at) {
                *missing = missing.without(&literal.rules);
                stands = true;
            }
        }
        stands
    }

    /// Bytes of memory it holds.
    pub(super) fn memory(&self) -> usize {
        let literals = self.long.iter().chain(&self.short);
        let words = PLACES + self.starts.len();
        words * size_of::<u32>() + literals.map(Literal::memory).sum::<usize>()
    }
}

impl<const N: usize> Literal<N> {
    fn new(bytes: Vec<u8>, rules: Row<N>) -> Self {
        let at = rarest(&bytes);
        Self {
            gram: Gram::of(&bytes[at..]),
            bytes: bytes.into(),
            at,
            rules,
        }
    }

    /// No literal is empty.
    fn first(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    /// Whether it occurs so that the bytes that are looked for stand at `at`.
    fn stands_in(&self, value: &[u8], at: usize) -> bool {
        let from_it = at.checked_sub(self.at).and_then(|start| value.get(start..));
        from_it.is_some_and(|rest| rest.starts_with(&self.bytes))
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    /// Whether it can occur in a value of these bytes, in whatever case.
    fn may_occur_among(&self, present: &ByteSet) -> bool {
        let mut bytes = self.bytes.iter();
        bytes.all(|&b| ByteSet::either_case(b).intersects(present))
    }

    /// For a literal of at most two bytes.
    fn occurs_in(&self, value: &[u8]) -> bool {
        match *self.bytes {
            [] => true,
            [first] => memchr::memchr(first, value).is_some(),
            [first, ..] => {
                memchr::memchr_iter(first, value).any(|at| value[at..].starts_with(&self.bytes))
            }
        }
    }
}

impl Gram {
    /// For the beginning of these bytes.
    fn of(bytes: &[u8]) -> Self {
        let take = |n| {
            bytes
                .iter()
                .take(n)
                .rev()
                .fold(0, |all, &b| all << 8 | u32::from(b))
        };
        Self {
            bytes: take(4),
            mask: if bytes.len() < 4 {
                0x00ff_ffff
            } else {
                u32::MAX
            },
        }
    }

    /// The fourth bytes that it allows, as bits of their last five.
    fn follower(self) -> u32 {
        if self.mask == u32::MAX {
            1 << (self.bytes >> 24 & 31)
        } else {
            u32::MAX
        }
    }
}

/// The four bytes that begin at `at`, which are all there.
#[inline]
fn four(bytes: &[u8], at: usize) -> u32 {
    // Not byte by byte: this is one load.
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// Where in the map the first three of these bytes are.
#[inline]
fn place(bytes: u32) -> usize {
    // The factor ends with eight zero bits, so that the fourth byte is not part of the hash. The high bits of the product
    // are the best mixed ones.
    (bytes.wrapping_mul(0x9e37_79b1 << 8) >> (32 - PLACE_BITS)) as usize
}

/// Where the bytes of a literal stand that are rarest in ordinary text.
fn rarest(literal: &[u8]) -> usize {
    let worth = |gram: &[u8]| gram.iter().map(|&b| rarity(b)).sum::<u32>();
    let grams = literal.windows(4).enumerate();
    grams
        .rev()
        .max_by_key(|(_, gram)| worth(gram))
        .map_or(0, |(at, _)| at)
}

/// A rough order by the frequency of letters in English. It affects speed only.
fn rarity(byte: u8) -> u32 {
    let common = ByteSet::of(b" etaoinsrh");
    let usual = ByteSet::of(b"dlucmfywgpb.-/=0123456789");
    match byte {
        b if common.contains(b) => 1,
        b if usual.contains(b) => 3,
        b'a'..=b'z' => 5,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bits: &[u16]) -> Row {
        let mut row = Row::default();
        bits.iter().for_each(|&b| row.insert(b));
        row
    }

    /// What a search without any map finds.
    fn plain(literals: &[(Vec<u8>, Row)], value: &[u8], wanted: &Row) -> Row {
        let lower = value.to_ascii_lowercase();
        let mut found = Row::default();
        for (literal, rules) in literals {
            if lower.windows(literal.len()).any(|w| w == literal) {
                found.union(rules);
            }
        }
        found.and(wanted)
    }

    #[test]
    fn finds_what_a_plain_search_finds() {
        let words = [
            "a", "ab", "abc", "bca", "abcabc", "cab:", "::", "zzz", "a b", "\u{e9}x",
        ];
        let literals: Vec<(Vec<u8>, Row)> = (0..)
            .zip(words)
            .map(|(bit, w)| (w.as_bytes().to_vec(), row(&[bit, 100 + bit / 2])))
            .collect();
        let scanner = Scanner::new(literals.clone());
        let wanted = row(&[0, 1, 2, 3, 4, 5, 6, 8, 9, 101, 102, 103]);
        // Every string of up to 7 of these pieces, by counting.
        let pieces: [&[u8]; 6] = [b"a", b"B", b"c", b":", b" ", "\u{e9}X".as_bytes()];
        for number in 0..6usize.pow(7) / 7 {
            let mut value = Vec::new();
            let mut rest = number;
            while rest > 0 {
                value.extend_from_slice(pieces[rest % 6]);
                rest /= 6;
            }
            assert_eq!(
                scanner.find(
                    &value.to_ascii_lowercase(),
                    &ByteSet::all_of(&value),
                    &wanted
                ),
                plain(&literals, &value, &wanted),
                "{}",
                String::from_utf8_lossy(&value)
            );
        }
    }
}
