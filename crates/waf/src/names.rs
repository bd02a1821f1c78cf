//! Names of `TX` variables that are known when rules load: each has a slot, so that no rule looks one up by text.

use super::hash::{NameIndex, hash_name};

/// Names of `TX` variables that the rules spell out; each has a slot.
#[derive(Debug)]
pub(crate) struct Names {
    /// As first written.
    names: Vec<Box<str>>,
    slots: NameIndex,
}

/// `TX.0` to `TX.9`, where captures go, are slots 0 to 9.
pub(crate) const CAPTURE_SLOTS: usize = 10;

impl Default for Names {
    fn default() -> Self {
        let mut names = Self {
            names: Vec::new(),
            slots: NameIndex::default(),
        };
        // First, so that the slot of a capture is its number.
        for digit in 0..CAPTURE_SLOTS {
            names.intern(&digit.to_string());
        }
        names
    }
}

impl Names {
    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        let hash = hash_name(name.as_bytes());
        if let Some(slot) = self.slot(hash, name.as_bytes()) {
            return slot;
        }
        let slot = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.into());
        self.slots.insert(hash, slot);
        slot
    }

    /// Whatever the case of ASCII letters. `hash` is the name's.
    pub(crate) fn slot(&self, hash: u64, name: &[u8]) -> Option<u32> {
        let is = |slot| self.name(slot).as_bytes().eq_ignore_ascii_case(name);
        self.slots.find(hash, is)
    }

    pub(crate) fn name(&self, slot: u32) -> &str {
        self.names.get(slot as usize).map_or("", |n| n)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|n| &**n)
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}
