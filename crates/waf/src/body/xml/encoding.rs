//! The encoding of a document (XML 1.0, appendix F, and RFC 7303, section 3): UTF-8, US-ASCII, UTF-16, ISO 8859-1 and
//! windows-1252.
//!
//! If the byte order mark, the Content-Type and the declaration contradict each other, readers differ in which one they
//! believe, and the document is refused.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::borrow::Cow;

use super::super::excerpt;
use super::fault::XmlFault;

/// A document as text.
pub(super) struct Source<'b> {
    pub(super) text: Cow<'b, str>,
    /// Where `text` ends before the document does, because the bytes there are no characters.
    pub(super) invalid_at: Option<usize>,
    /// Bytes of byte order mark in front of `text`.
    mark: usize,
    encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// US-ASCII is read as UTF-8, so that other bytes in it are seen too.
    Utf8,
    Latin1,
    Windows1252,
    Utf16Le,
    Utf16Be,
}

impl<'b> Source<'b> {
    /// The place in the body of an offset in the text.
    pub(super) fn offset_in_body(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        self.mark
            + match self.encoding {
                Encoding::Utf8 => offset,
                Encoding::Latin1 | Encoding::Windows1252 => before.chars().count(),
                Encoding::Utf16Le | Encoding::Utf16Be => 2 * before.encode_utf16().count(),
            }
    }

    /// What follows an offset in the text: as text, and from the point where the text ends as raw bytes.
    pub(super) fn rest<'s>(&'s self, body: &'b [u8], offset: usize) -> Cow<'s, [u8]> {
        let raw = |from: usize| body.get(from..).unwrap_or_default();
        if self.encoding == Encoding::Utf8 {
            return raw(self.mark + offset).into();
        }
        let text = self.text.as_bytes().get(offset..).unwrap_or_default();
        match self.invalid_at {
            None => text.into(),
            Some(end) => [text, raw(self.offset_in_body(end))].concat().into(),
        }
    }
}

/// Decodes a document. `charset` comes from its Content-Type.
pub(super) fn decode<'b>(body: &'b [u8], charset: Option<&[u8]>) -> Result<Source<'b>, XmlFault> {
    let (seen, mark) = by_its_bytes(body)?;
    let bytes = &body[mark..];
    let declared = match seen {
        Some(Encoding::Utf16Le | Encoding::Utf16Be) => None,
        _ => declared(bytes).map(<[u8]>::to_vec),
    };
    let mut encoding = seen;
    for name in [charset, declared.as_deref()].into_iter().flatten() {
        encoding = Some(agree(encoding, name, bytes)?);
    }
    let encoding = encoding.unwrap_or(Encoding::Utf8);
    let source = read(bytes, mark, encoding);
    // The declaration of such a document can only be read once it is decoded.
    if matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be)
        && let Some(name) = self::declared(source.text.as_bytes())
    {
        agree(Some(encoding), name, bytes)?;
    }
    Ok(source)
}

/// What the first bytes say, and how many of them are a byte order mark.
fn by_its_bytes(body: &[u8]) -> Result<(Option<Encoding>, usize), XmlFault> {
    Ok(match body {
        // Before UTF-16: the mark of UTF-32 begins with the same bytes.
        [0xff, 0xfe, 0, 0, ..] | [0, 0, ..] => return Err(XmlFault::Utf32),
        [0xff, 0xfe, ..] => (Some(Encoding::Utf16Le), 2),
        [0xfe, 0xff, ..] => (Some(Encoding::Utf16Be), 2),
        [0xef, 0xbb, 0xbf, ..] => (Some(Encoding::Utf8), 3),
        // A document begins with `<` or a blank, so a zero byte beside it is half of a UTF-16 unit (XML 1.0, appendix
        // F.1).
        [0, _, ..] => (Some(Encoding::Utf16Be), 0),
        [_, 0, ..] => (Some(Encoding::Utf16Le), 0),
        _ => (None, 0),
    })
}

