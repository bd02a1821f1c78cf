//! Finds which of some thousand literals occur in a value, in one pass.
//!
//! Four neighbouring bytes of each literal, its rarest (three of one that has no more), are kept as a bit in a map
//! that fits a core's first cache. Most places of most values have none of them; where some may stand, the literals
//! they are of are compared.

use super::table::Row;
use crate::waf::byteset::ByteSet;

/// Bits of a map, in words.
const WORDS: usize = 1024;

#[derive(Debug)]
pub(super) struct Scanner {
    fours: Grams<4>,
    threes: Grams<3>,
    /// Shorter than that.
    short: Vec<Literal>,
}

/// Literals by `N` neighbouring bytes.
#[derive(Debug)]
struct Grams<const N: usize> {
    /// Which hashes of `N` bytes occur in a literal.
    map: Box<[u64; WORDS]>,
    /// Bits of the map before each of its words.
    before: Box<[u16; WORDS]>,
    /// For each bit of the map, where its literals begin; one more at the end.
    starts: Vec<u32>,
    literals: Vec<Literal>,
}

#[derive(Debug)]
struct Literal {
    /// In lower case.
    bytes: Box<[u8]>,
    /// Where the bytes that are looked for stand in it.
    at: usize,
    /// Rules it is of.
    rules: Row,
}

impl Scanner {
    /// For literals in lower case and the rules each is of.
    pub(super) fn new(literals: impl IntoIterator<Item = (Vec<u8>, Row)>) -> Self {
        let (mut fours, mut threes, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for (bytes, rules) in literals {
            let of_length = match bytes.len() {
                0..3 => &mut short,
                3 => &mut threes,
                _ => &mut fours,
            };
            let at = rarest(&bytes);
            of_length.push(Literal {
                bytes: bytes.into(),
                at,
                rules,
            });
        }
        Self {
            fours: Grams::new(fours),
            threes: Grams::new(threes),
            short,
        }
    }

    /// The rules of `wanted` of which a literal occurs in the value, whatever the case of ASCII letters.
    pub(super) fn find(&self, value: &[u8], wanted: &Row) -> Row {
        let mut missing = *wanted;
        let mut last = 0;
        for (end, &byte) in value.iter().enumerate() {
            last = last << 8 | u32::from(FOLDED[usize::from(byte)]);
            let (four, three) = (hash::<4>(last), hash::<3>(last));
            if self.fours.has(four) || self.threes.has(three) {
                self.fours.compare(value, end, four, &mut missing);
                self.threes.compare(value, end, three, &mut missing);
                if missing.is_empty() {
                    return *wanted;
                }
            }
        }
        for literal in &self.short {
            if literal.rules.intersects(&missing) && literal.occurs_in(value) {
                missing = missing.without(&literal.rules);
            }
        }
        wanted.without(&missing)
    }

    /// Bytes of memory it holds.
    pub(super) fn memory(&self) -> usize {
        let short: usize = self.short.iter().map(Literal::memory).sum();
        self.fours.memory() + self.threes.memory() + short
    }
}

impl<const N: usize> Grams<N> {
    fn new(literals: Vec<Literal>) -> Self {
        let mut keyed: Vec<(u32, Literal)> = literals
            .into_iter()
            .map(|literal| {
                let gram = literal.bytes.iter().skip(literal.at).take(N);
                let gram = gram.fold(0, |all, &b| all << 8 | u32::from(FOLDED[usize::from(b)]));
                (hash::<N>(gram), literal)
            })
            .collect();
        keyed.sort_by_key(|(hash, _)| *hash);
        let mut grams = Self {
            map: Box::new([0; WORDS]),
            before: Box::new([0; WORDS]),
            starts: Vec::new(),
            literals: Vec::with_capacity(keyed.len()),
        };
        let mut last = None;
        for (at, (hash, literal)) in (0u32..).zip(keyed) {
            if last != Some(hash) {
                grams.starts.push(at);
                grams.map[word(hash)] |= bit(hash);
                last = Some(hash);
            }
            grams.literals.push(literal);
        }
        let end = u32::try_from(grams.literals.len()).unwrap_or(u32::MAX);
        grams.starts.push(end);
        let mut count: u16 = 0;
        for (before, word) in grams.before.iter_mut().zip(grams.map.iter()) {
            *before = count;
            // At most 64 more; only all 65,536 would wrap, after the last.
            #[allow(clippy::cast_possible_truncation)]
            let more = word.count_ones() as u16;
            count = count.wrapping_add(more);
        }
        grams
    }

