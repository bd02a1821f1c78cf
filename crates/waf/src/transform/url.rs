//! `urlDecode`, `urlDecodeUni` and `urlEncode`.

use memchr::memchr2;

use super::hex::{narrow, pair, pair_image, quad, spell, spell_image};
use super::rewrite::{Piece, find_near, rewrite};
use super::unicode::UnicodeMap;
use super::without;
use crate::byteset::ByteSet;

/// What `urlEncode` leaves alone.
pub(super) const KEPT: ByteSet = ByteSet::of(b"*")
    .union(ByteSet::range(b'0', b'9'))
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'a', b'z'));

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, find_mark, plain)
}

/// An invalid `%u` stays, and what follows is not taken for its digits: `%u%41` is `%uA`, `%uu0041` stays.
pub(super) fn decode_uni(input: &[u8], out: &mut Vec<u8>, map: Option<&UnicodeMap>) -> bool {
    rewrite(input, out, find_mark, |rest| match rest {
        [b'%', b'u' | b'U', digits @ ..] => match quad(digits) {
            Some(unit) => {
                let mapped = map.and_then(|map| map.byte(unit));
                Piece::Byte(mapped.unwrap_or_else(|| narrow(unit)), 6)
            }
            None => Piece::Same(2),
        },
        _ => plain(rest),
    })
}

fn find_mark(rest: &[u8]) -> Option<usize> {
    find_near(
        rest,
        |b| b == b'%' || b == b'+',
        |far| memchr2(b'%', b'+', far),
    )
}

fn plain(rest: &[u8]) -> Piece {
    match rest {
        [b'+', ..] => Piece::Byte(b' ', 1),
        [_, digits @ ..] => pair(digits).map_or(Piece::Same(1), |byte| Piece::Byte(byte, 3)),
        [] => Piece::Same(0),
    }
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
