//! Decodes the content of a part (Content-Transfer-Encoding, RFC 2045, section 6) and names in other characters (RFC
//! 2047, RFC 8187).
//!
//! RFC 7578 (4.7) deprecates the first and forbids the second. Most servers know neither, and some decode them. So
//! rules see both: the bytes as they are, and decoded.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::super::{hex_value, work};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// The bytes are the text.
    Identity,
    Base64,
    QuotedPrintable,
    Unknown,
}

impl Coding {
    pub(super) fn of(value: &[u8]) -> Self {
        let is = |name: &str| value.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        if ["", "7bit", "8bit", "binary"].into_iter().any(is) {
            Self::Identity
        } else if is("base64") {
            Self::Base64
        } else if is("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Unknown
        }
    }

    /// Decodes the bytes as a reader does that skips what it does not understand. Also says whether there was nothing
    /// to skip.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
        match self {
            Self::Identity | Self::Unknown => None,
            Self::Base64 => Some(base64(bytes)),
            Self::QuotedPrintable => Some(quoted_printable(bytes)),
        }
    }
}

fn base64(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3 + 3);
    let (mut bits, mut count, mut padding, mut clean) = (0u32, 0u8, 0u8, true);
    for &byte in bytes {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding = padding.saturating_add(1);
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => {
                clean = false;
                continue;
            }
        };
        // Some readers go on after the padding, others stop.
        clean &= padding == 0;
        bits = bits << 6 | u32::from(digit);
        count += 1;
        if count == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    let expected = match count {
        0 => 0,
        // Six bits are no byte, so no padding makes a single digit right.
        1 => u8::MAX,
        rest => 4 - rest,
    };
    clean &= padding == expected;
    let whole = match count {
        2 => 1,
        3 => 2,
        _ => 0,
    };
    // As if digits of value zero followed, so that the whole bytes stand where those of a full group would.
    bits <<= 6 * u32::from(4 - count.min(4));
    out.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    (out, clean)
}

fn quoted_printable(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(bytes.len());
    let mut clean = true;
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        // Blanks may stand after a soft line break.
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t'));
        let blanks = blanks.count();
        rest = match (rest, &rest[blanks..]) {
            (_, [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => after,
            // A `=` at the very end is a soft line break whose line end the boundary has taken.
            (_, []) => &[],
            ([high, low, after @ ..], _) if hex_value(*high).is_some() => match hex_value(*low) {
                Some(value) => {
                    out.push(hex_value(*high).unwrap_or(0) << 4 | value);
                    after
                }
                None => kept(&mut out, &mut clean, rest),
            },
            _ => kept(&mut out, &mut clean, rest),
        };
    }
    out.extend_from_slice(rest);
    (out, clean)
}

/// An `=` that begins no escape stands for itself.
fn kept<'r>(out: &mut Vec<u8>, clean: &mut bool, rest: &'r [u8]) -> &'r [u8] {
    out.push(b'=');
    *clean = false;
    rest
}

/// RFC 8187's `charset'language'value`, in UTF-8; None if it is something else.
pub(super) fn extended(value: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = value.splitn(3, |&b| b == b'\'');
    let (charset, _language, text) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                plain.push(hex_value(*high)? << 4 | hex_value(*low)?);
                rest = after;
            }
            (b'%', _) => return None,
            _ => plain.push(byte),
        }
    }
    Some(to_utf8(charset)?(plain))
}

/// RFC 2047's `=?charset?B?...?=`, which .NET and mail libraries write into names; None if there is none.
pub(super) fn encoded_words(value: &[u8]) -> Option<Vec<u8>> {
    work::add(value.len());
    let mut ends = Ends::new(value);
    let mut out = Vec::new();
    let mut from = 0;
    let mut found = false;
    while let Some(at) = memchr::memmem::find(&value[from..], b"=?").map(|at| from + at) {
        let Some((word, after)) = encoded_word(value, at + 2, &mut ends) else {
            out.extend_from_slice(&value[from..at + 2]);
            from = at + 2;
            continue;
        };
        // Blanks between two encoded words are not part of the text (RFC 2047, 6.2).
        if !found || !value[from..at].iter().all(u8::is_ascii_whitespace) {
            out.extend_from_slice(&value[from..at]);
        }
        out.extend_from_slice(&word);
        from = after;
        found = true;
    }
    out.extend_from_slice(&value[from..]);
    found.then_some(out)
}

/// The word whose `=?` ends at `start`, and where its `?=` ends.
fn encoded_word(value: &[u8], start: usize, ends: &mut Ends<'_>) -> Option<(Vec<u8>, usize)> {
    let mut pieces = value[start..].splitn(3, |&b| b == b'?');
    let (charset, coding, text) = (pieces.next()?, pieces.next()?, pieces.next()?);
    // Looked at before the text, which would otherwise be decoded again for each `=?` in it.
    let to_utf8 = to_utf8(charset)?;
    let end = ends.next(value.len() - text.len())?;
    let word = &value[value.len() - text.len()..end];
    work::add(word.len());
    let plain = match coding {
        b"B" | b"b" => base64(word).0,
        b"Q" | b"q" => {
            let blanks: Vec<u8> = word
                .iter()
                // RFC 2047, section 4.2: an underscore is a blank.
                .map(|&b| if b == b'_' { b' ' } else { b })
                .collect();
            quoted_printable(&blanks).0
        }
        _ => return None,
    };
    Some((to_utf8(plain), end + 2))
}

