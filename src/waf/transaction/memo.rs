//! Each transformation of each value is done once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::waf::rule::ChainId;
use crate::waf::variables::Slice;

/// What a value became after a chain of transformations.
#[derive(Debug, Default)]
pub(super) struct Memo {
    done: HashMap<(Slice, ChainId), (Slice, bool), BuildHasherDefault<Mix>>,
}

impl Memo {
    pub(super) fn clear(&mut self) {
        self.done.clear();
    }

    /// Results it has room for.
    pub(super) fn capacity(&self) -> usize {
        self.done.capacity()
    }

    /// The result, and whether the last step changed it.
    pub(super) fn find(&self, value: Slice, chain: ChainId) -> Option<(Slice, bool)> {
        self.done.get(&(value, chain)).copied()
    }

    /// Every value and what a chain made of it.
    pub(super) fn results(&self) -> impl Iterator<Item = (Slice, Slice)> {
        self.done
            .iter()
            .map(|(&(raw, _), &(result, _))| (raw, result))
    }

    pub(super) fn keep(&mut self, value: Slice, chain: ChainId, result: Slice, changed: bool) {
        self.done.insert((value, chain), (result, changed));
    }
}

/// A multiplicative hash: its keys are positions the engine gave, not a client's bytes.
#[derive(Debug, Default)]
pub(super) struct Mix(u64);

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