/// Compares the known encoding with a name for it. An encoding that is given twice must be the same, or make no
/// difference to these bytes.
fn agree(known: Option<Encoding>, name: &[u8], bytes: &[u8]) -> Result<Encoding, XmlFault> {
    let is = |names: &[&str]| {
        names
            .iter()
            .any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
    };
    let wide = matches!(known, Some(Encoding::Utf16Le | Encoding::Utf16Be));
    let named = if is(&["utf-8", "utf8", "us-ascii", "ascii"]) {
        Encoding::Utf8
    } else if is(&["iso-8859-1", "iso_8859-1", "latin1", "latin-1", "l1"]) {
        Encoding::Latin1
    } else if is(&["windows-1252", "cp1252", "x-cp1252"]) {
        Encoding::Windows1252
    } else if is(&["utf-16", "utf16"]) && wide {
        return Ok(known.unwrap_or(Encoding::Utf16Le));
    } else if is(&["utf-16le"]) {
        Encoding::Utf16Le
    } else if is(&["utf-16be"]) {
        Encoding::Utf16Be
    } else {
        return Err(XmlFault::UnsupportedEncoding(excerpt(name)));
    };
    match known {
        // UTF-16 would have shown itself by a byte order mark or a zero byte.
        None if matches!(named, Encoding::Utf16Le | Encoding::Utf16Be) => {
            Err(XmlFault::WrongEncoding(excerpt(name)))
        }
        None => Ok(named),
        Some(known) if known == named || (!wide && is_narrow(named) && bytes.is_ascii()) => {
            Ok(known)
        }
        Some(_) => Err(XmlFault::EncodingConflict(excerpt(name))),
    }
}

fn is_narrow(encoding: Encoding) -> bool {
    !matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be)
}

fn read(bytes: &[u8], mark: usize, encoding: Encoding) -> Source<'_> {
    let (text, invalid_at) = match encoding {
        Encoding::Utf8 => utf8(bytes),
        // The first 256 code points of Unicode are the bytes of ISO 8859-1.
        Encoding::Latin1 => (bytes.iter().copied().map(char::from).collect(), None),
        Encoding::Windows1252 => (bytes.iter().copied().map(windows_1252).collect(), None),
        Encoding::Utf16Le => utf16(bytes, u16::from_le_bytes),
        Encoding::Utf16Be => utf16(bytes, u16::from_be_bytes),
    };
    Source {
        text,
        invalid_at,
        mark,
        encoding,
    }
}

fn utf8(bytes: &[u8]) -> (Cow<'_, str>, Option<usize>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.into(), None),
        Err(error) => {
            let end = error.valid_up_to();
            // The bytes up to there are valid, as the error says.
            let text = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
            (text.into(), Some(end))
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> (Cow<'_, str>, Option<usize>) {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(pairs.len());
    for character in char::decode_utf16(pairs.iter().map(|&pair| unit(pair))) {
        match character {
            Ok(character) => text.push(character),
            Err(_) => {
                let end = text.len();
                return (text.into(), Some(end));
            }
        }
    }
    let invalid_at = (!odd.is_empty()).then_some(text.len());
    (text.into(), invalid_at)
}

/// As browsers and libraries read it: bytes that the code page does not define stay control characters.
fn windows_1252(byte: u8) -> char {
    const FROM_80: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => FROM_80[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// The encoding that the XML declaration names.
fn declared(bytes: &[u8]) -> Option<&[u8]> {
    // Bytes. A declaration is short, so a document without its end is not searched.
    const LONGEST: usize = 1024;
    let rest = bytes.strip_prefix(b"<?xml")?;
    let rest = &rest[..rest.len().min(LONGEST)];
    let rest = &rest[..memchr::memmem::find(rest, b"?>")?];
    let at = memchr::memmem::find(rest, b"encoding")?;
    let rest = rest[at + b"encoding".len()..].trim_ascii_start();
    let rest = rest.strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = rest.split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    Some(&rest[..memchr::memchr(*quote, rest)?])
}
