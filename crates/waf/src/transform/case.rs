//! `lowercase` and `uppercase`, as in the C locale.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::table::{IDENTITY, Table};

/// The same as [`LOWER`], but many bytes at a time: nearly every rule asks for it.
pub(super) fn lower(input: &[u8], out: &mut Vec<u8>) -> bool {
    let is_upper = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(false, |any, b| any | b.is_ascii_uppercase())
    };
    if !input.chunks(64).any(is_upper) {
        return false;
    }
    let start = out.len();
    out.extend_from_slice(input);
    out[start..].make_ascii_lowercase();
    true
}

pub(super) const LOWER: Table = shift(b'A', b'a');
pub(super) const UPPER: Table = shift(b'a', b'A');

/// The 26 letters from `from` on become those from `to` on.
const fn shift(from: u8, to: u8) -> Table {
    let mut table = IDENTITY;
    let mut i = 0;
    while i < 26 {
        table[(from + i) as usize] = to + i;
        i += 1;
    }
    table
}