    #[inline]
    fn has(&self, hash: u32) -> bool {
        self.map[word(hash)] & bit(hash) != 0
    }

    /// Takes the rules out of `missing` whose literals have the bytes up to `end` with this hash.
    fn compare(&self, value: &[u8], end: usize, hash: u32, missing: &mut Row) {
        let Some(at) = (end + 1).checked_sub(N).filter(|_| self.has(hash)) else {
            return;
        };
        let below = self.map[word(hash)] & (bit(hash) - 1);
        let nth = usize::from(self.before[word(hash)]) + below.count_ones() as usize;
        let (Some(&from), Some(&to)) = (self.starts.get(nth), self.starts.get(nth + 1)) else {
            return;
        };
        let candidates = self.literals.get(from as usize..to as usize);
        for literal in candidates.unwrap_or_default() {
            let Some(start) = at.checked_sub(literal.at) else {
                continue;
            };
            let there = value.get(start..start + literal.bytes.len());
            if there.is_some_and(|t| t.eq_ignore_ascii_case(&literal.bytes)) {
                *missing = missing.without(&literal.rules);
            }
        }
    }

    fn memory(&self) -> usize {
        let literals: usize = self.literals.iter().map(Literal::memory).sum();
        WORDS * (size_of::<u64>() + size_of::<u16>()) + self.starts.len() * 4 + literals
    }
}

impl Literal {
    fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    /// For a literal of at most two bytes.
    fn occurs_in(&self, value: &[u8]) -> bool {
        let Some(&first) = self.bytes.first() else {
            return true;
        };
        if first.is_ascii_lowercase() {
            let mut windows = value.windows(self.bytes.len());
            return windows.any(|w| w.eq_ignore_ascii_case(&self.bytes));
        }
        memchr::memchr_iter(first, value).any(|at| {
            let there = value.get(at..at + self.bytes.len());
            there.is_some_and(|t| t.eq_ignore_ascii_case(&self.bytes))
        })
    }
}

static FOLDED: [u8; 256] = {
    let mut folded = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        // Below 256.
        #[allow(clippy::cast_possible_truncation)]
        let own = byte as u8;
        folded[byte] = own.to_ascii_lowercase();
        byte += 1;
    }
    folded
};

/// 16 bits of the last `N` of these four bytes.
#[inline]
fn hash<const N: usize>(bytes: u32) -> u32 {
    let gram = if N == 3 { bytes << 8 } else { bytes };
    gram.wrapping_mul(0x9e37_79b1) >> 16
}

#[inline]
fn word(hash: u32) -> usize {
    hash as usize / 64 % WORDS
}

#[inline]
fn bit(hash: u32) -> u64 {
    1 << (hash % 64)
}

/// Where the bytes of a literal stand that ordinary text has least often.
fn rarest(literal: &[u8]) -> usize {
    let worth = |gram: &[u8]| gram.iter().map(|&b| rarity(b)).sum::<u32>();
    let grams = literal.windows(4).enumerate();
    grams
        .rev()
        .max_by_key(|(_, gram)| worth(gram))
        .map_or(0, |(at, _)| at)
}

/// By the order of letters in English text, roughly.
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
                scanner.find(&value, &wanted),
                plain(&literals, &value, &wanted),
                "{}",
                String::from_utf8_lossy(&value)
            );
        }
    }
}
