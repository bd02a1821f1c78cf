//! What a value's row was, for values that come again: header values, cookie and argument names, common words.
//!
//! One cache a thread, of a fixed size: a value has one slot, and a newcomer takes it. So values made to collide
//! only lose the cache's help. The whole key is compared.

use std::hash::{BuildHasher, RandomState};

use super::table::Row;

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
            seed: RandomState::new().hash_one(0_u8),
            slots: (0..SLOTS).map(|_| None).collect(),
        }
    }
}

/// Multiplies and folds the two halves of the product.
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
    // The two halves.
    #[allow(clippy::cast_possible_truncation)]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
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
        let mut words = key.value.chunks_exact(8);
        let mut hash = mix(start, key.value.len() as u64);
        for word in &mut words {
            // Chunks of exactly 8.
            hash = mix(
                hash,
                u64::from_le_bytes(word.try_into().unwrap_or_default()),
            );
        }
        let rest = words
            .remainder()
            .iter()
            .fold(0, |rest, &b| rest << 8 | u64::from(b));
        mix(hash, rest)
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
