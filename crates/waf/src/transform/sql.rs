//! `sqlHexDecode`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use memchr::memchr;

use super::hex::{pair, pair_image};
use super::work::look_at;
use crate::byteset::ByteSet;
use crate::steps::{self, STEP};

/// `0x` and at least one pair of digits become the bytes that they spell. The byte after them never begins another
/// number. v2 stops at the first NUL of input or output; this does not.
pub(super) fn hex_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    // Not `rewrite`: there a piece becomes one byte at most, here it becomes many.
    let mut changed = false;
    let mut kept = input;
    let mut looked_at = 0;
    let is_long = input.len() > STEP;
    while let Some(at) = memchr(b'0', &kept[looked_at..]) {
        look_at(at + 1);
        if is_long && steps::work(at + 1).is_err() {
            break;
        }
        let mark = looked_at + at;
        let Some(digits) = literal(&kept[mark..]) else {
            looked_at = mark + 1;
            continue;
        };
        changed = true;
        out.extend_from_slice(&kept[..mark]);
        let spelled = digits.as_chunks::<2>().0.iter().map_while(|two| pair(two));
        let before = out.len();
        out.extend(spelled);
        kept = &digits[2 * (out.len() - before)..];
        looked_at = kept.len().min(1);
    }
    if changed {
        out.extend_from_slice(kept);
    }
    changed
}

/// What follows `0x`, if it begins with two digits.
fn literal(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [_, b'x' | b'X', digits @ ..] => pair(digits).map(|_| digits),
        _ => None,
    }
}

pub(super) fn hex_image(present: &ByteSet) -> ByteSet {
    if present.contains(b'0') && present.intersects(&ByteSet::of(b"xX")) {
        present.union(pair_image(present))
    } else {
        *present
    }
}
