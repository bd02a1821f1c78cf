//! Rows of values that come again: header values, cookie and argument names, common words.
//!
//! Each thread has one cache of a fixed size. A value may be in a few slots, and a new value takes the oldest of them,
//! so a client that provokes collisions only loses the benefit of the cache. The whole key is compared, so a collision
//! never gives a wrong row.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::row::Row;
use crate::hash::{hash_bytes, seed};

/// Slots, with one value each: at most about two megabytes in each thread.
const SLOTS: usize = 4096;
/// Slots that a value may be in.
const WAYS: usize = 4;
/// Bytes. Longer values rarely come again.
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
    /// For each set, which of its slots holds the oldest value.
    oldest: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    tag: u32,
    filter: u64,
    class: u32,
    value: Vec<u8>,
    row: Row,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            seed: seed(),
            slots: (0..SLOTS).map(|_| None).collect(),
            oldest: vec![0; SLOTS / WAYS],
        }
    }
}

impl Cache {
    /// Where a value is or would be: the first slot of its set, and the tag that tells it from others there.
    pub(crate) fn place(&self, key: &Key<'_>) -> Place {
        // The seed is random, so that a client cannot choose values of one set.
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
            // The tag first: it is wrong for most other values and saves the comparison of their bytes.
            entry.tag == place.tag
                && entry.filter == key.filter
                && entry.class == key.class
                && entry.value == key.value
        };
        set.iter().flatten().find(same).map(|e| &e.row)
    }

    /// The new value replaces the oldest of its set, in the same memory.
    pub(crate) fn keep(&mut self, place: Place, key: &Key<'_>, row: &Row) {
        let Some(oldest) = self.oldest.get_mut(place.set / WAYS) else {
            return;
        };
        let at = place.set + usize::from(*oldest);
        let next = *oldest + 1;
        *oldest = if usize::from(next) == WAYS { 0 } else { next };
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let entry = slot.get_or_insert_with(|| Entry {
            tag: 0,
            filter: 0,
            class: 0,
            value: Vec::new(),
            row: Row::default(),
        });
        (entry.tag, entry.filter, entry.class) = (place.tag, key.filter, key.class);
        entry.value.clear();
        entry.value.extend_from_slice(key.value);
        entry.row = *row;
    }
}

/// A set of the cache and the tag of a value there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    set: usize,
    tag: u32,
}
