//! What a value's row was, for values that come again: header values, cookie and argument names, common words.
//!
//! One cache a thread, of a fixed size: a value has one slot, and a newcomer takes it. So values made to collide
//! only lose the cache's help. The whole key is compared.

use super::table::Row;
use crate::waf::hash::{hash_bytes, seed};

/// Slots; one value each.
const SLOTS: usize = 4096;
/// Longer values rarely come again.
pub(in crate::waf) const LONGEST: usize = 256;

/// What a row depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::waf) struct Key<'v> {
    /// Which filter of which rule set.
    pub filter: u64,
    pub class: u32,
    pub value: &'v [u8],
}

#[derive(Debug)]
pub(in crate::waf) struct Cache {
    seed: u64,
    slots: Vec<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
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
    pub(in crate::waf) fn slot(&self, key: &Key<'_>) -> usize {
        // The mask keeps 12 bits.
        #[allow(clippy::cast_possible_truncation)]
        let slot = (self.hash(key) >> 32) as usize & (SLOTS - 1);
        slot
    }

    fn hash(&self, key: &Key<'_>) -> u64 {
        let start = self.seed ^ key.filter.rotate_left(32) ^ u64::from(key.class);
        hash_bytes(start, key.value)
    }

    pub(in crate::waf) fn find(&self, slot: usize, key: &Key<'_>) -> Option<&Row> {
        let entry = self.slots.get(slot)?.as_ref()?;
        let same =
            entry.filter == key.filter && entry.class == key.class && *entry.value == *key.value;
        same.then_some(&entry.row)
    }

    pub(in crate::waf) fn keep(&mut self, slot: usize, key: &Key<'_>, row: &Row) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(Entry {
                filter: key.filter,
                class: key.class,
                value: key.value.into(),
                row: *row,
            });
        }
    }
}
