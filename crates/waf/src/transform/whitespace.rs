//! `compressWhitespace`, `removeWhitespace`, `trim`, `trimLeft` and `trimRight`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::rewrite::{Piece, rewrite};
use super::work::look_at;
use crate::byteset::ByteSet;

/// What C's `isspace` says of ASCII.
pub(super) const SPACES: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r");

/// [`SPACES`] and Latin-1's no-break space.
pub(super) const BLANKS: ByteSet = SPACES.with(0xa0);

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, find_blank, |rest| {
        let run = rest
            .iter()
            .position(|&b| !BLANKS.contains(b))
            .unwrap_or(rest.len());
        match rest {
            // A single space stays, so that ordinary text is not copied.
            [b' ', ..] if run == 1 => Piece::Same(1),
            _ => Piece::Byte(b' ', run),
        }
    })
}

pub(super) fn compress_image(present: &ByteSet) -> ByteSet {
    let image = present.intersection(BLANKS.complement());
    if present.intersects(&BLANKS) {
        image.with(b' ')
    } else {
        image
    }
}

pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = find_blank(input) else {
        return false;
    };
    // Without a branch: every byte is written, and the next byte overwrites a blank.
    let start = out.len();
    out.extend_from_slice(input);
    let mut end = start + first;
    let (groups, rest) = input[first..].as_chunks::<8>();
    for group in groups {
        // As many bytes are left to read as there is room, so the group fits. One check of that serves eight bytes.
        let Some(place) = out[end..].first_chunk_mut::<8>() else {
            break;
        };
        let mut kept = 0;
        for &byte in group {
            // `kept` is below eight here; the mask only spares the check of it.
            place[kept & 7] = byte;
            kept += usize::from(IS_KEPT[usize::from(byte)]);
        }
        end += kept;
    }
    for &byte in rest {
        out[end] = byte;
        end += usize::from(IS_KEPT[usize::from(byte)]);
    }
    look_at(input.len());
    out.truncate(end);
    true
}

/// All bytes but [`BLANKS`], for one look at each.
static IS_KEPT: [bool; 256] = {
    let mut kept = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        // Below 256.
        #[allow(clippy::cast_possible_truncation)]
        let own = byte as u8;
        kept[byte] = !BLANKS.contains(own);
        byte += 1;
    }
    kept
};

fn find_blank(rest: &[u8]) -> Option<usize> {
    rest.iter().position(|&b| BLANKS.contains(b))
}

pub(super) fn trim(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(input, trimmed_right(trimmed_left(input)), out)
}

pub(super) fn trim_left(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(input, trimmed_left(input), out)
}

pub(super) fn trim_right(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(input, trimmed_right(input), out)
}

fn trimmed_left(input: &[u8]) -> &[u8] {
    // Not `BLANKS`: v2 trims by `isspace`, which does not count 0xA0 in the C locale.
    let start = input.iter().position(|&b| !SPACES.contains(b));
    &input[start.unwrap_or(input.len())..]
}

fn trimmed_right(input: &[u8]) -> &[u8] {
    let last = input.iter().rposition(|&b| !SPACES.contains(b));
    &input[..last.map_or(0, |last| last + 1)]
}

fn put(input: &[u8], trimmed: &[u8], out: &mut Vec<u8>) -> bool {
    if trimmed.len() == input.len() {
        return false;
    }
    out.extend_from_slice(trimmed);
    true
}
