//! Escapes: what follows a backslash.
//!
//! An escape without a meaning in PCRE is an error: a typing mistake must not become a literal that never matches.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::{SyntaxError, error};
use crate::byteset::ByteSet;

pub(super) enum Escape {
    Byte(u8),
    Set(ByteSet),
    /// `\A`; `\G` too, as a search always begins at the value's start.
    Start,
    /// `\z`
    End,
    /// `\Z`
    EndOrFinalNewline,
    WordBoundary,
    NotWordBoundary,
    /// `\R`
    LineEnd,
    /// `\K`
    KeepOut,
    /// `\Q`
    Quote,
    /// `\E` without a `\Q`
    Nothing,
    Reference(usize),
    /// `\g{-n}`: the n-th group before it.
    Back(usize),
    Name(Vec<u8>),
}

pub(super) const DIGIT: ByteSet = ByteSet::range(b'0', b'9');
pub(super) const WORD: ByteSet = DIGIT
    .union(ByteSet::range(b'a', b'z'))
    .union(ByteSet::range(b'A', b'Z'))
    .with(b'_');
pub(super) const SPACE: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r");
const BLANK: ByteSet = ByteSet::of(b" \t\xa0");
const VERTICAL: ByteSet = ByteSet::of(b"\n\x0b\x0c\r\x85");

/// Reads the escape whose backslash stands right before `at`. `groups` have been opened before it.
pub(super) fn parse(pattern: &[u8], at: &mut usize, groups: usize) -> Result<Escape, SyntaxError> {
    let start = *at - 1;
    let Some(&byte) = pattern.get(*at) else {
        return Err(error("a backslash at the end escapes nothing", start..*at));
    };
    // The shorthands mean the same within classes.
    if let Some(set) = shorthand(byte) {
        *at += 1;
        return Ok(Escape::Set(set));
    }
    *at += 1;
    let escape = match byte {
        b'A' | b'G' => Escape::Start,
        b'z' => Escape::End,
        b'Z' => Escape::EndOrFinalNewline,
        b'b' => Escape::WordBoundary,
        b'B' => Escape::NotWordBoundary,
        b'R' => Escape::LineEnd,
        b'K' => Escape::KeepOut,
        b'Q' => Escape::Quote,
        b'E' => Escape::Nothing,
        // Never a newline, whatever `(?s)` says.
        b'N' => Escape::Set(ByteSet::of(b"\n").complement()),
        b'C' => Escape::Set(ByteSet::ALL),
        b'g' => group_reference(pattern, at, start)?,
        b'k' => Escape::Name(delimited(pattern, at, start)?),
        b'1'..=b'9' => reference_or_octal(pattern, at, groups),
        _ => {
            *at -= 1;
            Escape::Byte(single_byte(pattern, at)?)
        }
    };
    Ok(escape)
}

/// `\d`, `\W` and their like.
pub(super) fn shorthand(byte: u8) -> Option<ByteSet> {
    let set = match byte.to_ascii_lowercase() {
        b'd' => DIGIT,
        b'w' => WORD,
        b's' => SPACE,
        // Without UTF mode PCRE counts 0xA0 as a blank and 0x85 as a line end all the same (`pcre2pattern(3)`).
        b'h' => BLANK,
        b'v' => VERTICAL,
        _ => return None,
    };
    Some(if byte.is_ascii_uppercase() {
        set.complement()
    } else {
        set
    })
}

/// An escape that means one byte, inside and outside of classes. `at` is at the byte after the backslash.
pub(super) fn single_byte(pattern: &[u8], at: &mut usize) -> Result<u8, SyntaxError> {
    let start = at.saturating_sub(1);
    let Some(&byte) = pattern.get(*at) else {
        return Err(error("a backslash at the end escapes nothing", start..*at));
    };
    *at += 1;
    Ok(match byte {
        b'a' => 0x07,
        b'e' => 0x1b,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'x' if pattern.get(*at) == Some(&b'{') => braced(pattern, at, start, 16)?,
        // In PCRE, `\x` without digits is NUL.
        b'x' => digits(pattern, at, 16, 2),
        b'o' if pattern.get(*at) == Some(&b'{') => braced(pattern, at, start, 8)?,
        b'0' => digits(pattern, at, 8, 2),
        b'1'..=b'7' => {
            *at -= 1;
            digits(pattern, at, 8, 3)
        }
        // No octal digits: PCRE takes them literally.
        b'8' | b'9' => byte,
        b'c' => match pattern.get(*at) {
            Some(c @ b' '..=b'~') => {
                *at += 1;
                // `\ca` and `\cA` are the same control character.
                c.to_ascii_uppercase() ^ 0x40
            }
            _ => {
                return Err(error(
                    "\\c must be followed by a printable character",
                    start..*at,
                ));
            }
        },
        b'p' | b'P' | b'X' => {
            return Err(error(
                "Unicode properties are not supported: values are bytes",
                start..*at,
            ));
        }
        _ if byte.is_ascii_alphabetic() => {
            return Err(error("PCRE knows no such escape", start..*at));
        }
        _ => byte,
    })
}

