//! Operators that check which bytes a value is made of.

use super::CompileError;
use crate::byteset::ByteSet;
use crate::steps::{self, OutOfTime, STEP};

/// The bytes that `@validateByteRange` allows: `9,10,13,32-126`. An empty argument allows none.
pub(super) fn byte_ranges(argument: &str) -> Result<ByteSet, CompileError> {
    let mut allowed = ByteSet::EMPTY;
    let mut start = 0;
    for part in argument.split(',') {
        let at = start..start + part.len();
        start = at.end + 1;
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let byte = |text: &str| text.trim().parse::<u8>().ok();
        match (byte(first), byte(last)) {
            (Some(first), Some(last)) if first <= last => {
                allowed = allowed.union(ByteSet::range(first, last));
            }
            _ => {
                return Err(CompileError {
                    message: format!("{part:?} is no byte from 0 to 255 and no range of them"),
                    help: Some("write it like 9,10,13,32-126".to_owned()),
                    at: Some(at),
                });
            }
        }
    }
    Ok(allowed)
}

/// `@validateByteRange`: whether any byte is forbidden.
///
/// # Errors
/// There is no time left.
pub fn has_any(forbidden: &ByteSet, value: &[u8]) -> Result<bool, OutOfTime> {
    Ok(first_of(forbidden, value)?.is_some())
}

/// The place of the first byte of this set.
///
/// # Errors
/// There is no time left.
pub(super) fn first_of(set: &ByteSet, value: &[u8]) -> Result<Option<usize>, OutOfTime> {
    for (number, piece) in value.chunks(STEP).enumerate() {
        steps::work(piece.len())?;
        if let Some(at) = piece.iter().position(|&b| set.contains(b)) {
            return Ok(Some(number * STEP + at));
        }
    }
    Ok(None)
}

/// `@validateUrlEncoding`: whether a `%` is not followed by two hexadecimal digits.
///
/// # Errors
/// There is no time left.
pub fn is_invalid_url_encoding(value: &[u8]) -> Result<bool, OutOfTime> {
    Ok(first_invalid_escape(value)?.is_some())
}

/// The place of the first such `%`.
///
/// # Errors
/// There is no time left.
pub(super) fn first_invalid_escape(value: &[u8]) -> Result<Option<usize>, OutOfTime> {
    let is_invalid = |i: usize| !matches!(value.get(i + 1..i + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    for (number, piece) in value.chunks(STEP).enumerate() {
        steps::work(piece.len())?;
        // The digits are looked up in the whole value: an escape may straddle two pieces.
        let mut places = memchr::memchr_iter(b'%', piece).map(|at| number * STEP + at);
        if let Some(at) = places.find(|&at| is_invalid(at)) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// `@validateUtf8Encoding`: whether the value is not UTF-8 (RFC 3629: overlong forms, surrogates and what is
/// above U+10FFFF are not).
#[must_use]
pub fn is_invalid_utf8(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        let allowed = byte_ranges("9, 32-34 ,255").unwrap();
        assert_eq!(allowed, ByteSet::of(b"\t !\"\xff"));
        assert_eq!(byte_ranges("").unwrap(), ByteSet::EMPTY);
        for (argument, at) in [("1,256", 2..5), ("5-4", 0..3), ("a", 0..1), ("1,-3", 2..4)] {
            assert_eq!(
                byte_ranges(argument).unwrap_err().at,
                Some(at),
                "{argument}"
            );
        }
    }

    #[test]
    fn percent_needs_two_digits() {
        for (value, invalid) in [
            ("", false),
            ("%41%zz", true),
            ("%4", true),
            ("%", true),
            ("%%41", true),
            ("a%fFb", false),
        ] {
            assert_eq!(
                is_invalid_url_encoding(value.as_bytes()),
                Ok(invalid),
                "{value}"
            );
        }
    }
}
