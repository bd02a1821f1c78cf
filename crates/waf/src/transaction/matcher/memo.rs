//! Results of transformations, so that each is computed once for all rules.
//!
//! The bytes of a slice never change, so a result stays valid for the whole transaction.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::hash::Mix;
use crate::rule::ChainId;
use crate::variables::Slice;

/// The results of chains of transformations.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    done: HashMap<(Slice, ChainId), (Slice, bool), BuildHasherDefault<Mix>>,
}

impl Memo {
    pub(crate) fn clear(&mut self) {
        self.done.clear();
    }

    /// Bytes that it has room for, roughly.
    pub(crate) fn capacity(&self) -> usize {
        self.done.capacity() * 32
    }

    /// The result, and whether the last step changed it.
    #[inline]
    pub(crate) fn find(&self, value: Slice, chain: ChainId) -> Option<(Slice, bool)> {
        self.done.get(&(value, chain)).copied()
    }

    /// Every value and what a chain made of it.
    pub(crate) fn results(&self) -> impl Iterator<Item = (Slice, Slice)> {
        self.done
            .iter()
            .map(|(&(raw, _), &(result, _))| (raw, result))
    }

    pub(crate) fn keep(&mut self, value: Slice, chain: ChainId, result: Slice, changed: bool) {
        self.done.insert((value, chain), (result, changed));
    }
}
