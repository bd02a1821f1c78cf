//! Each transformation of each value is done once.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::hash::Mix;
use crate::rule::ChainId;
use crate::variables::Slice;

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
