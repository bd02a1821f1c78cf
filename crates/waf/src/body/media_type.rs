//! The parameters of a Content-Type (RFC 9110, 5.6.6 and 8.3.1).
//!
//! If two readers could find different parameters, the result is an error: the upstream may be the other reader.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::fmt;

use super::{excerpt, is_space};

/// Why it is not certain which charset a Content-Type names, or why text in it cannot be inspected. The client erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CharsetError {
    /// This Content-Type speaks of a charset, but its parameters break the grammar.
    Unreadable(String),
    /// This Content-Type names two charsets, and readers differ in which they take.
    Two(String),
    /// Text in this charset is not ASCII where it looks like ASCII, so no rule would find an attack in it.
    Unsupported(String),
}

/// The `charset` of a Content-Type, where it has one; an error where readers may find another, or none.
pub(crate) fn charset(content_type: &[u8]) -> Result<Option<&[u8]>, CharsetError> {
    let Some(end) = memchr::memchr(b';', content_type) else {
        return Ok(None);
    };
    let Ok(parameters) = parameters(&content_type[end..]) else {
        // `application/json; utf-8` is malformed, but no reader finds a charset in it.
        let lower = content_type.to_ascii_lowercase();
        return match memchr::memmem::find(&lower, b"charset") {
            None => Ok(None),
            Some(_) => Err(CharsetError::Unreadable(excerpt(content_type))),
        };
    };
    let mut found = None;
    for parameter in parameters {
        let name = parameter.name;
        if name.eq_ignore_ascii_case(b"charset") && !parameter.value.is_empty() {
            if found.is_some_and(|first: &[u8]| !first.eq_ignore_ascii_case(parameter.value)) {
                return Err(CharsetError::Two(excerpt(content_type)));
            }
            found = Some(parameter.value);
        }
    }
    Ok(found)
}

/// Whether ASCII characters are the same bytes in this charset as in ASCII: rules match ASCII only.
pub(crate) fn holds_ascii(charset: &[u8]) -> bool {
    // UTF-16, UTF-32, UTF-7, EBCDIC and ISO 2022 are missing on purpose. In some of those in the list an ASCII byte may
    // also end a character of two bytes; then rules see too much and never too little.
    const NAMES: [&str; 21] = [
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
        "latin1",
        "latin-1",
        "gb2312",
        "gbk",
        "gb18030",
        "big5",
        "big5-hkscs",
        "shift_jis",
        "shift-jis",
        "sjis",
        "windows-31j",
        "ms932",
        "tis-620",
        "macintosh",
        "euc-jp",
        "euc-kr",
        "euc-cn",
    ];
    const FAMILIES: [&str; 7] = [
        "iso-8859-",
        "iso_8859-",
        "iso8859-",
        "windows-125",
        "cp125",
        "koi8-",
        "x-mac-",
    ];
    let is = |name: &&str| charset.eq_ignore_ascii_case(name.as_bytes());
    let begins = |family: &&str| {
        let start = charset.get(..family.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(family.as_bytes()))
    };
    NAMES.iter().any(is) || FAMILIES.iter().any(begins)
}

impl fmt::Display for CharsetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => write!(f, "the parameters of {kind} cannot be read"),
            Self::Two(kind) => write!(f, "{kind} has two charsets"),
            Self::Unsupported(charset) => write!(f, "the charset {charset} is not read"),
        }
    }
}

impl std::error::Error for CharsetError {}

/// One parameter, where it stands and how it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter<'v> {
    pub(super) name: &'v [u8],
    /// Without the quotes, and with its escapes as they are.
    pub(super) value: &'v [u8],
    pub(super) quoted: bool,
    /// Blanks stand around `=` or after an unquoted value. Some readers take them for part of it.
    pub(super) blanks: bool,
    /// Where its name begins, and where its value ends, quote included.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Why parameters cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No `;` in front of a parameter, or no `=` in it.
    Malformed,
    /// A quote without the other, or with something after it.
    Quote,
}

/// The parameters that follow a media type. Empty ones are skipped.
pub(super) fn parameters(text: &[u8]) -> Result<Vec<Parameter<'_>>, Fault> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        at += blanks(&text[at..]);
        match text.get(at) {
            None => return Ok(found),
            Some(b';') => at += 1,
            Some(_) => return Err(Fault::Malformed),
        }
        at += blanks(&text[at..]);
        // RFC 9110 (5.6.6) allows a semicolon without a parameter.
        if matches!(text.get(at), None | Some(b';')) {
            continue;
        }
        let parameter = parameter(text, at)?;
        at = parameter.end;
        found.push(parameter);
    }
}

