//! Which pairs of neighbouring bytes a list has, to tell in a few steps that a value is not in it.
//!
//! `@within` looks for many values in one list, like the name of each header in that of restricted ones.

#![allow(
    clippy::indexing_slicing,
    reason = "a hash of nine bits indexes eight words of 64"
)]

use crate::variables::Slice;

/// For longer lists most pairs would be there.
const LONGEST: usize = 512;

/// The pairs of one list, by a hash.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Where the list is. A text only grows, so the list stays the same as long as the transaction.
    list: Slice,
    bits: [u64; 8],
    /// The list whose pairs these are. It outlives the transaction: most have the same lists.
    noted: Vec<u8>,
    /// They are those of the list at `list`.
    current: bool,
}

impl Pairs {
    /// Whether the value may be in the list. `at` is where the list is in the transaction's text.
    pub(super) fn may_hold(&mut self, at: Slice, list: &[u8], value: &[u8]) -> bool {
        // The pairs are noted when a second value is looked for.
        if self.list != at {
            self.list = at;
            self.current = false;
            return true;
        }
        if list.len() > LONGEST {
            return true;
        }
        if !self.current {
            self.current = true;
            self.note(list);
        }
        // A value of one byte has no pair, so it may always be there.
        pairs(value).all(|pair| self.bits[pair / 64] & (1 << (pair % 64)) != 0)
    }

    fn note(&mut self, list: &[u8]) {
        if self.noted == list {
            return;
        }
        self.noted.clear();
        self.noted.extend_from_slice(list);
        self.bits = [0; 8];
        for pair in pairs(list) {
            self.bits[pair / 64] |= 1 << (pair % 64);
        }
    }

    /// Forgets where the list is: slices of the next transaction mean other bytes.
    pub(super) fn clear(&mut self) {
        (self.list, self.current) = (Slice::default(), false);
    }
}

/// A number below 512 for each pair of neighbours.
fn pairs(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let of = |pair: &[u8]| (usize::from(pair[0]) * 29 + usize::from(pair[1])) & 511;
    bytes.windows(2).map(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::text::within;
    use crate::variables::Text;

    #[test]
    fn what_is_in_a_list_may_be() {
        let mut text = Text::default();
        let lists: [&[u8]; 3] = [b"/a/ /bc/ /x-y/", b"//", b"|GET|POST|\xff\0|"];
        let mut pairs = Pairs::default();
        for list in lists {
            let at = text.push(list);
            assert!(pairs.may_hold(at, list, b"/zq/"), "the first is not told");
            for from in 0..=list.len() {
                for to in from..=list.len() {
                    assert!(pairs.may_hold(at, list, &list[from..to]));
                }
            }
            for other in lists.concat().windows(3) {
                let may = pairs.may_hold(at, list, other);
                assert!(may || !within(list, other), "{other:?} in {list:?}");
            }
            assert!(!pairs.may_hold(at, list, b"/zq/"));
        }
    }
}
