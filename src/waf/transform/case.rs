//! `lowercase` and `uppercase`, as in the C locale.

use super::table::{IDENTITY, Table};

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
