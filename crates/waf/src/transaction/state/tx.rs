//! The `TX` collection: slots for names known at load, a table for names made at run time.

use std::ops::Range;

use crate::hash::{NameIndex, hash_name};
use crate::names::{CAPTURE_SLOTS, Names};
use crate::rule::listing::{Listing, begin_alike};
use crate::ruleset::RuleSet;
use crate::variables::{Slice, Text};

/// Names made at run time. Rules put argument names into them, so a client chooses how many there are.
const MOST_DYNAMIC: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Entry {
    #[default]
    Unset,
    Text(Slice),
    Number(i64),
}

/// Where the value of a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Slot(u32),
    Dynamic(u32),
}

#[derive(Debug, Default)]
pub(crate) struct TxStore {
    slots: Vec<Entry>,
    dynamic: Vec<(Slice, Entry)>,
    /// Index of `dynamic`.
    by_name: NameIndex,
    /// Variables of rules that look for values in a list; nothing has read them yet.
    deferred: Vec<Deferred>,
    /// Their values, and those of a rule that has not been through all of them.
    values: Vec<Slice>,
}

/// The variables of one rule that are to be set before a name made at run time is read or made.
#[derive(Debug, Clone)]
pub(crate) struct Deferred {
    pub listing: Listing,
    /// Where its values are.
    pub range: Range<usize>,
}

impl TxStore {
    /// Slots for the names that rules spell out.
    pub(crate) fn make_slots(&mut self, count: usize) {
        self.slots.resize(count, Entry::Unset);
    }

