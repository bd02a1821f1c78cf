//! Paths: how they are compared, and which spellings are refused.
//!
//! Rules and upstreams get the bytes that were received. To find a route we decode the unreserved characters
//! (`ALPHA DIGIT - . _ ~`, RFC 3986, 2.3) once, and compare the hexadecimal digits of other escapes without case. Empty
//! segments count: `//orders/` is not `/orders/`. Paths are compared with case.
//!
//! An upstream may be more lenient. So [`check`] refuses whatever a lenient server could read as a step to another
//! path: dot segments in every spelling, also escaped several times, with `;` parameters, in overlong or full-width
//! characters; and `%2f`, `%5c`, `\`, NUL, `#`, blanks and control characters. `lenient_readings` are what such a
//! server could read in the other paths; [`super::RouteTable::check_path`] refuses a path if one of them belongs to
//! another route.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::borrow::Cow;
use std::fmt;

use super::fold::{self, folded};

/// Why a request for a path is answered with 400. The client erred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathRefusal {
    /// The code in logs and metrics; it stays the same between versions.
    pub code: &'static str,
    /// The reason in words.
    pub reason: &'static str,
}

impl PathRefusal {
    /// A `.` or `..` segment, in any spelling.
    pub const DOT_SEGMENT: Self = Self::new("dot_segment", "a dot segment in the path");
    /// `%2f`, and the route does not pass it.
    pub const ENCODED_SLASH: Self = Self::new("encoded_slash", "an encoded slash in the path");
    /// `\` or `%5c`.
    pub const BACKSLASH: Self = Self::new("backslash", "a backslash in the path");
    /// NUL, plain or escaped.
    pub const NUL: Self = Self::new("nul", "a NUL in the path");
    /// UTF-8 with more bytes than the character needs.
    pub const OVERLONG: Self = Self::new("overlong_utf8", "an overlong UTF-8 sequence in the path");
    /// A blank, a control character or `#`.
    pub const FORBIDDEN: Self = Self::new(
        "forbidden_character",
        "a blank, a control character or \"#\" in the path",
    );
    /// A lenient server could read it as the path of another route.
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

/// Refuses every spelling that a lenient server could read as a step to another path.
///
/// # Errors
/// The first reason that was found.
pub fn check(path: &[u8], pass_encoded_slashes: bool) -> Result<(), PathRefusal> {
    // On the received bytes, so that the reason names what the client sent.
    for &byte in path {
        match byte {
            0 => return Err(PathRefusal::NUL),
            b'\\' => return Err(PathRefusal::BACKSLASH),
            b'#' | 0x7f | ..=b' ' => return Err(PathRefusal::FORBIDDEN),
            _ => {}
        }
    }
    // Most paths are plain. They need no decoding, so they cost no allocation.
    if is_ascii_unescaped(path) {
        return refuse_dot_segments(path);
    }

    // On the decoded bytes, because the parts of an overlong form may be escaped.
    let decoded = fully_decoded(path);
    if has_overlong(&decoded) {
        return Err(PathRefusal::OVERLONG);
    }
    let read = leniently_decoded(decoded);
    refuse_dot_segments(&read)?;
    if read.contains(&0) {
        return Err(PathRefusal::NUL);
    }
    // Decoded once only: `%252f` is a plain `%2f` to the gateway, and `lenient_readings` covers servers that decode
    // again.
    for byte in escaped_once(path) {
        match byte {
            b'/' if !pass_encoded_slashes => return Err(PathRefusal::ENCODED_SLASH),
            b'\\' => return Err(PathRefusal::BACKSLASH),
            _ => {}
        }
    }
    Ok(())
}

/// The form in which paths are compared: unreserved characters decoded once, the digits of other escapes in upper case.
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

/// The path as lenient servers might read it: decoded until nothing is left to decode; without the case and width of
/// letters, parameters, empty segments, blanks around a segment and dots at its end; once with what follows a decoded
/// `?` or `#` and once without. Empty if all servers read the path in the same way.
pub(super) fn lenient_readings(path: &[u8]) -> Vec<Vec<u8>> {
    let ambiguous =
        |b: &u8| b.is_ascii_uppercase() || matches!(b, b';' | b'\\' | b'?' | b'#' | ..=b' ');
    let same_for_all = is_ascii_unescaped(path)
        && !path.iter().any(ambiguous)
        && !path.windows(2).any(|pair| matches!(pair, b"//" | b"./"))
        && !matches!(path, [.., b'.' | b'/']);
    if same_for_all {
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

/// Folds and decodes in turn, because a folded character may complete another escape.
fn leniently_decoded(decoded: Vec<u8>) -> Vec<u8> {
    // Each round needs three times as many bytes as the next, so a few rounds are enough for any path.
    const MOST_ROUNDS: usize = 16;
    let mut read = folded(decoded);
    for _ in 0..MOST_ROUNDS {
        let again = fully_decoded(&read);
        // Decoding only shortens, so the same length means that nothing was decoded.
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
    // Some file systems drop blanks and control characters around the dots, and dots before blanks. Some servers end
    // the path at a decoded `?` or `#`.
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

/// The escaped bytes of the path, decoded once; also `%u002f`, which IIS reads.
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

/// Decodes until nothing is left to decode, in one pass: a decoded byte may complete another escape.
fn fully_decoded(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for &byte in path {
        out.push(byte);
        // Every round makes `out` shorter, so all rounds together take linear time.
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

/// Finds two-byte forms of ASCII, three-byte forms below U+0800 and four-byte forms below U+10000; and the lead bytes
/// of two-byte forms before a bare separator, which lax decoders accept too.
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

#[cfg(test)]
mod tests;
