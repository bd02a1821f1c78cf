//! Paths: how they are compared, and which spellings are refused.
//!
//! Rules and upstream get the bytes that were received. Matching decodes the unreserved characters
//! (`ALPHA DIGIT - . _ ~`, RFC 3986, 2.3) once and no more, and compares the hex of other escapes without
//! case. Empty segments are segments: `//orders/` is not `/orders/`. Paths are compared with case.
//!
//! An upstream may be more lenient than that. So [`check`] refuses what a lenient reader could take as
//! a step to another path: dot segments in every spelling, also escaped more than once, with `;` parameters,
//! in overlong or full-width characters; and `%2f`, `%5c`, `\`, NUL, `#`, blanks and controls.
//! [`lenient_readings`] are what it could make of the rest: a route's path that is one of them is meant.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::PathPattern;
use super::fold::{self, folded};

/// Why a path is answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathRefusal {
    /// Stable, for logs and counters.
    pub code: &'static str,
    pub reason: &'static str,
}

impl PathRefusal {
    pub const DOT_SEGMENT: Self = Self::new("dot_segment", "a dot segment in the path");
    pub const ENCODED_SLASH: Self = Self::new("encoded_slash", "an encoded slash in the path");
    pub const BACKSLASH: Self = Self::new("backslash", "a backslash in the path");
    pub const NUL: Self = Self::new("nul", "a NUL in the path");
    pub const OVERLONG: Self = Self::new("overlong_utf8", "an overlong UTF-8 sequence in the path");
    pub const FORBIDDEN: Self = Self::new(
        "forbidden_character",
        "a blank, a control character or \"#\" in the path",
    );
    pub const AMBIGUOUS: Self = Self::new(
        "ambiguous_path",
        "a path that a lenient server could read as another route's",
    );

    const fn new(code: &'static str, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

impl fmt::Display for PathRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

/// Refuses every spelling that a lenient reader could take as a step to another path.
///
/// # Errors
/// The first reason found.
pub fn check(path: &[u8], pass_encoded_slashes: bool) -> Result<(), PathRefusal> {
    for &byte in path {
        match byte {
            0 => return Err(PathRefusal::NUL),
            b'\\' => return Err(PathRefusal::BACKSLASH),
            b'#' | 0x7f | ..=b' ' => return Err(PathRefusal::FORBIDDEN),
            _ => {}
        }
    }
    if is_ascii_unescaped(path) {
        return refuse_dot_segments(path);
    }

    let decoded = fully_decoded(path);
    if has_overlong(&decoded) {
        return Err(PathRefusal::OVERLONG);
    }
    let read = leniently_decoded(decoded);
    refuse_dot_segments(&read)?;
    if read.contains(&0) {
        return Err(PathRefusal::NUL);
    }
    for byte in escaped_once(path) {
        match byte {
            b'/' if !pass_encoded_slashes => return Err(PathRefusal::ENCODED_SLASH),
            b'\\' => return Err(PathRefusal::BACKSLASH),
            _ => {}
        }
    }
    Ok(())
}

/// The path as it is compared: unreserved characters decoded once, the hex of other escapes in upper case.
pub(super) fn canonical(path: &[u8]) -> Cow<'_, [u8]> {
    if path.is_empty() {
        // RFC 9110, 4.2.3: an empty path is the root.
        return Cow::Borrowed(b"/");
    }
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escape = match (byte, after) {
            (b'%', [high, low, ..]) => byte_of(*high, *low),
            _ => None,
        };
        let Some(value) = escape else {
            out.push(byte);
            continue;
        };
        if value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~') {
            out.push(value);
        } else {
            out.push(b'%');
            out.extend(after[..2].iter().map(u8::to_ascii_uppercase));
        }
        rest = &after[2..];
    }
    Cow::Owned(out)
}

/// The path as lenient servers might read it: everything decoded as often as it goes; case and width of
/// letters, parameters, empty segments, blanks around a segment and dots at its end gone; with what follows
/// a decoded `?` or `#`, and without. Empty where the path reads the same to everyone.
pub(super) fn lenient_readings(path: &[u8]) -> Vec<Vec<u8>> {
    let told_apart =
        |b: &u8| b.is_ascii_uppercase() || matches!(b, b';' | b'\\' | b'?' | b'#' | ..=b' ');
    let same_to_all = is_ascii_unescaped(path)
        && !path.iter().any(told_apart)
        && !path.windows(2).any(|pair| matches!(pair, b"//" | b"./"))
        && !matches!(path, [.., b'.' | b'/']);
    if same_to_all {
        return Vec::new();
    }
    let read = leniently_decoded(fully_decoded(path));
    let query = read.iter().position(|b| matches!(b, b'?' | b'#'));
    let cut = query.map(|at| without_decoration(&read[..at]));
    cut.into_iter().chain([without_decoration(&read)]).collect()
}

