//! `hexDecode`, `hexEncode`, and the digits of every escape.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use crate::byteset::ByteSet;

pub(super) const DIGITS: ByteSet = ByteSet::of(b"0123456789abcdefABCDEF");

const LOWER_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The value of a hexadecimal digit.
pub(super) fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that the first two bytes spell, if both are digits.
pub(super) fn pair(bytes: &[u8]) -> Option<u8> {
    let [high, low, ..] = *bytes else { return None };
    Some(digit(high)? << 4 | digit(low)?)
}

/// The number that the first four bytes spell, if all are digits.
pub(super) fn quad(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([pair(bytes)?, pair(bytes.get(2..)?)?]))
}

/// The byte that ModSecurity makes of a code unit: its low byte, or ASCII for the full-width forms U+FF01 to U+FF5E,
/// which some servers take for ASCII.
pub(super) fn narrow(unit: u16) -> u8 {
    let [high, low] = unit.to_be_bytes();
    match (high, low) {
        (0xff, 0x01..=0x5e) => low + 0x20,
        _ => low,
    }
}

/// The two lower-case digits of a byte.
pub(super) fn spell(byte: u8) -> [u8; 2] {
    // A nibble is below 16.
    [
        LOWER_DIGITS[usize::from(byte >> 4)],
        LOWER_DIGITS[usize::from(byte & 15)],
    ]
}

/// The digits that [`spell`] uses for these bytes.
pub(super) fn spell_image(present: &ByteSet) -> ByteSet {
    present
        .iter()
        .flat_map(spell)
        .fold(ByteSet::EMPTY, ByteSet::with)
}

/// The bytes that two of the digits in `present` can spell.
pub(super) fn pair_image(present: &ByteSet) -> ByteSet {
    if DIGITS.intersection(present.complement()).is_empty() {
        return ByteSet::ALL;
    }
    let mut digits = 0u16;
    for value in DIGITS.intersection(*present).iter().filter_map(digit) {
        digits |= 1 << value;
    }
    let has = |value: u8| digits & 1 << value != 0;
    ByteSet::ALL
        .iter()
        .filter(|&byte| has(byte >> 4) && has(byte & 15))
        .fold(ByteSet::EMPTY, ByteSet::with)
}

/// [`pair_image`] and what [`narrow`] can make of it.
pub(super) fn narrow_image(present: &ByteSet) -> ByteSet {
    let low = pair_image(present);
    if !present.intersects(&ByteSet::of(b"fF")) {
        return low;
    }
    low.iter()
        .filter(|byte| (0x01..=0x5e).contains(byte))
        .fold(low, |set, byte| set.with(byte + 0x20))
}

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    // `as_chunks` leaves an odd last byte out, as v2 does.
    out.extend(input.as_chunks().0.iter().map(|&[high, low]| {
        unchecked_digit(high)
            .wrapping_mul(16)
            .wrapping_add(unchecked_digit(low))
    }));
    !input.is_empty()
}

/// [`digit`], and for any other byte the result of ModSecurity's arithmetic.
fn unchecked_digit(byte: u8) -> u8 {
    match byte {
        // As v2's `x2c`: the mask is meant to make letters upper case, but it is applied to every byte from `A` on.
        b'A'.. => (byte & 0xdf).wrapping_sub(b'A').wrapping_add(10),
        _ => byte.wrapping_sub(b'0'),
    }
}

pub(super) fn decode_image(present: &ByteSet) -> ByteSet {
    if present.intersection(DIGITS.complement()).is_empty() {
        pair_image(present)
    } else {
        ByteSet::ALL
    }
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(input.iter().copied().flat_map(spell));
    !input.is_empty()
}

pub(super) fn encode_image(present: &ByteSet) -> ByteSet {
    spell_image(present)
}
