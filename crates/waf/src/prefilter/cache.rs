//! What a value's row was, for values that come again: header values, cookie and argument names, common words.
//!
//! One cache a thread, of a fixed size: a value has a few slots, and a newcomer takes the oldest of them. So values
//! made to collide only lose the cache's help. The whole key is compared.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::row::Row;
use crate::hash::{hash_bytes, seed};

/// Slots; one value each.
const SLOTS: usize = 4096;
/// Slots a value may be in.
const WAYS: usize = 4;
/// Longer values rarely come again.
pub(crate) const LONGEST: usize = 256;

/// What a row depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key<'v> {
    /// Which filter of which rule set.
    pub filter: u64,
    pub class: u32,
    pub value: &'v [u8],
}

#[derive(Debug)]
pub(crate) struct Cache {
    seed: u64,
    slots: Vec<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    tag: u32,
    filter: u64,
    class: u32,
    value: Box<[u8]>,
    row: Row,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            seed: seed(),
            slots: (0..SLOTS).map(|_| None).collect(),
        }
    }
}

impl Cache {
    /// Where a value is or would be: the first entry of its set, and what tells it from others there.
    pub(crate) fn place(&self, key: &Key<'_>) -> Place {
        let start = self.seed ^ key.filter.rotate_left(32) ^ u64::from(key.class);
        let hash = hash_bytes(start, key.value);
        // The mask keeps 12 bits; the tag is as good with half of the hash.
        #[allow(clippy::cast_possible_truncation)]
        let (set, tag) = (
            (hash >> 32) as usize & (SLOTS - 1) & !(WAYS - 1),
            hash as u32,
        );
        Place { set, tag }
    }

    pub(crate) fn find(&self, place: Place, key: &Key<'_>) -> Option<&Row> {
        let set = self.slots.get(place.set..place.set + WAYS)?;
        let same = |entry: &&Entry| {
            entry.tag == place.tag
                && entry.filter == key.filter
                && entry.class == key.class
                && *entry.value == *key.value
        };
        set.iter().flatten().find(same).map(|e| &e.row)
    }

    /// The newcomer stands first in its set, and what stood last is forgotten.
    pub(crate) fn keep(&mut self, place: Place, key: &Key<'_>, row: &Row) {
        let Some(set) = self.slots.get_mut(place.set..place.set + WAYS) else {
            return;
        };
        set.rotate_right(1);
        set[0] = Some(Entry {
            tag: place.tag,
            filter: key.filter,
            class: key.class,
            value: key.value.into(),
            row: *row,
        });
    }
}

/// A set of the cache and the tag of a value there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    set: usize,
    tag: u32,
}
