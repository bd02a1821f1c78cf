//! Which bytes are which characters (XML 1.0, appendix F): UTF-8, US-ASCII and ISO 8859-1.

use std::borrow::Cow;

use super::super::excerpt;

/// A document as text.
pub(super) struct Source<'b> {
    pub(super) text: Cow<'b, str>,
    /// Where `text` ends before the document does, because the bytes there are no characters.
    pub(super) invalid_at: Option<usize>,
    /// Bytes of byte order mark in front of `text`.
    mark: usize,
}

impl<'b> Source<'b> {
    /// The place in the body of an offset in the text.
    pub(super) fn offset_in_body(&self, offset: usize) -> usize {
        match &self.text {
            Cow::Borrowed(_) => self.mark + offset,
            // One byte a character.
            Cow::Owned(text) => text
                .get(..offset)
                .map_or(offset, |text| text.chars().count()),
        }
    }

    /// What stands from an offset in the text on.
    pub(super) fn rest<'s>(&'s self, body: &'b [u8], offset: usize) -> &'s [u8] {
        match &self.text {
            Cow::Borrowed(_) => body.get(self.mark + offset..).unwrap_or_default(),
            Cow::Owned(text) => text.as_bytes().get(offset..).unwrap_or_default(),
        }
    }
}

pub(super) fn decode(body: &[u8]) -> Result<Source<'_>, String> {
    if matches!(
        body,
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [_, 0, ..]
    ) {
        return Err("UTF-16 and UTF-32 are not supported".into());
    }
    let bytes = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mark = body.len() - bytes.len();
    let Some(name) = declared(bytes) else {
        return Ok(utf8(bytes, mark));
    };
    let is = |names: &[&str]| {
        names
            .iter()
            .any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
    };
    if is(&["utf-8", "utf8", "us-ascii", "ascii"]) {
        return Ok(utf8(bytes, mark));
    }
    if mark == 0 && is(&["iso-8859-1", "iso_8859-1", "latin1", "latin-1", "l1"]) {
        return Ok(Source {
            text: Cow::Owned(bytes.iter().copied().map(char::from).collect()),
            invalid_at: None,
            mark,
        });
    }
    Err(format!("encoding {} is not supported", excerpt(name)))
}

/// US-ASCII is read as UTF-8: what is more than ASCII in it is still seen.
fn utf8(bytes: &[u8], mark: usize) -> Source<'_> {
    let (text, invalid_at) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let end = error.valid_up_to();
            // The bytes up to there are valid: the error says so.
            (
                std::str::from_utf8(&bytes[..end]).unwrap_or_default(),
                Some(end),
            )
        }
    };
    Source {
        text: Cow::Borrowed(text),
        invalid_at,
        mark,
    }
}

/// The encoding that the XML declaration names.
fn declared(bytes: &[u8]) -> Option<&[u8]> {
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