/// Where `?=` stands in a value. Positions are asked for from the beginning to the end, so that each byte is searched
/// once.
struct Ends<'v> {
    value: &'v [u8],
    next: Option<usize>,
}

impl<'v> Ends<'v> {
    fn new(value: &'v [u8]) -> Self {
        Self {
            value,
            next: memchr::memmem::find(value, b"?="),
        }
    }

    /// The first one that does not stand before `from`.
    fn next(&mut self, from: usize) -> Option<usize> {
        if self.next.is_some_and(|at| at < from) {
            let found = memchr::memmem::find(&self.value[from..], b"?=");
            work::add(found.unwrap_or(self.value.len() - from));
            self.next = found.map(|at| from + at);
        }
        self.next
    }
}

/// How bytes of the charset become UTF-8; None if it is not known.
fn to_utf8(charset: &[u8]) -> Option<fn(Vec<u8>) -> Vec<u8>> {
    let is = |name: &str| charset.eq_ignore_ascii_case(name.as_bytes());
    if ["utf-8", "utf8", "us-ascii"].into_iter().any(is) {
        return Some(|text| text);
    }
    let latin1 = ["iso-8859-1", "latin1"].into_iter().any(is);
    latin1.then_some(|text| {
        // The first 256 code points of Unicode are the bytes of ISO 8859-1.
        let text: String = text.into_iter().map(char::from).collect();
        text.into_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_base64() {
        for (text, plain, clean) in [
            ("", "", true),
            ("MScgb3IgJzEnPScx", "1' or '1'='1", true),
            ("MScgb3Ig\r\nJzEnPScx\r\n", "1' or '1'='1", true),
            ("YQ==", "a", true),
            ("YWI=", "ab", true),
            ("YQ", "a", false),
            ("YQ=", "a", false),
            ("YWJj=", "abc", false),
            ("YQ==YQ==", "a", false),
            ("Y", "", false),
            ("Y-Q*==", "a", false),
        ] {
            let (found, is_clean) = Coding::Base64.decode(text.as_bytes()).unwrap();
            assert_eq!(is_clean, clean, "{text}");
            assert!(found.starts_with(plain.as_bytes()), "{text}: {found:?}");
            assert!(!clean || found == plain.as_bytes(), "{text}: {found:?}");
        }
    }

    #[test]
    fn undoes_quoted_printable() {
        for (text, plain, clean) in [
            ("", "", true),
            ("1=27 or =271=27=3D=271", "1' or '1'='1", true),
            ("a=\r\nb= \t\nc=", "abc", true),
            ("a=3d", "a=", true),
            ("a=3", "a=3", false),
            ("a=zz=41", "a=zzA", false),
            ("a=b", "a=b", false),
        ] {
            let found = Coding::QuotedPrintable.decode(text.as_bytes()).unwrap();
            assert_eq!(found, (plain.as_bytes().to_vec(), clean), "{text}");
        }
    }

    #[test]
    fn reads_names_in_other_characters() {
        for (text, plain) in [
            ("utf-8''report.pdf", Some("report.pdf")),
            ("UTF-8'en'%C3%A4.php", Some("ä.php")),
            ("iso-8859-1''%e4.php", Some("ä.php")),
            ("utf-7''x", None),
            ("report.pdf", None),
            ("utf-8''%4", None),
            ("utf-8''%zz", None),
        ] {
            let found = extended(text.as_bytes());
            assert_eq!(found.as_deref(), plain.map(str::as_bytes), "{text}");
        }
        for (text, plain) in [
            ("=?utf-8?B?c2hlbGwucGhw?=", Some("shell.php")),
            ("=?UTF-8?Q?a_b=2ephp?=", Some("a b.php")),
            ("x =?utf-8?b?YQ==?= =?utf-8?q?b?= y", Some("x ab y")),
            ("=?utf-7?B?YQ==?=", None),
            ("=?utf-8?B?YQ==", None),
            ("a=?b", None),
        ] {
            let found = encoded_words(text.as_bytes());
            assert_eq!(found.as_deref(), plain.map(str::as_bytes), "{text}");
        }
    }
    #[test]
    fn encoded_words_take_linear_work() {
        for start in ["", "?=", "=?utf-8?q?a?="] {
            for unit in [
                "=?x",
                "=?utf-8?b?x",
                "=?utf-8?z?x",
                "=?x?q?y?",
                "=?utf-8?q?a?=",
                "?",
                "=",
                "a",
            ] {
                work::assert_linear(start, unit, 3, |text| drop(encoded_words(text)));
            }
        }
    }
}
