//! `urlDecode`, `urlDecodeUni` and `urlEncode`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use memchr::{memchr, memchr2};

use super::hex::{narrow, pair, pair_image, quad, spell, spell_image};
use super::unicode::UnicodeMap;
use super::without;
use super::work::look_at;
use crate::byteset::ByteSet;
use crate::steps::{self, STEP};

/// What `urlEncode` leaves alone.
pub(super) const KEPT: ByteSet = ByteSet::of(b"*")
    .union(ByteSet::range(b'0', b'9'))
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'a', b'z'));

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    replace(input, out, escaped)
}

/// An invalid `%u` stays, and what follows is not taken for its digits: `%u%41` is `%uA`, `%uu0041` stays.
pub(super) fn decode_uni(input: &[u8], out: &mut Vec<u8>, map: Option<&UnicodeMap>) -> bool {
    replace(input, out, |rest| match rest {
        [b'%', b'u' | b'U', digits @ ..] => {
            let unit = quad(digits)?;
            let mapped = map.and_then(|map| map.byte(unit));
            Some((mapped.unwrap_or_else(|| narrow(unit)), 6))
        }
        _ => escaped(rest),
    })
}

/// The byte that an escape at the start of `rest` stands for, and the length of the escape.
fn escaped(rest: &[u8]) -> Option<(u8, usize)> {
    let byte = pair(rest.get(1..)?)?;
    Some((byte, 3))
}

/// Writes each `+` as a space, and for each `%` what `escape` says. Returns whether anything changed.
fn replace(input: &[u8], out: &mut Vec<u8>, escape: impl Fn(&[u8]) -> Option<(u8, usize)>) -> bool {
    let Some(first) = memchr2(b'%', b'+', input) else {
        return false;
    };
    let mut changed = false;
    let (same, mut rest) = input.split_at(first);
    out.extend_from_slice(same);
    look_at(first);
    let mut next_look = out.len() + STEP;
    while !rest.is_empty() {
        // The engine discards an incomplete result.
        if out.len() >= next_look {
            next_look = out.len() + STEP;
            if steps::work(STEP).is_err() {
                return true;
            }
        }
        let near = &rest[..rest.len().min(STEP)];
        let plain = &near[..memchr(b'%', near).unwrap_or(near.len())];
        look_at(plain.len() + 1);
        // All at once: most bytes stand for themselves.
        let spaced = plain.iter().map(|&b| if b == b'+' { b' ' } else { b });
        out.extend(spaced);
        changed = changed || memchr(b'+', plain).is_some();
        rest = &rest[plain.len()..];
        if rest.first() == Some(&b'%') {
            let byte = escape(rest);
            changed |= byte.is_some();
            let (byte, length) = byte.unwrap_or((b'%', 1));
            out.push(byte);
            rest = &rest[length..];
        }
    }
    changed
}

pub(super) fn decode_image(present: &ByteSet) -> ByteSet {
    let mut image = without(present, b"+");
    if present.contains(b'+') {
        image.insert(b' ');
    }
    if present.contains(b'%') {
        image = image.union(pair_image(present));
    }
    image
}

pub(super) fn decode_uni_image(present: &ByteSet) -> ByteSet {
    let units = present.contains(b'%') && present.intersects(&ByteSet::of(b"uU"));
    if units && present.intersects(&super::hex::DIGITS) {
        // A Unicode map may map a code unit to any byte.
        return ByteSet::ALL;
    }
    decode_image(present)
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = input.iter().position(|&b| !KEPT.contains(b)) else {
        return false;
    };
    let (same, rest) = input.split_at(first);
    out.extend_from_slice(same);
    for &byte in rest {
        if byte == b' ' {
            out.push(b'+');
        } else if KEPT.contains(byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend(spell(byte));
        }
    }
    true
}

pub(super) fn encode_image(present: &ByteSet) -> ByteSet {
    let mut image = present.intersection(KEPT);
    if present.contains(b' ') {
        image.insert(b'+');
    }
    let spelled = without(&present.intersection(KEPT.complement()), b" ");
    if !spelled.is_empty() {
        image = image.with(b'%').union(spell_image(&spelled));
    }
    image
}
