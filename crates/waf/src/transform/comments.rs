//! `replaceComments`, `removeComments` and `removeCommentsChar`.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use memchr::{memchr_iter, memchr2};

use super::rewrite::{Piece, rewrite};
use super::without;
use super::work::look_at;
use crate::byteset::ByteSet;

pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(
        input,
        out,
        |rest| find_pair(rest, *b"/*"),
        |rest| {
            // From behind the opening mark, because `/*/` does not close itself.
            let end = rest.get(2..).and_then(|inside| find_pair(inside, *b"*/"));
            Piece::Byte(b' ', end.map_or(rest.len(), |end| end + 4))
        },
    )
}

/// Where the two bytes first stand side by side. Searches for the second: of `/*` that is the rarer one.
fn find_pair(bytes: &[u8], [first, second]: [u8; 2]) -> Option<usize> {
    let found = memchr_iter(second, bytes).find_map(|at| {
        let before = at.checked_sub(1)?;
        (bytes[before] == first).then_some(before)
    });
    look_at(found.unwrap_or(bytes.len()));
    found
}

pub(super) fn replace_image(present: &ByteSet) -> ByteSet {
    if present.contains(b'/') && present.contains(b'*') {
        present.with(b' ')
    } else {
        *present
    }
}

/// A mark that begins or ends a comment.
enum Mark {
    Open(usize),
    Close(usize),
    /// `--` or `#`: the rest of the value is a comment.
    Line(usize),
}

/// The mark at the start of `rest`.
fn mark(rest: &[u8]) -> Option<Mark> {
    match rest {
        [b'/', b'*', ..] => Some(Mark::Open(2)),
        [b'*', b'/', ..] => Some(Mark::Close(2)),
        [b'<', b'!', b'-', b'-', ..] => Some(Mark::Open(4)),
        [b'-', b'-', b'>', ..] => Some(Mark::Close(3)),
        [b'-', b'-', ..] => Some(Mark::Line(2)),
        [b'#', ..] => Some(Mark::Line(1)),
        _ => None,
    }
}

fn find_mark(rest: &[u8]) -> Option<usize> {
    rest.iter()
        .position(|b| matches!(b, b'/' | b'*' | b'<' | b'-' | b'#'))
}

pub(super) fn remove_marks(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, find_mark, |rest| match mark(rest) {
        Some(Mark::Open(len) | Mark::Close(len) | Mark::Line(len)) => Piece::Nothing(len),
        None => Piece::Same(1),
    })
}

/// As v2: either end closes either kind of comment; the byte after a comment is copied without a look, and if there is
/// none, it is a NUL; an unterminated comment becomes a space.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, find_mark, |rest| match mark(rest) {
        Some(Mark::Open(open)) => match comment_len(rest, open) {
            Some(len) => Piece::Byte(rest.get(len).copied().unwrap_or(0), len + 1),
            None => Piece::Byte(b' ', rest.len()),
        },
        // Outside of a comment `-->` is `--` for v2, which ends the value.
        Some(Mark::Close(3) | Mark::Line(_)) => Piece::Nothing(rest.len()),
        Some(Mark::Close(_)) | None => Piece::Same(1),
    })
}

/// How long the comment at the start of `rest` is, with its marks; `None` where it has no end.
fn comment_len(rest: &[u8], open: usize) -> Option<usize> {
    let mut at = open;
    loop {
        let found = memchr2(b'*', b'-', rest.get(at..)?);
        look_at(found.map_or(rest.len() - at, |found| found + 1));
        at += found?;
        if let Some(Mark::Close(close)) = mark(&rest[at..]) {
            return Some(at + close);
        }
        at += 1;
    }
}

pub(super) fn remove_image(present: &ByteSet) -> ByteSet {
    let image = without(present, b"#");
    // Without both bytes of `/*`, or those of `<!--`, no comment can begin, and nothing is written that was not there.
    let slash_star = present.contains(b'/') && present.contains(b'*');
    let html = present.contains(b'<') && present.contains(b'!') && present.contains(b'-');
    if slash_star || html {
        // The byte after a comment stays, even if it begins another comment.
        present.with(b' ').with(0)
    } else {
        image
    }
}