/// Up to `most` digits. As in PCRE, no digits are 0, and a number above 255 loses its high bits.
fn digits(pattern: &[u8], at: &mut usize, radix: u32, most: usize) -> u8 {
    let mut value = 0u32;
    for _ in 0..most {
        let Some(digit) = pattern
            .get(*at)
            .and_then(|&b| char::from(b).to_digit(radix))
        else {
            break;
        };
        value = value * radix + digit;
        *at += 1;
    }
    (value & 0xff) as u8
}

/// `{ff}` after `\x`, `{377}` after `\o`.
fn braced(pattern: &[u8], at: &mut usize, start: usize, radix: u32) -> Result<u8, SyntaxError> {
    let rest = pattern.get(*at + 1..).unwrap_or_default();
    let Some(length) = memchr::memchr(b'}', rest) else {
        return Err(error("this escape's brace is never closed", start..*at + 1));
    };
    let end = *at + length + 2;
    let number = std::str::from_utf8(&rest[..length])
        .ok()
        // `from_str_radix` would accept a sign.
        .filter(|text| !text.starts_with('+'))
        .and_then(|text| u32::from_str_radix(text, radix).ok());
    *at = end;
    match number.map(u8::try_from) {
        Some(Ok(byte)) => Ok(byte),
        Some(Err(_)) => Err(error(
            "characters above \\xff do not exist: values are bytes",
            start..end,
        )),
        None => Err(error("this escape's number is not well formed", start..end)),
    }
}

/// As in PCRE, `\1` to `\9` refer to groups. So do longer numbers if there are that many groups before them; otherwise
/// they are octal.
fn reference_or_octal(pattern: &[u8], at: &mut usize, groups: usize) -> Escape {
    let from = *at - 1;
    let mut end = *at;
    while end < pattern.len() && end - from < 4 && pattern[end].is_ascii_digit() {
        end += 1;
    }
    let number = pattern[from..end]
        .iter()
        .fold(0usize, |n, b| n * 10 + usize::from(b - b'0'));
    if number < 10 || number <= groups {
        *at = end;
        return Escape::Reference(number);
    }
    if pattern[from] >= b'8' {
        return Escape::Byte(pattern[from]);
    }
    *at = from;
    Escape::Byte(digits(pattern, at, 8, 3))
}

/// `\g1`, `\g{1}`, `\g{-1}`, `\g{name}`.
fn group_reference(pattern: &[u8], at: &mut usize, start: usize) -> Result<Escape, SyntaxError> {
    let inside = match pattern.get(*at) {
        Some(b'{') => delimited(pattern, at, start)?,
        Some(b'<' | b'\'') => {
            return Err(error("subroutine calls are not supported", start..*at + 1));
        }
        _ => {
            let from = *at;
            *at += usize::from(pattern.get(*at) == Some(&b'-'));
            while pattern.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            pattern[from..*at].to_vec()
        }
    };
    let text = String::from_utf8_lossy(&inside);
    let relative = text.strip_prefix('-');
    match relative.unwrap_or(&text).parse::<usize>() {
        Ok(0) => Err(error("there is no such group to refer to", start..*at)),
        Ok(number) if relative.is_some() => Ok(Escape::Back(number)),
        Ok(number) => Ok(Escape::Reference(number)),
        Err(_) if relative.is_none() && !inside.is_empty() => Ok(Escape::Name(inside)),
        Err(_) => Err(error("this reference is not well formed", start..*at)),
    }
}

/// The text within `{}`, `<>` or `''`.
fn delimited(pattern: &[u8], at: &mut usize, start: usize) -> Result<Vec<u8>, SyntaxError> {
    let end = match pattern.get(*at) {
        Some(b'{') => b'}',
        Some(b'<') => b'>',
        Some(b'\'') => b'\'',
        _ => return Err(error("this reference is not well formed", start..*at)),
    };
    let from = *at + 1;
    let Some(length) = memchr::memchr(end, &pattern[from..]) else {
        return Err(error("this reference is never closed", start..from));
    };
    *at = from + length + 1;
    Ok(pattern[from..from + length].to_vec())
}
