//! `application/x-www-form-urlencoded`, in a body or in a query string.
//!
//! As ModSecurity v2 reads it, nothing is refused: a malformed `%` stays as it is and is reported; a piece without `=`
//! is a name with an empty value; an empty piece between two separators is an argument with an empty name and value.
//! The work is linear, and buffers are reused for all arguments.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::{Sink, hex_value, work};
use crate::steps::{self, STEP};

/// What [`parse`] found besides the arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `URLENCODED_ERROR`: a `%` without two hexadecimal digits after it.
    pub invalid_encoding: bool,
    /// There were more arguments than the limit (`SecArgumentsLimit`); the rest was not read.
    pub truncated: bool,
}

/// Gives every argument of `input` to `sink`, decoded, in order.
///
/// `separator` is `SecArgumentSeparator`, usually `&`. After `limit_arguments` arguments it stops and
/// says so.
pub fn parse(input: &[u8], separator: u8, limit_arguments: usize, sink: &mut Sink<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut name_buffer = Vec::new();
    let mut value_buffer = Vec::new();
    let mut count = 0;
    let mut rest = input;
    // A separator at the very end closes the argument before it and begins none.
    while !rest.is_empty() {
        // Before the piece is decoded: beyond the limit a client gets no work done.
        if count == limit_arguments {
            outcome.truncated = true;
            break;
        }
        let end = memchr::memchr(separator, rest);
        let (piece, after) = match end {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &[][..]),
        };
        work::add(piece.len() + 1);
        if work::is_over() {
            break;
        }
        let (name, value) = split_once(piece, b'=');
        let name = decode(name, &mut name_buffer, &mut outcome.invalid_encoding);
        let value = decode(value, &mut value_buffer, &mut outcome.invalid_encoding);
        sink(name, value);
        count += 1;
        rest = after;
    }
    outcome
}

/// `piece` up to its first `mark`, and what follows it; nothing if there is no mark.
pub(super) fn split_once(piece: &[u8], mark: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(mark, piece) {
        Some(at) => (&piece[..at], &piece[at + 1..]),
        None => (piece, &[]),
    }
}

/// `raw` itself if nothing is encoded, otherwise its decoded form in `buffer`.
pub(crate) fn decode<'b>(raw: &'b [u8], buffer: &'b mut Vec<u8>, invalid: &mut bool) -> &'b [u8] {
    if memchr::memchr2(b'%', b'+', raw).is_none() {
        return raw;
    }
    buffer.clear();
    let mut rest = raw;
    let mut next_look = STEP;
    while !rest.is_empty() {
        // One argument may be as long as the body, so the time is checked within it too.
        if buffer.len() >= next_look {
            next_look = buffer.len() + STEP;
            if steps::work(STEP).is_err() {
                break;
            }
        }
        // No further than a step, so that text without escapes asks for the time too.
        let near = &rest[..rest.len().min(STEP)];
        let plain = memchr::memchr(b'%', near).unwrap_or(near.len());
        // All at once: most bytes stand for themselves.
        buffer.extend(
            near[..plain]
                .iter()
                .map(|&b| if b == b'+' { b' ' } else { b }),
        );
        rest = &rest[plain..];
        if let [b'%', after @ ..] = rest {
            let byte = escaped(after);
            *invalid |= byte.is_none();
            buffer.push(byte.unwrap_or(b'%'));
            rest = if byte.is_some() { &after[2..] } else { after };
        }
    }
    buffer
}

/// The byte that the first two bytes give in hexadecimal. If it is Some, there are two bytes, so that the caller can
/// skip them.
fn escaped(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    Some(hex_value(*high)? << 4 | hex_value(*low)?)
}

#[cfg(test)]
mod tests {
    use super::super::mutate::mutations;
    use super::*;

    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    fn collect(input: &[u8], separator: u8, limit: usize) -> (Pairs, Outcome) {
        let mut pairs = Pairs::new();
        let outcome = parse(input, separator, limit, &mut |n, v| {
            pairs.push((n.to_vec(), v.to_vec()));
        });
        (pairs, outcome)
    }

