//! Character classes: read as PCRE reads them, written as a plain set of bytes, in which no engine sees any syntax.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::fmt::Write as _;

use super::escape::{self, DIGIT, SPACE, WORD};
use super::{SyntaxError, error};
use crate::byteset::ByteSet;

/// One member of a class.
enum Member {
    Byte(u8),
    /// It cannot be the end of a range.
    Set(ByteSet),
    Nothing,
}

/// Reads the class whose bracket stands right before `at`.
pub(super) fn parse(
    pattern: &[u8],
    at: &mut usize,
    ignore_case: bool,
) -> Result<ByteSet, SyntaxError> {
    let start = *at - 1;
    let mut set = ByteSet::EMPTY;
    let negated = pattern.get(*at) == Some(&b'^');
    *at += usize::from(negated);
    let first = *at;
    let mut quoted = false;
    loop {
        let Some(&byte) = pattern.get(*at) else {
            return Err(error("this class is never closed", start..start + 1));
        };
        // A bracket right after `[` or `[^` is a member.
        if byte == b']' && *at > first && !quoted {
            *at += 1;
            break;
        }
        let from = *at;
        let low = match member(pattern, at, &mut quoted)? {
            Member::Byte(byte) => byte,
            Member::Set(more) => {
                set = set.union(more);
                continue;
            }
            Member::Nothing => continue,
        };
        set.insert(low);
        // A hyphen before the closing bracket is itself.
        let dash = !quoted
            && pattern.get(*at) == Some(&b'-')
            && pattern.get(*at + 1).is_some_and(|&b| b != b']');
        if !dash {
            continue;
        }
        *at += 1;
        match member(pattern, at, &mut quoted)? {
            Member::Byte(high) if high < low => {
                return Err(error("this range is out of order", from..*at));
            }
            Member::Byte(high) => set = set.union(ByteSet::range(low, high)),
            // `[a-\d]`: the hyphen is itself.
            Member::Set(more) => set = set.union(more).with(b'-'),
            Member::Nothing => set.insert(b'-'),
        }
    }
    // Before the negation: `(?i)[^a]` excludes `A` too.
    if ignore_case {
        set = fold(set);
    }
    Ok(if negated { set.complement() } else { set })
}

/// The class in the syntax of the `regex` crate.
pub(super) fn render(set: &ByteSet) -> String {
    if *set == ByteSet::EMPTY {
        // `[]` would be an error.
        return "[^\\x00-\\xff]".to_owned();
    }
    let mut out = String::from("[");
    let mut members = (u8::MIN..=u8::MAX)
        .filter(|&byte| set.contains(byte))
        .peekable();
    while let Some(first) = members.next() {
        let mut last = first;
        while let Some(next) = members.next_if(|&byte| Some(byte) == last.checked_add(1)) {
            last = next;
        }
        write_byte(&mut out, first);
        if last > first {
            out.push('-');
            write_byte(&mut out, last);
        }
    }
    out.push(']');
    out
}

fn write_byte(out: &mut String, byte: u8) {
    // Everything else could be syntax within a class for one of the two engines.
    if byte.is_ascii_alphanumeric() {
        out.push(char::from(byte));
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

fn fold(set: ByteSet) -> ByteSet {
    (b'a'..=b'z').fold(set, |folded, lower| {
        let upper = lower.to_ascii_uppercase();
        if set.contains(lower) || set.contains(upper) {
            folded.with(lower).with(upper)
        } else {
            folded
        }
    })
}

fn member(pattern: &[u8], at: &mut usize, quoted: &mut bool) -> Result<Member, SyntaxError> {
    let start = *at;
    let Some(&byte) = pattern.get(start) else {
        return Ok(Member::Nothing);
    };
    *at += 1;
    if byte == b'\\' && pattern.get(*at) == Some(&b'E') {
        *quoted = false;
        *at += 1;
        return Ok(Member::Nothing);
    }
    // After `\E` was looked for: it alone ends the quotation.
    if *quoted {
        return Ok(Member::Byte(byte));
    }
    if byte == b'[' {
        return posix(pattern, at, start);
    }
    if byte != b'\\' {
        return Ok(Member::Byte(byte));
    }
    match pattern.get(*at) {
        Some(b'Q') => {
            *quoted = true;
            *at += 1;
            Ok(Member::Nothing)
        }
        // Outside of a class `\b` is a word boundary, inside a backspace.
        Some(b'b') => {
            *at += 1;
            Ok(Member::Byte(0x08))
        }
        Some(&b) => match escape::shorthand(b) {
            Some(set) => {
                *at += 1;
                Ok(Member::Set(set))
            }
            None => escape::single_byte(pattern, at).map(Member::Byte),
        },
        None => Err(error("a backslash at the end escapes nothing", start..*at)),
    }
}

/// `[:alpha:]`, `[:^alpha:]`; a bracket that begins neither is itself.
fn posix(pattern: &[u8], at: &mut usize, start: usize) -> Result<Member, SyntaxError> {
    let rest = &pattern[*at..];
    let Some(&kind) = rest.first().filter(|b| matches!(b, b':' | b'.' | b'=')) else {
        return Ok(Member::Byte(b'['));
    };
    let name_length = rest[1..]
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'^')
        .count();
    let name = &rest[1..1 + name_length];
    if rest[1 + name_length..].first_chunk() != Some(&[kind, b']']) {
        return Ok(Member::Byte(b'['));
    }
    *at += name_length + 3;
    if kind != b':' {
        return Err(error("collating elements are not supported", start..*at));
    }
    let (negated, name) = match name.strip_prefix(b"^") {
        Some(name) => (true, name),
        None => (false, name),
    };
    let Some(set) = posix_set(name) else {
        return Err(error("there is no POSIX class of this name", start..*at));
    };
    Ok(Member::Set(if negated { set.complement() } else { set }))
}

fn posix_set(name: &[u8]) -> Option<ByteSet> {
    let lower = ByteSet::range(b'a', b'z');
    let upper = ByteSet::range(b'A', b'Z');
    let graph = ByteSet::range(b'!', b'~');
    let alnum = lower.union(upper).union(DIGIT);
    Some(match name {
        b"alpha" => lower.union(upper),
        b"lower" => lower,
        b"upper" => upper,
        b"alnum" => alnum,
        b"ascii" => ByteSet::range(0, 0x7f),
        b"blank" => ByteSet::of(b" \t"),
        b"cntrl" => ByteSet::range(0, 0x1f).with(0x7f),
        b"digit" => DIGIT,
        b"graph" => graph,
        b"print" => graph.with(b' '),
        b"punct" => graph.intersection(alnum.complement()),
        b"space" => SPACE,
        b"word" => WORD,
        b"xdigit" => DIGIT
            .union(ByteSet::range(b'a', b'f'))
            .union(ByteSet::range(b'A', b'F')),
        _ => return None,
    })
}
