//! `normalizePath` and `normalizePathWin`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use memchr::memrchr;

use super::without;
use super::work::look_at;
use crate::byteset::ByteSet;
use crate::steps::{self, STEP};

/// What separates the segments of a path.
#[derive(Clone, Copy)]
pub(super) enum Separators {
    Slash,
    /// Slashes, and backslashes that become slashes.
    Both,
}

/// Removes empty segments and `.`; `..` removes the segment before it. Nothing goes above the root of an absolute path;
/// what goes above the start of a relative path stays, in front. A final slash stays if there was one.
///
/// v2 errs if a name ends in dots (`/etc/passwd..` becomes `/etc`), if a relative path goes above its start a second
/// time (`../a/../..` becomes nothing), and with a backslash after several slashes, which it leaves. This does not.
pub(super) fn normalize(input: &[u8], out: &mut Vec<u8>, separators: Separators) -> bool {
    if is_normal(input, separators) {
        return false;
    }
    let absolute = starts_at_root(input, separators);
    if absolute {
        out.push(b'/');
    }
    // A back reference never removes what is before `floor`: the root, or the back references with which a relative
    // path begins.
    let mut floor = out.len();
    let is_long = input.len() > STEP;
    for segment in segments(input, separators) {
        if is_long && steps::work(segment.len() + 1).is_err() {
            break;
        }
        match segment {
            b"" | b"." => {}
            b".." if out.len() > floor => {
                let before = out.len();
                // Without the slash that ends the segment itself.
                let parent = memrchr(b'/', &out[floor..before - 1]);
                out.truncate(floor + parent.map_or(0, |slash| slash + 1));
                look_at(before - out.len());
            }
            b".." if absolute => {}
            b".." => {
                out.extend_from_slice(b"../");
                floor = out.len();
            }
            name => {
                out.extend_from_slice(name);
                out.push(b'/');
            }
        }
    }
    let trailing = input.last().is_some_and(|&b| separators.contain(b));
    if !trailing && out.last() == Some(&b'/') {
        out.pop();
    }
    true
}

/// Whether the path is normal already. Most are, and then nothing is copied.
fn is_normal(input: &[u8], separators: Separators) -> bool {
    let absolute = starts_at_root(input, separators);
    let mut parents = !absolute;
    let mut left = segments(input, separators).enumerate().peekable();
    let is_long = input.len() > STEP;
    while let Some((i, segment)) = left.next() {
        if is_long && steps::work(segment.len() + 1).is_err() {
            break;
        }
        let normal = match segment {
            b"" => (absolute && i == 0) || left.peek().is_none(),
            b"." => false,
            b".." => parents,
            _ => {
                parents = false;
                true
            }
        };
        if !normal {
            return false;
        }
    }
    match separators {
        Separators::Slash => true,
        Separators::Both => memchr::memchr(b'\\', input).is_none(),
    }
}

fn starts_at_root(input: &[u8], separators: Separators) -> bool {
    input.first().is_some_and(|&b| separators.contain(b))
}

fn segments(input: &[u8], separators: Separators) -> impl Iterator<Item = &[u8]> {
    input.split(move |&b| separators.contain(b))
}

impl Separators {
    fn contain(self, byte: u8) -> bool {
        byte == b'/' || (byte == b'\\' && matches!(self, Self::Both))
    }
}

pub(super) fn image_win(present: &ByteSet) -> ByteSet {
    if present.contains(b'\\') {
        without(present, b"\\").with(b'/')
    } else {
        *present
    }
}