    /// Nothing is set, and there are no slots.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.dynamic.clear();
        self.by_name.clear();
        self.deferred.clear();
        self.values.clear();
    }

    /// Whether the variables of a rule can be set later: no other variable has a name that begins like theirs.
    pub(crate) fn may_defer(&self, text: &Text, listing: &Listing) -> bool {
        let name = text.at(listing.name);
        let alike = |other: &Deferred| begin_alike(text.at(other.listing.name), name);
        // A name that is there already could be one of theirs, and the order of writes would matter.
        self.dynamic.is_empty() && !self.deferred.iter().any(alike)
    }

    /// How many values there are.
    pub(crate) fn deferred_values(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn add_value(&mut self, value: Slice) {
        self.values.push(value);
    }

    /// Forgets the values from this place on.
    pub(crate) fn drop_values(&mut self, from: usize) {
        self.values.truncate(from);
    }

    pub(crate) fn deferred_value_at(&self, place: usize) -> Option<Slice> {
        self.values.get(place).copied()
    }

    /// Defers the variables of the values from this place on. Where they are.
    pub(crate) fn defer(&mut self, from: usize, listing: &Listing) -> Range<usize> {
        let range = from..self.values.len();
        self.deferred.push(Deferred {
            listing: *listing,
            range: range.clone(),
        });
        range
    }

    /// The variables that are still to be set, and their values; None if there are none.
    pub(crate) fn take_deferred(&mut self) -> Option<(Vec<Deferred>, Vec<Slice>)> {
        if self.deferred.is_empty() {
            return None;
        }
        Some((
            std::mem::take(&mut self.deferred),
            std::mem::take(&mut self.values),
        ))
    }

    /// Whether one of the deferred variables has such a name.
    pub(crate) fn any_deferred(&self, text: &Text, is: impl Fn(&[u8]) -> bool) -> bool {
        let mut name = Vec::new();
        self.deferred.iter().any(|Deferred { listing, range }| {
            let mut values = self.values.get(range.clone()).unwrap_or_default().iter();
            values.any(|&value| {
                name.clear();
                name.extend_from_slice(text.at(listing.name));
                name.extend_from_slice(text.at(value));
                is(&name)
            })
        })
    }

    /// The value of a deferred variable.
    pub(crate) fn deferred_value(&self, name: &[u8], text: &Text) -> Option<Vec<u8>> {
        self.deferred
            .iter()
            .find_map(|Deferred { listing, range }| {
                let start = text.at(listing.name);
                let (own, rest) = name.split_at_checked(start.len())?;
                let is = |&&value: &&Slice| text.at(value).eq_ignore_ascii_case(rest);
                let mut values = self.values.get(range.clone())?.iter().rev();
                // The last one counts: later variables replace earlier ones of the same name.
                let value = values
                    .find(is)
                    .filter(|_| own.eq_ignore_ascii_case(start))?;
                let pieces = [listing.before, *value, listing.after];
                Some(pieces.map(|piece| text.at(piece)).concat())
            })
    }

    #[inline]
    pub(crate) fn entry(&self, name: Name) -> Entry {
        match name {
            Name::Slot(slot) => self.slots.get(slot as usize).copied().unwrap_or_default(),
            Name::Dynamic(at) => self.dynamic.get(at as usize).map_or(Entry::Unset, |d| d.1),
        }
    }

    #[inline]
    pub(crate) fn set(&mut self, name: Name, entry: Entry) {
        match name {
            Name::Slot(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = entry;
                }
            }
            Name::Dynamic(at) => {
                if let Some(place) = self.dynamic.get_mut(at as usize) {
                    place.1 = entry;
                }
            }
        }
    }

    /// Where a name's value is or would be; None when too many names were made.
    pub(crate) fn resolve(&mut self, name: Slice, text: &Text, names: &Names) -> Option<Name> {
        let bytes = text.at(name);
        let hash = hash_name(bytes);
        if let Some(found) = self.find_hashed(hash, bytes, text, names) {
            return Some(found);
        }
        // The variable is then not set. A name that is known is always found, so no score stands still.
        if self.dynamic.len() >= MOST_DYNAMIC {
            return None;
        }
        let at = u32::try_from(self.dynamic.len()).ok()?;
        self.dynamic.push((name, Entry::Unset));
        self.by_name.insert(hash, at);
        Some(Name::Dynamic(at))
    }

    /// Where a name's value is, if there is one of that name.
    pub(crate) fn find(&self, name: &[u8], text: &Text, names: &Names) -> Option<Name> {
        self.find_hashed(hash_name(name), name, text, names)
    }

    fn find_hashed(&self, hash: u64, name: &[u8], text: &Text, names: &Names) -> Option<Name> {
        // A name that rules spell out always has its slot: one name must not have two values.
        if let Some(slot) = names.slot(hash, name) {
            return Some(Name::Slot(slot));
        }
        let is = |at: u32| {
            let dynamic = self.dynamic.get(at as usize);
            dynamic.is_some_and(|(known, _)| text.at(*known).eq_ignore_ascii_case(name))
        };
        self.by_name.find(hash, is).map(Name::Dynamic)
    }

    /// Unsets the captures from group `first` on: a match with fewer groups must not leave those of an earlier match.
    pub(crate) fn clear_captures(&mut self, first: usize) {
        if let Some(slots) = self.slots.get_mut(first..CAPTURE_SLOTS) {
            slots.fill(Entry::Unset);
        }
    }

    /// Every name that has a value: slots first, then names made at run time in the order they were made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Name, Entry)> {
        let slots = (0..).map(Name::Slot).zip(self.slots.iter().copied());
        let dynamic = (0..)
            .map(Name::Dynamic)
            .zip(self.dynamic.iter().map(|d| d.1));
        slots
            .chain(dynamic)
            .filter(|(_, entry)| *entry != Entry::Unset)
    }

    /// Names made at run time, in the order they were made.
    pub(crate) fn dynamic_names(&self) -> impl Iterator<Item = Name> + use<> {
        (0..u32::try_from(self.dynamic.len()).unwrap_or(u32::MAX)).map(Name::Dynamic)
    }

    /// A name as it was first written.
    pub(crate) fn name_text(&self, name: Name, rules: &RuleSet) -> Slice {
        match name {
            Name::Slot(slot) => rules.slot_name(slot),
            Name::Dynamic(at) => self.dynamic.get(at as usize).map_or(Slice::EMPTY, |d| d.0),
        }
    }
}
