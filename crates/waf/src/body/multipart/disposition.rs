//! A part's Content-Disposition: the name and the file name.
//!
//! `filename*` (RFC 8187) is another name of the file, which only some backends read; RFC 7578 (4.2) forbids it, but
//! clients write it beside `filename`. Rules see both. Other parameters with a star are refused: which of their names
//! counts is unknown. Other parameters have no meaning for any reader.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::super::urlencoded::split_once;
use super::{Flags, transfer};

const FORM_DATA: &[u8] = b"form-data";

/// What a Content-Disposition says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: Option<Vec<u8>>,
    pub(super) filename: Option<Vec<u8>>,
    /// What `filename*` says.
    pub(super) extended: Option<Vec<u8>>,
    /// ModSecurity's number for why it cannot be read.
    pub(super) refused: Option<i8>,
}

pub(super) fn parse(value: &[u8], flags: &mut Flags) -> Disposition {
    let mut found = Disposition::default();
    // What was read before an error stays, so that rules see it.
    found.refused = read(value, &mut found, flags).err();
    found
}

fn read(value: &[u8], found: &mut Disposition, flags: &mut Flags) -> Result<(), i8> {
    let (kind, rest) = value.split_at_checked(FORM_DATA.len()).ok_or(-1)?;
    if !kind.eq_ignore_ascii_case(FORM_DATA) {
        return Err(-1);
    }
    // v2 compares with case.
    flags.v2_refuses |= kind != FORM_DATA;
    let rest = trim_blanks(rest);
    let mut rest = match rest {
        [] => return Ok(()),
        [b';', rest @ ..] => rest,
        _ => return Err(-2),
    };
    while !rest.is_empty() {
        let parameter;
        (parameter, rest) = read_parameter(rest, flags)?;
        parameter.store(found, flags)?;
        // The byte before `rest` is the value's last one, or its closing quote.
        let blanks = rest.len();
        rest = trim_blanks(rest);
        rest = match rest {
            [] => return Ok(()),
            [b';', rest @ ..] => rest,
            _ => {
                flags.invalid_quoting |= parameter_was_quoted(value, rest, blanks);
                return Err(-12);
            }
        };
    }
    Ok(())
}

/// Whether a quote stands right before the byte that should have been a `;`.
fn parameter_was_quoted(value: &[u8], rest: &[u8], before_blanks: usize) -> bool {
    let before = &value[..value.len() - rest.len()];
    before_blanks == rest.len() && matches!(before, [.., b'"' | b'\''])
}

struct Parameter<'v> {
    name: &'v [u8],
    value: Vec<u8>,
}

impl Parameter<'_> {
    fn store(self, found: &mut Disposition, flags: &mut Flags) -> Result<(), i8> {
        let is = |name: &[u8]| self.name.eq_ignore_ascii_case(name);
        // v2 knows these two, in lower case.
        flags.v2_refuses |= !matches!(self.name, b"name" | b"filename");
        let (place, duplicate) = if is(b"name") {
            (&mut found.name, -14)
        } else if is(b"filename") {
            (&mut found.filename, -15)
        } else if is(b"filename*") {
            let name = transfer::extended(&self.value).ok_or(-11)?;
            if found.extended.replace(name).is_some() {
                return Err(-15);
            }
            return Ok(());
        } else {
            // A reader that only searches for the word would find a name here.
            let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let plain = !self.name.is_empty() && self.name.iter().all(is_plain);
            let says_name = |text: &[u8]| {
                let text = text.to_ascii_lowercase();
                memchr::memmem::find(&text, b"name").is_some()
            };
            if !plain || says_name(self.name) || says_name(&self.value) {
                return Err(-11);
            }
            return Ok(());
        };
        // Readers differ in which of two they use.
        if place.is_some() {
            return Err(duplicate);
        }
        *place = Some(self.value);
        Ok(())
    }
}

fn read_parameter<'v>(rest: &'v [u8], flags: &mut Flags) -> Result<(Parameter<'v>, &'v [u8]), i8> {
    let rest = not_empty(trim_blanks(rest), -3)?;
    let name_end = rest
        .iter()
        .position(|b| matches!(b, b'=' | b'\t' | b' '))
        .ok_or(-4)?;
    let (name, rest) = rest.split_at(name_end);
    let rest = not_empty(trim_blanks(rest), -5)?;
    let rest = rest.strip_prefix(b"=").ok_or(-13)?;
    let rest = not_empty(trim_blanks(rest), -6)?;
    let (value, rest) = match rest {
        [quote @ (b'"' | b'\''), rest @ ..] => {
            // Only double quotes quote; some readers accept single ones too.
            flags.invalid_quoting |= *quote == b'\'';
            read_quoted(not_empty(rest, -7)?, *quote)?
        }
        _ => {
            let end = rest
                .iter()
                .position(|&b| !is_token(b))
                .unwrap_or(rest.len());
            let (value, rest) = rest.split_at(end);
            let (before, _) = split_once(value, b'\'');
            // The syntax of RFC 8187 has two quotes of its own.
            let may_hold_quotes = name.ends_with(b"*");
            flags.invalid_quoting |= before.len() < value.len() && !may_hold_quotes;
            (value.to_vec(), rest)
        }
    };
    Ok((Parameter { name, value }, rest))
}

/// The value up to its closing quote. Only the quote and the backslash can be escaped; any other
/// backslash stands for itself, as Internet Explorer's paths need.
fn read_quoted(rest: &[u8], quote: u8) -> Result<(Vec<u8>, &[u8]), i8> {
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match &rest[at..] {
            [] => return Err(-10),
            [b'\\'] => return Err(-8),
            [b'\\', next, ..] if *next == quote || *next == b'\\' => {
                value.push(*next);
                at += 2;
            }
            [byte, after @ ..] if *byte == quote => return Ok((value, after)),
            [byte, ..] => {
                value.push(*byte);
                at += 1;
            }
        }
    }
}

fn not_empty(rest: &[u8], otherwise: i8) -> Result<&[u8], i8> {
    if rest.is_empty() {
        Err(otherwise)
    } else {
        Ok(rest)
    }
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let start = bytes
        .iter()
        .position(|b| !matches!(b, b' ' | b'\t'))
        .unwrap_or(bytes.len());
    &bytes[start..]
}

/// RFC 2045 `token`; `'` and `*` are among them.
fn is_token(b: u8) -> bool {
    b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b)
}