fn without_decoration(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let dropped = |b: &u8| b.is_ascii_whitespace() || b.is_ascii_control();
    for segment in segments(path).map(without_parameters) {
        let begin = segment.iter().position(|b| !dropped(b));
        let end = segment.iter().rposition(|b| !dropped(b) && *b != b'.');
        if let (Some(begin), Some(end)) = (begin, end)
            && begin <= end
        {
            out.push(b'/');
            out.extend_from_slice(&segment[begin..=end]);
        }
    }
    if out.is_empty() || segments(path).last().is_some_and(<[u8]>::is_empty) {
        out.push(b'/');
    }
    out
}

/// What is decoded may be a wide or a small letter of another escape.
fn leniently_decoded(decoded: Vec<u8>) -> Vec<u8> {
    // Each round needs three times as many bytes as the next, so few are enough for any path.
    const MOST_ROUNDS: usize = 16;
    let mut read = folded(decoded);
    for _ in 0..MOST_ROUNDS {
        let again = fully_decoded(&read);
        if again.len() == read.len() {
            break;
        }
        read = folded(again);
    }
    read
}

fn is_ascii_unescaped(path: &[u8]) -> bool {
    path.iter().all(|&b| b.is_ascii() && b != b'%')
}

fn refuse_dot_segments(path: &[u8]) -> Result<(), PathRefusal> {
    // Blanks and controls around the dots, and dots before blanks, are dropped by some file systems.
    // What a decoded `?` or `#` begins is no path to some.
    let name = |segment| {
        let mut parts = without_parameters(segment).split(|b| matches!(b, b'?' | b'#'));
        parts.next().unwrap_or_default().trim_ascii()
    };
    let is_dots = |segment| matches!(name(segment), b"." | b"..");
    match segments(path).any(is_dots) {
        true => Err(PathRefusal::DOT_SEGMENT),
        false => Ok(()),
    }
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| matches!(b, b'/' | b'\\'))
}

fn without_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|&b| b == b';').next().unwrap_or_default()
}

/// What stands escaped in the path, decoded once; `%u002f` as IIS reads it counts too.
fn escaped_once(path: &[u8]) -> impl Iterator<Item = u8> {
    path.iter().enumerate().filter_map(|(i, &byte)| {
        let after = path.get(i + 1..)?;
        match (byte, after) {
            (b'%', [b'u' | b'U', a, b, c, d, ..]) => {
                let code = u16::from_be_bytes([byte_of(*a, *b)?, byte_of(*c, *d)?]);
                fold::ascii_like(char::from_u32(code.into())?)?
                    .first()
                    .copied()
            }
            (b'%', [high, low, ..]) => byte_of(*high, *low),
            _ => None,
        }
    })
}

/// Decoded as often as it goes, in one pass: what is decoded may complete another escape.
fn fully_decoded(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for &byte in path {
        out.push(byte);
        // Every round makes `out` shorter, so all rounds together are linear.
        loop {
            if let [.., b'%', high, low] = out[..] {
                let Some(value) = byte_of(high, low) else {
                    break;
                };
                out.truncate(out.len() - 3);
                out.push(value);
            } else if let [.., b'%', b'u' | b'U', a, b, c, d] = out[..] {
                let (Some(high), Some(low)) = (byte_of(a, b), byte_of(c, d)) else {
                    break;
                };
                out.truncate(out.len() - 6);
                let code = u16::from_be_bytes([high, low]);
                let char = char::from_u32(code.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                break;
            }
        }
    }
    out
}

/// Two-byte forms of ASCII, three-byte forms below U+0800, four-byte forms below U+10000; and the lead
/// bytes of the first before a bare separator, which lax decoders take too.
fn has_overlong(bytes: &[u8]) -> bool {
    let continues = |b: u8| b & 0xc0 == 0x80;
    bytes.windows(2).enumerate().any(|(i, pair)| match *pair {
        [0xc0 | 0xc1, next] => continues(next) || matches!(next, b'.' | b'/' | b'\\'),
        [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f] => {
            bytes.get(i + 2).is_some_and(|&third| continues(third))
        }
        _ => false,
    })
}

fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

impl PathPattern {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path.as_bytes(),
        }
    }
}

impl FromStr for PathPattern {
    /// What is wrong with it, in words.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("\"{text}\"{what}"));
        if !text.starts_with('/') {
            return wrong(" is no path: it begins with a slash");
        }
        if text.contains('*') {
            return wrong(": there are no stars in paths; a trailing slash means all below it");
        }
        if text.contains('?') {
            return wrong(": a path has no query");
        }
        if !text.is_ascii() {
            return wrong(": write what is not ASCII as it is sent, percent-encoded");
        }
        if text.contains("//") {
            return wrong(" has an empty segment, which many servers drop");
        }
        if let Err(refusal) = check(text.as_bytes(), false) {
            return wrong(&format!(" could never be reached: {refusal} is refused"));
        }
        let path = text.to_owned();
        Ok(match text.ends_with('/') {
            true => Self::Prefix(path),
            false => Self::Exact(path),
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) | Self::Prefix(path) => f.write_str(path),
        }
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