    #[test]
    fn reads_arguments_as_modsecurity_does() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], bool);
        let cases: &[Case] = &[
            ("", &[], false),
            ("a=1", &[("a", "1")], false),
            ("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")], false),
            ("a", &[("a", "")], false),
            ("a=", &[("a", "")], false),
            ("a&b", &[("a", ""), ("b", "")], false),
            ("a=b=c", &[("a", "b=c")], false),
            ("=x", &[("", "x")], false),
            ("=", &[("", "")], false),
            ("&", &[("", "")], false),
            ("a=1&", &[("a", "1")], false),
            ("a=1&&b", &[("a", "1"), ("", ""), ("b", "")], false),
            ("a+b=c+d", &[("a b", "c d")], false),
            ("%61%3D=%26%2b", &[("a=", "&+")], false),
            ("a=%", &[("a", "%")], true),
            ("a=%4", &[("a", "%4")], true),
            ("a=%zz%41", &[("a", "%zzA")], true),
            ("%=1", &[("%", "1")], true),
            ("a=%25%", &[("a", "%%")], true),
            ("a=%%41", &[("a", "%A")], true),
            ("a=1;b=2", &[("a", "1;b=2")], false),
        ];
        for (input, expected, invalid) in cases {
            let (pairs, outcome) = collect(input.as_bytes(), b'&', 100);
            let expected: Pairs = expected
                .iter()
                .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
                .collect();
            assert_eq!(pairs, expected, "{input}");
            assert_eq!(outcome.invalid_encoding, *invalid, "{input}");
            assert!(!outcome.truncated, "{input}");
        }
    }

    #[test]
    fn keeps_every_byte_that_is_not_text() {
        let (pairs, _) = collect(b"\xff=%00%ff\x80", b'&', 9);
        assert_eq!(pairs, [(b"\xff".to_vec(), b"\x00\xff\x80".to_vec())]);
    }

    #[test]
    fn splits_at_the_separator_it_is_given() {
        let (pairs, _) = collect(b"a=1;b=2&3", b';', 9);
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[1].1, b"2&3");
    }

    #[test]
    fn says_that_there_were_more_arguments_than_the_limit() {
        for (input, limit, count, truncated) in [
            ("a&b", 2, 2, false),
            ("a&b&", 2, 2, false),
            ("a&b&c", 2, 2, true),
            ("a", 0, 0, true),
            ("", 0, 0, false),
        ] {
            let (pairs, outcome) = collect(input.as_bytes(), b'&', limit);
            assert_eq!(
                (pairs.len(), outcome.truncated),
                (count, truncated),
                "{input}"
            );
        }
    }

    #[test]
    fn work_is_linear() {
        for unit in ["&", "=", "%", "a=%4&", "+=&"] {
            work::assert_linear("", unit, 2, |body| {
                parse(body, b'&', usize::MAX, &mut |_, _| {});
            });
        }
    }

    #[test]
    fn hostile_input_gives_no_more_than_it_holds() {
        for unit in [&b"&"[..], b"=", b"%", b"+", b"a=%4&", b"%41%"] {
            let input = unit.repeat((4 << 20) / unit.len());
            let (mut calls, mut bytes) = (0, 0);
            parse(&input, b'&', usize::MAX, &mut |n, v| {
                calls += 1;
                bytes += n.len() + v.len();
            });
            assert!(calls <= input.len() && bytes <= input.len(), "{unit:?}");
        }
    }

    #[test]
    fn mutations_never_grow() {
        mutations(
            &[b"a=1&b=%41+x&&c", b"%zz=%&=&x=y=z&%41%42=+"],
            &[b"&", b"=", b"%", b"%4", b"+", b"\0", b"\xff"],
            20_000,
            |input| {
                let mut bytes = 0;
                let mut calls = 0;
                parse(input, b'&', 64, &mut |n, v| {
                    calls += 1;
                    bytes += n.len() + v.len();
                });
                assert!(bytes <= input.len() && calls <= 64);
            },
        );
    }
}
