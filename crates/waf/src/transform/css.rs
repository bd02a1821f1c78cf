//! `cssDecode`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::escape::find_backslash;
use super::hex::{DIGITS, digit, narrow, narrow_image};
use super::rewrite::{Piece, rewrite};
use super::whitespace::SPACES;
use crate::byteset::ByteSet;

/// CSS 2.1 section 4.1.3.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, find_backslash, |rest| match rest {
        [_, first, ..] if DIGITS.contains(*first) => code_point(&rest[1..]),
        // An escaped newline continues the line: it stands for nothing.
        [_, b'\n', ..] => Piece::Nothing(2),
        [_, other, ..] => Piece::Byte(*other, 2),
        _ => Piece::Nothing(1),
    })
}

/// One to six digits, and one blank that ends them.
fn code_point(digits: &[u8]) -> Piece {
    let len = digits
        .iter()
        .take(6)
        .take_while(|&&b| DIGITS.contains(b))
        .count();
    let value = digits[..len]
        .iter()
        .filter_map(|&b| digit(b))
        .fold(0u32, |value, digit| value << 4 | u32::from(digit));
    let [.., low] = value.to_be_bytes();
    // Only a code point of 16 bits can be a full-width form; of a larger one v2 keeps the low byte as well.
    let byte = u16::try_from(value).map_or(low, narrow);
    let blank = digits.get(len).is_some_and(|&b| SPACES.contains(b));
    Piece::Byte(byte, 1 + len + usize::from(blank))
}

pub(super) fn image(present: &ByteSet) -> ByteSet {
    if !present.contains(b'\\') {
        return *present;
    }
    // One digit alone gives the byte of its value.
    let single = DIGITS.intersection(*present);
    single
        .iter()
        .filter_map(digit)
        .fold(present.union(narrow_image(present)), ByteSet::with)
}