fn parameter(text: &[u8], start: usize) -> Result<Parameter<'_>, Fault> {
    let rest = &text[start..];
    // A semicolon before the `=` ends the parameter, which then has none.
    let equals = memchr::memchr2(b'=', b';', rest)
        .filter(|&at| rest[at] == b'=')
        .ok_or(Fault::Malformed)?;
    let name = rest[..equals].trim_ascii_end();
    let before = start + equals + 1;
    let at = before + blanks(&text[before..]);
    let mut parameter = Parameter {
        name,
        value: &[],
        quoted: false,
        blanks: at > before || name.len() < equals,
        start,
        end: at,
    };
    if text.get(at) == Some(&b'"') {
        let length = quoted_length(&text[at + 1..]).ok_or(Fault::Quote)?;
        parameter.value = &text[at + 1..at + 1 + length];
        parameter.quoted = true;
        parameter.end = at + length + 2;
        let next = parameter.end + blanks(&text[parameter.end..]);
        if !matches!(text.get(next), None | Some(b';')) {
            return Err(Fault::Quote);
        }
        return Ok(parameter);
    }
    let value = &text[at..];
    let value = &value[..memchr::memchr(b';', value).unwrap_or(value.len())];
    if memchr::memchr(b'"', value).is_some() {
        return Err(Fault::Quote);
    }
    parameter.end = at + value.len();
    parameter.value = value.trim_ascii_end();
    parameter.blanks |= parameter.value.len() < value.len();
    Ok(parameter)
}

/// Bytes up to the closing quote.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        // A backslash that is escaped itself escapes nothing (RFC 9110, 5.6.4).
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|&&b| is_space(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_charsets() {
        for (content_type, found) in [
            ("text/xml", Ok(None)),
            ("text/xml; charset=", Ok(None)),
            ("application/json; utf-8", Ok(None)),
            ("text/xml;Charset=\"UTF-16\"; a=b", Ok(Some("UTF-16"))),
            ("text/xml; charset=utf-8; CHARSET=UTF-8", Ok(Some("UTF-8"))),
            ("text/xml; charset=utf-8; charset=ibm037", Err(())),
            ("text/xml; x; charset=ibm037", Err(())),
        ] {
            let charset = charset(content_type.as_bytes()).map_err(drop);
            assert_eq!(
                charset,
                found.map(|f| f.map(str::as_bytes)),
                "{content_type}"
            );
        }
        for (charset, holds) in [
            ("UTF-8", true),
            ("ISO-8859-15", true),
            ("windows-1251", true),
            ("utf-7", false),
            ("utf-16", false),
            ("ibm037", false),
            ("iso-2022-jp", false),
        ] {
            assert_eq!(holds_ascii(charset.as_bytes()), holds, "{charset}");
        }
    }

    #[test]
    fn reads_parameters() {
        type Case = (
            &'static str,
            Result<&'static [(&'static str, &'static str)], Fault>,
        );
        let cases: &[Case] = &[
            ("", Ok(&[])),
            (" ;; ; ", Ok(&[])),
            (";a=b", Ok(&[("a", "b")])),
            (" ; a=b ;c=\"d;e\" ;", Ok(&[("a", "b"), ("c", "d;e")])),
            ("; a=\"x\\\"y\"; b=", Ok(&[("a", "x\\\"y"), ("b", "")])),
            ("; a = b", Ok(&[("a", "b")])),
            ("a=b", Err(Fault::Malformed)),
            (", a=b", Err(Fault::Malformed)),
            ("; a", Err(Fault::Malformed)),
            ("; a; b=c", Err(Fault::Malformed)),
            ("; a=\"b", Err(Fault::Quote)),
            ("; a=\"b\\\"", Err(Fault::Quote)),
            ("; a=\"b\"c", Err(Fault::Quote)),
            ("; a=b\"c", Err(Fault::Quote)),
        ];
        for (text, expected) in cases {
            let found = parameters(text.as_bytes()).map(|found| {
                let pair = |p: &Parameter<'_>| (p.name.to_vec(), p.value.to_vec());
                found.iter().map(pair).collect::<Vec<_>>()
            });
            let expected = match expected {
                Ok(pairs) => {
                    let pair =
                        |(n, v): &(&str, &str)| (n.as_bytes().to_vec(), v.as_bytes().to_vec());
                    Ok(pairs.iter().map(pair).collect())
                }
                Err(Fault::Malformed) => Err(Fault::Malformed),
                Err(Fault::Quote) => Err(Fault::Quote),
            };
            assert_eq!(found, expected, "{text}");
        }
    }
}
