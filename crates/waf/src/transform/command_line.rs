//! `cmdLine`: undoes what a Windows or Unix shell ignores in a command.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::case::LOWER;
use super::{table, without};
use crate::byteset::ByteSet;
use crate::steps::{self, STEP};

pub(super) const DELETED: ByteSet = ByteSet::of(b"\"'\\^");
const BLANKS: ByteSet = ByteSet::of(b" ,;\t\r\n");
/// Blanks before these are removed.
const TIGHT: ByteSet = ByteSet::of(b"/(");

pub(super) const TRIGGERS: ByteSet = DELETED.union(BLANKS).union(ByteSet::range(b'A', b'Z'));

/// v2 stops at the first NUL, which hides what follows it; like v3, this does not. v2 always reports a change.
pub(super) fn apply(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(start) = first_change(input) else {
        return false;
    };
    let (same, rest) = input.split_at(start);
    out.extend_from_slice(same);
    out.reserve(rest.len());
    let mut blank = false;
    for piece in rest.chunks(STEP) {
        if steps::work(piece.len()).is_err() {
            break;
        }
        blank = compress(piece, blank, out);
    }
    true
}

/// Does one piece. `blank` says whether the piece before ended in a blank.
fn compress(piece: &[u8], mut blank: bool, out: &mut Vec<u8>) -> bool {
    for &byte in piece {
        match ROLES[usize::from(byte)] {
            Role::Other => {}
            // `blank` keeps its value: in `a ^ b` the two blanks are one run once the `^` is gone.
            Role::Deleted => continue,
            Role::Blank => {
                if !blank {
                    out.push(b' ');
                }
                blank = true;
                continue;
            }
            Role::Tight => {
                if blank {
                    // The blank was written last, perhaps with the piece before.
                    out.pop();
                }
            }
        }
        blank = false;
        out.push(LOWER[usize::from(byte)]);
    }
    blank
}

#[derive(Clone, Copy)]
enum Role {
    Other,
    Deleted,
    Blank,
    Tight,
}

/// The sets above, for one look at each byte.
static ROLES: [Role; 256] = {
    let mut roles = [Role::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        // Below 256.
        #[allow(clippy::cast_possible_truncation)]
        let own = byte as u8;
        if DELETED.contains(own) {
            roles[byte] = Role::Deleted;
        } else if BLANKS.contains(own) {
            roles[byte] = Role::Blank;
        } else if TIGHT.contains(own) {
            roles[byte] = Role::Tight;
        }
        byte += 1;
    }
    roles
};

/// Where the first byte stands that changes, or the space before it, which the byte may remove.
fn first_change(input: &[u8]) -> Option<usize> {
    let mut after_space = false;
    let changes = |&byte: &u8| {
        let stays_blank = byte == b' ' && !after_space;
        let changes =
            TRIGGERS.contains(byte) && !stays_blank || after_space && TIGHT.contains(byte);
        after_space = byte == b' ';
        changes
    };
    let at = input.iter().position(changes)?;
    let space = at > 0 && input[at - 1] == b' ';
    Some(at - usize::from(space))
}

pub(super) fn image(present: &ByteSet) -> ByteSet {
    // Of all blanks only the space is ever written.
    let kept = without(&present.intersection(DELETED.complement()), b",;\t\r\n");
    let image = table::image(&LOWER, &kept);
    if present.intersects(&BLANKS) {
        image.with(b' ')
    } else {
        image
    }
}
