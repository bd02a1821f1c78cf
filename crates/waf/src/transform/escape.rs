//! `escapeSeqDecode`, and what JavaScript's and C's escapes have in common.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use memchr::memchr;

use super::hex::{pair, pair_image};
use super::rewrite::{Piece, rewrite};
use crate::byteset::ByteSet;

const OCTAL: ByteSet = ByteSet::range(b'0', b'7');

/// `\` and a letter.
const LETTERS: [(u8, u8); 7] = [
    (b'a', 0x07),
    (b'b', 0x08),
    (b'f', 0x0c),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
    (b'v', 0x0b),
];

/// ANSI C: of three octal digits the low byte is kept; an escape that C does not know loses its backslash.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, find_backslash, |rest| match rest {
        [_, b'x' | b'X', digits @ ..] => {
            // Without its two digits it is an escape that C does not know, and loses only the backslash.
            pair(digits).map_or(Piece::Byte(rest[1], 2), |byte| Piece::Byte(byte, 4))
        }
        [_, digits @ ..] if octal_len(digits) > 0 => {
            let len = octal_len(digits);
            let [_, low] = octal(&digits[..len]).to_be_bytes();
            Piece::Byte(low, 1 + len)
        }
        _ => simple(rest),
    })
}

pub(super) fn find_backslash(rest: &[u8]) -> Option<usize> {
    memchr(b'\\', rest)
}

/// The escape of one character; every other character stands for itself, and a last lone backslash stays.
pub(super) fn simple(rest: &[u8]) -> Piece {
    let [_, escaped, ..] = *rest else {
        // A backslash at the end.
        return Piece::Same(rest.len());
    };
    let byte = LETTERS
        .iter()
        .find(|&&(letter, _)| letter == escaped)
        .map_or(escaped, |&(_, control)| control);
    Piece::Byte(byte, 2)
}

/// How many of the first three bytes are octal digits.
pub(super) fn octal_len(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take(3)
        .take_while(|&&b| OCTAL.contains(b))
        .count()
}

/// The number that up to three octal digits spell.
pub(super) fn octal(digits: &[u8]) -> u16 {
    digits
        .iter()
        // The digits are 0x30 to 0x37, so their low three bits are their values.
        .fold(0, |value, digit| value << 3 | u16::from(digit & 7))
}

pub(super) fn image(present: &ByteSet) -> ByteSet {
    let mut image = simple_image(present);
    if present.contains(b'\\') && present.intersects(&ByteSet::of(b"xX")) {
        image = image.union(pair_image(present));
    }
    image
}

/// What [`simple`] and octal escapes can make.
pub(super) fn simple_image(present: &ByteSet) -> ByteSet {
    if !present.contains(b'\\') {
        return *present;
    }
    let mut image = LETTERS
        .iter()
        .filter(|(letter, _)| present.contains(*letter))
        .fold(*present, |set, &(_, control)| set.with(control));
    if present.intersects(&OCTAL) {
        image = image.union(octal_image(present));
    }
    image
}

/// The bytes that one to three octal digits of `present` can spell.
fn octal_image(present: &ByteSet) -> ByteSet {
    let has = |digit: u8| present.contains(b'0' + digit);
    ByteSet::ALL
        .iter()
        .filter(|byte| {
            let [high, middle, low] = [byte >> 6, byte >> 3 & 7, byte & 7];
            // The ninth bit is cut off: `\4xx` spells what `\0xx` does.
            let three = (has(high) || has(high + 4)) && has(middle);
            let two = high == 0 && has(middle);
            let one = high == 0 && middle == 0;
            has(low) && (one || two || three)
        })
        .fold(ByteSet::EMPTY, ByteSet::with)
}
