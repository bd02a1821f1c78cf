//! Transformations that replace each byte by another one, without regard to its neighbours.

#![allow(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]

use crate::byteset::ByteSet;

/// What each byte becomes.
pub(super) type Table = [u8; 256];

pub(super) fn apply(table: &Table, input: &[u8], out: &mut Vec<u8>) -> bool {
    let becomes = |byte: u8| table[usize::from(byte)];
    // Nothing is copied if nothing changes.
    let Some(first) = input.iter().position(|&b| becomes(b) != b) else {
        return false;
    };
    let (same, rest) = input.split_at(first);
    out.extend_from_slice(same);
    out.extend(rest.iter().map(|&b| becomes(b)));
    true
}

pub(super) fn triggers(table: &Table) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    for byte in ByteSet::ALL.iter() {
        if table[usize::from(byte)] != byte {
            set.insert(byte);
        }
    }
    set
}

pub(super) fn image(table: &Table, present: &ByteSet) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    for byte in present.iter() {
        set.insert(table[usize::from(byte)]);
    }
    set
}

/// The table in which every byte becomes itself.
pub(super) const IDENTITY: Table = {
    let mut table = [0; 256];
    // Counts down, because a `u8` that counts up overflows after 255. Zero is in its place already.
    let mut byte = u8::MAX;
    while byte > 0 {
        table[byte as usize] = byte;
        byte -= 1;
    }
    table
};
