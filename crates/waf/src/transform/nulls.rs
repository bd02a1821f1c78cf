//! `removeNulls` and `replaceNulls`.

use memchr::memchr;

use super::rewrite::{Piece, rewrite};
use super::table::{IDENTITY, Table};

pub(super) const TO_SPACE: Table = {
    let mut table = IDENTITY;
    table[0] = b' ';
    table
};

pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, |rest| memchr(0, rest), |_| Piece::Nothing(1))
}
