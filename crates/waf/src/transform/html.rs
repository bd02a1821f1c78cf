//! `htmlEntityDecode`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use memchr::memchr;

use super::hex::DIGITS;
use super::rewrite::{Piece, rewrite};
use super::work::look_at;
use crate::byteset::ByteSet;

/// The named entities, and what they become.
const NAMED: [(&[u8], u8); 5] = [
    (b"quot", b'"'),
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"nbsp", 0xa0),
];

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, |rest| memchr(b'&', rest), entity)
}

/// The entity at the start of `rest`, which begins with `&`.
///
/// What is no entity is skipped as a whole: the `#` and `x` of a number without digits, the letters of an unknown name.
fn entity(rest: &[u8]) -> Piece {
    match rest {
        [_, b'#', b'x' | b'X', digits @ ..] => number(rest, digits, 16),
        [_, b'#', digits @ ..] => number(rest, digits, 10),
        [_, name @ ..] => named(rest, name),
        [] => Piece::Same(0),
    }
}

fn number(rest: &[u8], digits: &[u8], radix: u32) -> Piece {
    let before = rest.len() - digits.len();
    let count = count_while(digits, |b| char::from(b).is_digit(radix));
    if count == 0 {
        return Piece::Same(before);
    }
    let value = digits[..count]
        .iter()
        .filter_map(|&b| char::from(b).to_digit(radix))
        .try_fold(0i64, |value, digit| {
            value
                .checked_mul(i64::from(radix))?
                .checked_add(i64::from(digit))
        });
    // As with C's strtol, a number that does not fit becomes the largest one. Then only the low byte is kept.
    let [.., low] = value.unwrap_or(i64::MAX).to_be_bytes();
    Piece::Byte(low, before + count + semicolon(&digits[count..]))
}

fn named(rest: &[u8], name: &[u8]) -> Piece {
    // In most values `&` stands between arguments.
    let begins_name = |first: &u8| b"qalgn".contains(&first.to_ascii_lowercase());
    if !name.first().is_some_and(begins_name) {
        return Piece::Same(1);
    }
    let count = count_while(name, |b| b.is_ascii_alphanumeric());
    let before = rest.len() - name.len();
    let (name, after) = name.split_at(count);
    match NAMED
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        Some(&(_, byte)) => Piece::Byte(byte, before + count + semicolon(after)),
        None => Piece::Same(before + count),
    }
}

fn semicolon(after: &[u8]) -> usize {
    usize::from(after.first() == Some(&b';'))
}

fn count_while(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    let count = bytes
        .iter()
        .position(|&b| !belongs(b))
        .unwrap_or(bytes.len());
    look_at(count);
    count
}

pub(super) fn image(present: &ByteSet) -> ByteSet {
    if !present.contains(b'&') {
        return *present;
    }
    // A superset: a few digits, repeated, spell numbers with nearly every low byte.
    if present.contains(b'#') && present.intersects(&DIGITS) {
        return ByteSet::ALL;
    }
    let can_spell = |name: &[u8]| {
        name.iter()
            .all(|b| present.contains(*b) || present.contains(b.to_ascii_uppercase()))
    };
    NAMED
        .iter()
        .filter(|(name, _)| can_spell(name))
        .fold(*present, |set, &(_, byte)| set.with(byte))
}
