//! `jsDecode`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::escape::{find_backslash, octal, octal_len, simple, simple_image};
use super::hex::{narrow, narrow_image, pair, pair_image, quad};
use super::rewrite::{Piece, rewrite};
use crate::byteset::ByteSet;

/// `\uHHHH`, `\xHH`, octal up to `\377`, `\a \b \f \n \r \t \v`; any other backslash is dropped.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, find_backslash, |rest| match rest {
        [_, b'u', digits @ ..] => {
            quad(digits).map_or_else(|| simple(rest), |unit| Piece::Byte(narrow(unit), 6))
        }
        [_, b'x', digits @ ..] => {
            pair(digits).map_or_else(|| simple(rest), |byte| Piece::Byte(byte, 4))
        }
        [_, digits @ ..] => octal_byte(digits).unwrap_or_else(|| simple(rest)),
        [] => Piece::Same(0),
    })
}

/// Three digits only if they fit into a byte, otherwise two.
fn octal_byte(digits: &[u8]) -> Option<Piece> {
    (1..=octal_len(digits)).rev().find_map(|len| {
        let byte = u8::try_from(octal(&digits[..len])).ok()?;
        Some(Piece::Byte(byte, 1 + len))
    })
}

pub(super) fn image(present: &ByteSet) -> ByteSet {
    let mut image = simple_image(present);
    if !present.contains(b'\\') {
        return image;
    }
    if present.contains(b'x') {
        image = image.union(pair_image(present));
    }
    if present.contains(b'u') {
        image = image.union(narrow_image(present));
    }
    image
}
