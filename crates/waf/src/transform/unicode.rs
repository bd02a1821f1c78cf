//! `utf8toUnicode`, and the map that `urlDecodeUni` asks.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::fmt;

use super::hex::spell;
use super::without;
use crate::byteset::ByteSet;
use crate::steps::{self, STEP};

/// Lead bytes, and NUL.
pub(super) const TRIGGERS: ByteSet = ByteSet::range(0xc0, 0xf7).with(0);

/// Continuation bytes.
const CONTINUATION: ByteSet = ByteSet::range(0x80, 0xbf);

/// As v2 for what is not UTF-8: an overlong sequence or a surrogate is spelled, and its lead byte follows; a lead byte
/// from 0xF5 on stays, and its sequence is spelled after it; a smaller lead byte without its continuation is dropped,
/// and so is NUL; every other invalid byte stays.
pub(super) fn from_utf8(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = input.iter().position(|&b| TRIGGERS.contains(b)) else {
        return false;
    };
    let (same, mut rest) = input.split_at(first);
    out.extend_from_slice(same);
    let mut changed = false;
    // One look at the clock for each step, whatever the sequences in it.
    let mut next_look = rest.len().saturating_sub(STEP);
    while let Some((&lead, after)) = rest.split_first() {
        if rest.len() < next_look {
            next_look = rest.len().saturating_sub(STEP);
            if steps::work(STEP).is_err() {
                break;
            }
        }
        if lead >= 0xf5 || !TRIGGERS.contains(lead) {
            out.push(lead);
        } else {
            changed = true;
        }
        rest = after;
        if let Some((value, len)) = sequence(lead, after) {
            changed = true;
            spell_unit(value, out);
            if is_ill_formed(value, len) {
                out.push(lead);
            }
            rest = &after[len - 1..];
        }
    }
    changed
}

/// The number that a lead byte and its continuation bytes spell, and their count.
fn sequence(lead: u8, after: &[u8]) -> Option<(u32, usize)> {
    let (bits, len) = match lead {
        0xc0..=0xdf => (lead & 0x1f, 2),
        0xe0..=0xef => (lead & 0x0f, 3),
        0xf0..=0xf7 => (lead & 0x07, 4),
        _ => return None,
    };
    let continuation = after.get(..len - 1)?;
    if !continuation.iter().all(|&b| CONTINUATION.contains(b)) {
        return None;
    }
    let value = continuation.iter().fold(u32::from(bits), |value, &b| {
        value << 6 | u32::from(b & 0x3f)
    });
    Some((value, len))
}

/// `%u` and at least four digits.
fn spell_unit(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"%u");
    // A code point has 21 bits at most, so of eight digits at least two are zeros, and at most four are left out.
    let digits = value.to_be_bytes().map(spell);
    let digits = digits.as_flattened();
    let zeros = digits.iter().take(4).take_while(|&&d| d == b'0').count();
    out.extend_from_slice(&digits[zeros..]);
}

/// Overlong, or a surrogate.
fn is_ill_formed(value: u32, len: usize) -> bool {
    let least = match len {
        2 => 0x80,
        3 => 0x800,
        _ => 0x1_0000,
    };
    value < least || (0xd800..=0xdfff).contains(&value)
}

pub(super) fn from_utf8_image(present: &ByteSet) -> ByteSet {
    let leads = ByteSet::range(0xc0, 0xf7);
    let spelled = present.intersects(&leads) && present.intersects(&CONTINUATION);
    if !spelled {
        return present.intersection(ByteSet::range(0xc0, 0xf4).with(0).complement());
    }
    // Lead bytes of no overlong sequence and no surrogate.
    let dropped =
        ByteSet::range(0xc2, 0xf4).intersection(ByteSet::of(b"\xe0\xed\xf0").complement());
    without(present, b"\0")
        .intersection(dropped.complement())
        .union(ByteSet::of(b"%u0123456789abcdef"))
}

/// What `SecUnicodeMapFile FILE CODEPAGE` says: for each UTF-16 code unit the byte a server with that code page takes
/// it for.
pub struct UnicodeMap {
    /// By code unit.
    bytes: Box<[Option<u8>]>,
}

/// Why there is no map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnicodeMapError {
    /// The file has no such section; these it has.
    NoCodePage {
        /// The number that the directive names.
        wanted: u32,
        /// The numbers that the file holds.
        known: Vec<u32>,
    },
    /// A word of the section, on this line (from 1), is not `HHHH:HH` in hexadecimal.
    BadMapping {
        /// From 1.
        line: usize,
        /// The word in question.
        word: String,
    },
}

impl UnicodeMap {
    /// Reads one section of a file in ModSecurity's `unicode.mapping` format: a line that begins with the code page's
    /// number, then words `HHHH:HH` up to the next line that is not made of them.
    ///
    /// As in v2, U+002E, U+3002, U+FF0E and U+FF61 are dots (RFC 3490 section 3.1) unless the section says otherwise.
    ///
    /// # Errors
    /// The section is not there, or a word in it is malformed.
    pub fn parse(text: &str, codepage: u32) -> Result<Self, UnicodeMapError> {
        let mut bytes = vec![None; 1 << 16].into_boxed_slice();
        for dot in [0x002e, 0x3002, 0xff0e, 0xff61] {
            bytes[dot] = Some(b'.');
        }
        let mut known = Vec::new();
        let mut section = None;
        for (number, line) in text.lines().enumerate() {
            let Some(first) = line.split_ascii_whitespace().next() else {
                continue;
            };
            if !first.contains(':') {
                // A line that begins with another word, such as a comment, ends the section as well.
                section = first.parse().ok();
                known.extend(section);
                continue;
            }
            if section != Some(codepage) {
                continue;
            }
            for word in line.split_ascii_whitespace() {
                let (unit, byte) = mapping(word).ok_or_else(|| UnicodeMapError::BadMapping {
                    line: number + 1,
                    word: word.to_owned(),
                })?;
                bytes[usize::from(unit)] = Some(byte);
            }
        }
        if known.contains(&codepage) {
            Ok(Self { bytes })
        } else {
            let wanted = codepage;
            Err(UnicodeMapError::NoCodePage { wanted, known })
        }
    }

    /// What this code unit is taken for; `None` where the map does not say.
    #[must_use]
    pub fn byte(&self, unit: u16) -> Option<u8> {
        self.bytes.get(usize::from(unit)).copied().flatten()
    }
}

fn mapping(word: &str) -> Option<(u16, u8)> {
    let (unit, byte) = word.split_once(':')?;
    // The parser of numbers would accept a sign.
    if unit.starts_with('+') || byte.starts_with('+') {
        return None;
    }
    let unit = u16::from_str_radix(unit, 16).ok()?;
    let byte = u8::from_str_radix(byte, 16).ok()?;
    Some((unit, byte))
}

impl fmt::Debug for UnicodeMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapped = self.bytes.iter().flatten().count();
        f.debug_struct("UnicodeMap")
            .field("mapped", &mapped)
            .finish()
    }
}

impl fmt::Display for UnicodeMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCodePage { wanted, known } => {
                write!(
                    f,
                    "no code page {wanted} in the Unicode map; it has {known:?}"
                )
            }
            Self::BadMapping { line, word } => write!(
                f,
                "line {line} of the Unicode map: `{word}` is not a mapping like `00e9:65`"
            ),
        }
    }
}

impl std::error::Error for UnicodeMapError {}
