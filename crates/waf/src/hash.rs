//! A fast hash for short keys. Its seed is random for each process: a client that chooses keys cannot choose which of
//! them collide.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::OnceLock;

/// Multiplies and folds the two halves of the product.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    // 2^64 divided by the golden ratio, as Fibonacci hashing multiplies.
    let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
    // The two halves.
    #[allow(clippy::cast_possible_truncation)]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
}

/// Hashes bytes a word at a time.
pub(super) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    // With the length, since zeros at the start of the last word do not show in `rest`.
    let mut hash = mix(seed, bytes.len() as u64 ^ 0x2d35_8dcc_aa6c_78a5);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        // `chunks_exact` gives 8 bytes, so the conversion cannot fail.
        hash = mix(
            hash,
            u64::from_le_bytes(word.try_into().unwrap_or_default()) ^ seed.rotate_left(17),
        ) ^ seed;
    }
    // Some bytes twice in place of one after the other.
    let rest = match bytes.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => bytes.iter().fold(0, |rest, &b| rest << 8 | u64::from(b)),
    };
    mix(hash, rest ^ seed.rotate_left(31))
}

/// The hash of a name, whatever the case of its ASCII letters.
pub(super) fn hash_name(name: &[u8]) -> u64 {
    name.chunks(64).fold(seed(), |hash, part| {
        // On the stack and in pieces: a name may be long, and a copy would cost an allocation.
        let mut lower = [0; 64];
        let lower = &mut lower[..part.len()];
        lower.copy_from_slice(part);
        lower.make_ascii_lowercase();
        hash_bytes(hash, lower)
    })
}

/// Places of names, by [`hash_name`].
#[derive(Debug, Default)]
pub(super) struct NameIndex(HashMap<u64, u32, BuildHasherDefault<Mix>>);

impl NameIndex {
    /// The place with this hash that `is` the wanted one.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let candidates = (0..).map_while(|more| self.0.get(&hash.wrapping_add(more)));
        candidates.copied().find(|&place| is(place))
    }

    /// For a name that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, place: u32) {
        // Names with equal hashes are under the numbers after it.
        let free = (0..).map(|more| hash.wrapping_add(more));
        let mut free = free.filter(|hash| !self.0.contains_key(hash));
        if let Some(hash) = free.next() {
            self.0.insert(hash, place);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A multiplicative hash for keys that no client chooses: positions that the engine gave, and hashes. It needs no seed.
#[derive(Debug, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

static SEED: OnceLock<u64> = OnceLock::new();

/// Sets the seed, for benchmarks that count work. No effect if one is in use.
pub fn fix_seed(seed: u64) {
    let _ = SEED.set(seed);
}

/// This process's seed.
pub(super) fn seed() -> u64 {
    *SEED.get_or_init(|| RandomState::new().hash_one(0x5eed_u64) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let mut index = NameIndex::default();
        for place in 0..4 {
            index.insert(u64::MAX - 1, place);
        }
        for place in 0..4 {
            assert_eq!(index.find(u64::MAX - 1, |p| p == place), Some(place));
        }
        assert_eq!(index.find(u64::MAX - 1, |p| p == 4), None);
        assert_eq!(index.find(7, |_| true), None);
    }

    #[test]
    fn names_differ_in_more_than_case() {
        for (a, b, same) in [
            ("Content-Type", "content-tYPE", true),
            ("", "", true),
            ("a_", "a\x7f", false),
            ("[x]", "{x}", false),
            ("abcdefgh", "ABCDEFGH", true),
            ("abcdefgh", "ABCDEFGHi", false),
            ("a", "a\0", false),
        ] {
            let (a, b) = (hash_name(a.as_bytes()), hash_name(b.as_bytes()));
            assert_eq!(a == b, same, "{a} {b}");
        }
    }
}
