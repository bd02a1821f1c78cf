//! The boundary that a Content-Type announces.

use super::super::is_space;
use super::Flags;

const MEDIA_TYPE: &[u8] = b"multipart/form-data";
const PARAMETER: &[u8] = b"boundary";
const LONGEST_CONTENT_TYPE: usize = 1024;

/// A boundary of characters that RFC 2046 allows; never empty.
pub(super) struct Boundary {
    /// `--` and the boundary.
    delimiter: Vec<u8>,
}

impl Boundary {
    pub(super) fn from_content_type(
        content_type: &[u8],
        flags: &mut Flags,
    ) -> Result<Self, &'static str> {
        if content_type.is_empty() {
            return Err("Content-Type header not available.");
        }
        if content_type.len() > LONGEST_CONTENT_TYPE {
            return Err("Invalid boundary in C-T (length).");
        }
        let parameters = match content_type.split_at_checked(MEDIA_TYPE.len()) {
            Some((media_type, rest)) if media_type.eq_ignore_ascii_case(MEDIA_TYPE) => rest,
            _ => return Err("Invalid MIME type."),
        };
        let mentions = count_parameters(content_type);
        if mentions > 1 {
            return Err("Multiple boundary parameters in C-T.");
        }
        let Some(at) = memchr::memmem::find(parameters, PARAMETER) else {
            return Err(match mentions {
                0 => "Boundary not found in C-T.",
                _ => "Invalid boundary in C-T (case sensitivity).",
            });
        };
        let (before, after) = (&parameters[..at], &parameters[at + PARAMETER.len()..]);
        let mut between = before.iter().filter(|&&b| !is_space(b));
        match (between.next(), between.next()) {
            (None, _) => flags.missing_semicolon = true,
            (Some(b';'), None) => {}
            _ => return Err("Invalid boundary in C-T (malformed)."),
        }
        let Some(equals) = memchr::memchr(b'=', after) else {
            return Err("Invalid boundary in C-T (malformed).");
        };
        let (gap, value) = (&after[..equals], &after[equals + 1..]);
        if !gap.iter().all(|&b| is_space(b)) {
            return Err("Invalid boundary in C-T (parameter name).");
        }
        flags.boundary_whitespace |= !gap.is_empty() || value.first().is_some_and(|&b| is_space(b));
        Self::from_value(value, flags)
    }

    fn from_value(value: &[u8], flags: &mut Flags) -> Result<Self, &'static str> {
        let value = match value {
            [b'"', inner @ .., b'"'] => {
                flags.boundary_quoted = true;
                inner
            }
            [b'"', ..] | [_, .., b'"'] => return Err("Invalid boundary in C-T (quote)."),
            value => value,
        };
        if count_parameters(value) != 0 {
            return Err("Invalid boundary in C-T (content).");
        }
        if value.ends_with(b" ") || !value.iter().all(|&b| is_boundary_byte(b)) {
            return Err("Invalid boundary in C-T (characters).");
        }
        if value.is_empty() {
            return Err("Invalid boundary in C-T (empty).");
        }
        Ok(Self {
            delimiter: [b"--", value].concat(),
        })
    }

    /// The boundary by itself.
    pub(super) fn value(&self) -> &[u8] {
        &self.delimiter[2..]
    }

    /// The boundary with the two dashes that stand in front of it.
    pub(super) fn delimiter(&self) -> &[u8] {
        &self.delimiter
    }
}

/// How often `boundary` stands in front of some `=`, in any case.
fn count_parameters(text: &[u8]) -> usize {
    let Some(last_equals) = memchr::memrchr(b'=', text) else {
        return 0;
    };
    text[..last_equals]
        .windows(PARAMETER.len())
        .filter(|window| window.eq_ignore_ascii_case(PARAMETER))
        .count()
}

/// RFC 2046, section 5.1.1: `bchars`.
fn is_boundary_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b)
}
