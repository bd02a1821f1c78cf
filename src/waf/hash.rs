//! A fast hash for short keys, seeded at random for each process: a client that chooses keys cannot choose
//! which of them collide.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// Multiplies and folds the two halves of the product.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
    // The two halves.
    #[allow(clippy::cast_possible_truncation)]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
}

/// Hashes bytes a word at a time.
pub(super) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(seed, bytes.len() as u64 ^ 0x2d35_8dcc_aa6c_78a5);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        // Chunks of exactly 8.
        hash = mix(
            hash,
            u64::from_le_bytes(word.try_into().unwrap_or_default()) ^ seed.rotate_left(17),
        ) ^ seed;
    }
    let rest = words
        .remainder()
        .iter()
        .fold(0, |rest, &b| rest << 8 | u64::from(b));
    mix(hash, rest ^ seed.rotate_left(31))
}

static SEED: OnceLock<u64> = OnceLock::new();

/// For one's own programs that count work: the seed is this, unless one was already in use.
pub fn fix_seed(seed: u64) {
    let _ = SEED.set(seed);
}

/// This process's seed.
pub(super) fn seed() -> u64 {
    *SEED.get_or_init(|| RandomState::new().hash_one(0x5eed_u64) | 1)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        Self(seed())
    }
}

impl BuildHasher for Seeded {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher {
            seed: self.0,
            hash: self.0,
        }
    }
}

#[derive(Debug)]
pub(super) struct SeededHasher {
    seed: u64,
    hash: u64,
}

impl Hasher for SeededHasher {
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        self.hash = mix(self.hash, hash_bytes(self.seed, bytes));
    }

    fn write_usize(&mut self, n: usize) {
        self.hash = mix(self.hash, n as u64);
    }
}
