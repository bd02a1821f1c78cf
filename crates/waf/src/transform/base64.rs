//! `base64Decode`, `base64DecodeExt` and `base64Encode`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use crate::byteset::ByteSet;
use crate::steps::{self, OutOfTime, STEP};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of a digit; [`NOT_A_DIGIT`] for every other byte.
const VALUES: [u8; 256] = {
    let mut values = [NOT_A_DIGIT; 256];
    let mut i = 0;
    while i < 64 {
        values[ALPHABET[i as usize] as usize] = i;
        i += 1;
    }
    values
};
const NOT_A_DIGIT: u8 = 64;

/// The longest prefix of digits (RFC 4648 section 4), as `apr_base64_decode`: a last single digit is dropped.
/// An input that does not begin with a digit becomes empty.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let (groups, _) = input.as_chunks::<4>();
    let mut whole = 0;
    for some in groups.chunks(STEP / 4) {
        // The engine discards an incomplete result.
        if whole > 0 && steps::work(STEP).is_err() {
            return true;
        }
        let start = out.len();
        out.resize(start + 3 * some.len(), 0);
        let (triples, _) = out[start..].as_chunks_mut::<3>();
        let mut count = 0;
        for (group, triple) in some.iter().zip(triples) {
            // Every digit is below 64, so this one bit tells in a single test whether any of the four is none.
            let [a, b, c, d] = group.map(|byte| VALUES[usize::from(byte)]);
            if (a | b | c | d) & NOT_A_DIGIT != 0 {
                break;
            }
            // A shift pushes out of the byte exactly the bits that the byte before has taken.
            *triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
            count += 1;
        }
        whole += count;
        if count < some.len() {
            out.truncate(start + 3 * count);
            break;
        }
    }
    // The group with the first byte that is no digit: what stands before that byte still counts, as in
    // `apr_base64_decode`.
    let rest = &input[4 * whole..];
    put_bytes(rest.iter().map_while(|&b| value(b)), out);
    !input.is_empty()
}

/// The joined marks of the bytes that [`decode`] writes. Ends early once they are `all`.
///
/// # Errors
/// There is no time left.
pub(super) fn join_decoded(input: &[u8], marks: &[u8; 256], all: u8) -> Result<u8, OutOfTime> {
    let mark = |byte: u8| marks[usize::from(byte)];
    let (groups, _) = input.as_chunks::<4>();
    let mut joined = 0;
    let mut whole = 0;
    for some in groups.chunks(STEP / 4) {
        // The first step is free, so that short values do not ask for the time.
        if whole > 0 {
            steps::work(STEP)?;
        }
        let before = whole;
        for group in some {
            let [a, b, c, d] = group.map(|byte| VALUES[usize::from(byte)]);
            if (a | b | c | d) & NOT_A_DIGIT != 0 {
                break;
            }
            joined |= mark(a << 2 | b >> 4) | mark(b << 4 | c >> 2) | mark(c << 6 | d);
            if joined == all {
                return Ok(all);
            }
            whole += 1;
        }
        if whole - before < some.len() {
            break;
        }
    }
    let mut rest = input[4 * whole..].iter().map_while(|&b| value(b));
    if let (Some(a), Some(b)) = (rest.next(), rest.next()) {
        joined |= mark(a << 2 | b >> 4);
        if let Some(c) = rest.next() {
            joined |= mark(b << 4 | c >> 2);
        }
    }
    Ok(joined)
}

/// All digits; every other byte is skipped (RFC 2045 section 6.8). Padding after the first digit of a group makes
/// the whole value empty, as in v2.
pub(super) fn decode_ext(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut digits = 0usize;
    for &byte in input {
        if value(byte).is_some() {
            digits += 1;
        } else if byte == b'=' && digits % 4 == 1 {
            return true;
        }
    }
    put_bytes(input.iter().filter_map(|&b| value(b)), out);
    !input.is_empty()
}

fn value(byte: u8) -> Option<u8> {
    let value = VALUES[usize::from(byte)];
    (value != NOT_A_DIGIT).then_some(value)
}

fn put_bytes(digits: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let mut bits = 0u16;
    let mut count = 0;
    for digit in digits {
        // At most six bits are left over from before, so twelve fit.
        bits = bits << 6 | u16::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            let [_, byte] = (bits >> count).to_be_bytes();
            out.push(byte);
            // The engine discards an incomplete result.
            if out.len().is_multiple_of(STEP) && steps::work(STEP).is_err() {
                return;
            }
        }
    }
}

pub(super) fn decode_image(present: &ByteSet) -> ByteSet {
    // Which bytes four digits give depends on their order too, and a set does not know that.
    if present.intersects(&ByteSet::of(ALPHABET)) {
        ByteSet::ALL
    } else {
        ByteSet::EMPTY
    }
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    for group in input.chunks(3) {
        let mut bytes = [0; 4];
        // The first byte stays zero, so that the group fills the lower 24 bits.
        for (to, &from) in bytes[1..].iter_mut().zip(group) {
            *to = from;
        }
        let bits = u32::from_be_bytes(bytes);
        for place in 0..4 {
            // Six bits index 64 digits.
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            // A group of n bytes needs n + 1 digits; padding fills it up to four (RFC 4648, section 4).
            out.push(if place <= group.len() { digit } else { b'=' });
        }
    }
    !input.is_empty()
}

pub(super) fn encode_image(present: &ByteSet) -> ByteSet {
    if present.is_empty() {
        return ByteSet::EMPTY;
    }
    ByteSet::of(ALPHABET).with(b'=')
}
