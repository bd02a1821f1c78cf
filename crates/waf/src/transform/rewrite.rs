//! The loop that most decoders share: copy up to a mark, then decide about the piece that begins there.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::work::look_at;
use crate::steps::{self, STEP};

/// What replaces the bytes from a mark on. The number is how many bytes of the input it replaces; at least 1.
pub(super) enum Piece {
    Byte(u8, usize),
    Nothing(usize),
    Same(usize),
}

/// `find` gives the place of the next mark in what is left; `decide` is called with what is left from that mark on,
/// which is never empty. Returns whether any piece was not [`Piece::Same`].
///
/// Linear, as long as `find` and `decide` look no further than a bounded distance past what they consume.
pub(super) fn rewrite(
    input: &[u8],
    out: &mut Vec<u8>,
    find: impl Fn(&[u8]) -> Option<usize>,
    decide: impl Fn(&[u8]) -> Piece,
) -> bool {
    let mut changed = false;
    // Bytes that stay but are not written yet: an input that does not change is never copied.
    let mut kept = input;
    let mut looked_at = 0;
    let is_long = input.len() > STEP;
    while let Some(at) = find(&kept[looked_at..]) {
        look_at(at + 1);
        if is_long && steps::work(at + 1).is_err() {
            break;
        }
        let mark = looked_at + at;
        let rest = &kept[mark..];
        let (byte, len) = match decide(rest) {
            Piece::Same(len) => {
                // At least one byte, or the loop would not end.
                looked_at = mark + len.clamp(1, rest.len());
                continue;
            }
            Piece::Byte(byte, len) => (Some(byte), len),
            Piece::Nothing(len) => (None, len),
        };
        changed = true;
        look_at(len);
        out.extend_from_slice(&kept[..mark]);
        out.extend(byte);
        kept = &rest[len.clamp(1, rest.len())..];
        looked_at = 0;
    }
    if changed {
        out.extend_from_slice(kept);
    }
    changed
}
