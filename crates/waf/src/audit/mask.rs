//! Finds the secrets in a text that is about to be logged.
//!
//! It goes by meaning and does not parse: what a rule saw may be a query, a form, JSON, XML, header lines or a piece of
//! any of them. In doubt more is masked rather than less. One pass, linear.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::ops::Range;

use super::markup;
pub(crate) use super::secret_names::is_secret_name;
use super::secret_names::{NAME, NAMING};
use crate::body::urlencoded;
use crate::byteset::ByteSet;

/// What a record shows instead of a secret.
pub(crate) const MASK: &[u8] = b"***";

/// How much of a header's value is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderSecret {
    None,
    Whole,
    /// All but the scheme.
    Credentials,
    /// Every value; names stay.
    Cookies,
    /// The first value; its name and the attributes stay.
    SetCookie,
}

pub(crate) fn header_secret(name: &[u8]) -> HeaderSecret {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    if is("authorization") || is("proxy-authorization") {
        return HeaderSecret::Credentials;
    }
    if is("cookie") || is("cookie2") {
        return HeaderSecret::Cookies;
    }
    if is("set-cookie") || is("set-cookie2") {
        return HeaderSecret::SetCookie;
    }
    match is_secret_name(name) {
        true => HeaderSecret::Whole,
        false => HeaderSecret::None,
    }
}

/// Whether logs and records mask a header field of this name.
#[must_use]
pub fn is_secret_field(name: &[u8]) -> bool {
    header_secret(name) != HeaderSecret::None
}

/// The values of a `Cookie` header.
pub(crate) fn cookie_values(header: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut start = 0;
    for piece in header.split(|&b| b == b';') {
        let end = start + piece.len();
        // Without a name all of it may be the secret.
        let value = memchr::memchr(b'=', piece).map_or(start, |i| start + i + 1);
        if value < end {
            found(value..end);
        }
        start = end + 1;
    }
}

/// The value of a `Set-Cookie` header.
pub(crate) fn set_cookie_value(header: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let end = memchr::memchr(b';', header).unwrap_or(header.len());
    let value = memchr::memchr(b'=', &header[..end]).map_or(0, |i| i + 1);
    found(value..end);
}

/// What follows the scheme of an `Authorization` header; all of it if there is no scheme.
pub(crate) fn credentials(header: &[u8]) -> Range<usize> {
    memchr::memchr(b' ', header).map_or(0, |i| i + 1)..header.len()
}

/// Text for a log: the first `most` bytes of `text`, with `***` in place of every secret in them.
///
/// A secret is what stands where passwords, session identifiers, tokens or card numbers stand: the value of a query,
/// form, JSON, XML or header field whose name says so, credentials, or digits that pass for a card number. `text` need
/// not be whole. When in doubt, more is masked rather than less.
#[must_use]
pub fn masked(text: &[u8], most: usize) -> Vec<u8> {
    let text = &text[..text.len().min(most)];
    let mut out = Vec::with_capacity(text.len());
    let mut kept = 0;
    secrets(text, &mut |range| {
        out.extend_from_slice(&text[kept.min(range.start)..range.start]);
        out.extend_from_slice(MASK);
        kept = range.end;
    });
    out.extend_from_slice(&text[kept..]);
    out
}

/// The value of a header field for a log, with `***` in place of every secret in it, as [`masked`] finds them. All of a
/// field is secret whose name says so; of a cookie the names are shown, of credentials the scheme.
#[must_use]
pub fn masked_field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut kept = 0;
    let mut hide = |range: Range<usize>| {
        if range.start < range.end {
            out.extend_from_slice(&value[kept..range.start]);
            out.extend_from_slice(MASK);
            kept = range.end;
        }
    };
    match header_secret(name) {
        HeaderSecret::None => secrets(value, &mut hide),
        HeaderSecret::Whole => hide(0..value.len()),
        HeaderSecret::Credentials => hide(credentials(value)),
        HeaderSecret::Cookies => cookie_values(value, &mut hide),
        HeaderSecret::SetCookie => set_cookie_value(value, &mut hide),
    }
    out.extend_from_slice(&value[kept..]);
    out
}

/// Where secrets lie in text: ascending, without overlap.
pub(crate) fn secrets(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    // Every secret has one of these at its beginning or right before it; all other bytes are skipped.
    const TELLING: ByteSet = ByteSet::of(b"=%:<&Bb0123456789");
    let next = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        Some(at + rest.iter().position(|&b| TELLING.contains(b))?)
    };
    let mut from = 0;
    while let Some(at) = next(from) {
        let range = match text[at] {
            b'=' => pair(text, at, 1),
            b'%' => match text.get(at + 1..at + 3) {
                Some([b'3', b'd' | b'D']) => pair(text, at, 3),
                Some([b'3', b'a' | b'A']) => pair(text, at, 3),
                _ => None,
            },
            b':' => userinfo(text, at).or_else(|| colon(text, at)),
            b'<' => markup::element(text, at, &markup::PLAIN),
            b'&' => markup::element(text, at, &markup::ESCAPED),
            b'B' | b'b' => bearer(text, at),
            b'0'..=b'9' => {
                let range = card(text, at);
                if range.is_none() {
                    // A number cannot begin within a run of digits. Skipping it keeps the pass linear.
                    from = at + text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                    continue;
                }
                range
            }
            _ => None,
        };
        match range {
            Some(range) if range.start < range.end => {
                from = range.end;
                found(range);
            }
            _ => from = at + 1,
        }
    }
}

/// The values of a query's or a form's fields whose names are secret, as they stand in its text: ascending, without
/// overlap. A name is given as an argument's is, decoded.
pub(crate) fn fields(
    text: &[u8],
    is_secret: &dyn Fn(&[u8]) -> bool,
    found: &mut dyn FnMut(Range<usize>),
) {
    // Every byte of a name can take three.
    const ENCODED: usize = 3 * NAME;
    let mut decoded = Vec::new();
    let mut from = 0;
    for sign in memchr::memchr_iter(b'=', text) {
        let head = &text[from.max(sign.saturating_sub(ENCODED))..sign.max(from)];
        let name = head.rsplit(|b| b"&?\r\n".contains(b)).next();
        let name = urlencoded::decode(name.unwrap_or_default(), &mut decoded, &mut false);
        if sign >= from && is_secret(name) {
            let end = pair_end(text, sign + 1, false);
            if end > sign + 1 {
                found(sign + 1..end);
            }
            from = end;
        }
    }
}

/// `name=value` with a secret name; also the content of a multipart part with `name="..."`.
fn pair(text: &[u8], at: usize, sign: usize) -> Option<Range<usize>> {
    let name = after_encoded_delimiter(name_before(text, at).0);
    let start = at + sign;
    if is_secret_name(name) {
        return Some(start..pair_end(text, start, sign == 3));
    }
    if sign == 1 && name.eq_ignore_ascii_case(b"name") {
        return part_content(text, start);
    }
    None
}

/// The last piece of a name that has `&`, `=` or `?` in it, percent-encoded.
fn after_encoded_delimiter(name: &[u8]) -> &[u8] {
    let last = name.windows(3).rposition(|w| {
        matches!(
            w,
            [b'%', b'2', b'6'] | [b'%', b'3', b'd' | b'D' | b'f' | b'F']
        )
    });
    last.map_or(name, |i| &name[i + 3..])
}

/// `encoded`: the pair is percent-encoded within another value.
fn pair_end(text: &[u8], start: usize, encoded: bool) -> usize {
    let rest = &text[start..];
    if let Some(&quote @ (b'"' | b'\'')) = rest.first()
        && let Some(close) = memchr::memchr(quote, &rest[1..]).map(|i| i + 2)
        // A quote ends the value only if a separator follows; otherwise it is part of a value without quotes.
        && rest
            .get(close)
            .is_none_or(|b| b" \t\r\n>/?,;)&".contains(b))
    {
        return start + close;
    }
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        let ampersand = encoded && byte == b'%' && text.get(at + 1..at + 3) == Some(b"26");
        // A blank does not end it: pass phrases contain some.
        if ampersand || matches!(byte, b'&' | b'\r' | b'\n' | 0) {
            return at;
        }
        at += 1;
    }
    at
}

/// The content of a multipart part whose `name="` begins at `start`.
fn part_content(text: &[u8], start: usize) -> Option<Range<usize>> {
    // The headers of a part are short. The bound keeps the pass linear.
    const HEADERS: usize = 1024;
    let rest = &text[start..text.len().min(start + HEADERS)];
    let name = rest.strip_prefix(b"\"").unwrap_or(rest);
    let end = memchr::memchr3(b'"', b';', b'\n', name)?;
    if !is_secret_name(&name[..end]) {
        return None;
    }
    // A client may end the lines of its part headers with a line feed alone.
    let blank = memchr::memmem::find(rest, b"\n\r\n")
        .map(|i| i + 3)
        .or_else(|| memchr::memmem::find(rest, b"\n\n").map(|i| i + 2))?;
    let content = start + blank;
    // The boundary is not known here, but every one begins with two hyphens (RFC 2046, section 5.1.1).
    let length = memchr::memmem::find(&text[content..], b"\n--");
    Some(content..length.map_or(text.len(), |i| content + i))
}

/// `"name": value` of JSON, `Name: value` of a header line.
fn colon(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (name, quoted) = name_before(text, at);
    let secret = is_secret_name(name) || header_secret(name) != HeaderSecret::None;
    if quoted && NAMING.iter().any(|n| n.eq_ignore_ascii_case(name)) {
        return beside(text, at + 1);
    }
    if name.is_empty() || !secret {
        return None;
    }
    let blanks = text[at + 1..]
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    let start = at + 1 + blanks;
    let end = match quoted {
        true => json_end(text, start),
        false => line_end(text, start),
    };
    Some(start..end)
}

/// The value of the member that follows `"name": "password"`.
fn beside(text: &[u8], at: usize) -> Option<Range<usize>> {
    let skip = |at: usize| {
        let blanks = text
            .get(at..)?
            .iter()
            .take_while(|b| b.is_ascii_whitespace());
        Some(at + blanks.count())
    };
    let string = |at: usize| {
        let most = text.len().min(at + NAME);
        let rest = text.get(at..most)?.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', rest)?;
        Some((&rest[..end], at + end + 2))
    };
    let (name, end) = string(skip(at)?)?;
    if !is_secret_name(name) {
        return None;
    }
    let comma = skip(end)?;
    text.get(comma).filter(|&&b| b == b',')?;
    let (_, end) = string(skip(comma + 1)?)?;
    let colon = skip(end)?;
    text.get(colon).filter(|&&b| b == b':')?;
    let start = skip(colon + 1)?;
    Some(start..json_end(text, start))
}

fn line_end(text: &[u8], start: usize) -> usize {
    memchr::memchr2(b'\r', b'\n', &text[start..]).map_or(text.len(), |i| start + i)
}

/// The end of a JSON value: a string, what brackets enclose, or a word.
fn json_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut string = false;
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        // JSON within a JSON string writes its own quotes as \".
        let escaped = byte == b'\\' && (string || text.get(at + 1) != Some(&b'"'));
        if escaped {
            let inner = text.get(at + 1) == Some(&b'"') && text.get(start) == Some(&b'\\');
            if !inner {
                at += 2;
                continue;
            }
        }
        match byte {
            b'"' => {
                string = !string;
                if !string && depth == 0 {
                    return at + 1;
                }
            }
            _ if string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b'\r' | b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The name that ends before `at`, blanks and quotes skipped, and whether it was quoted.
fn name_before(text: &[u8], at: usize) -> (&[u8], bool) {
    // Bounded: many signs after one long name would otherwise make the pass quadratic. The 8 are for quotes and blanks.
    let head = &text[at.saturating_sub(NAME + 8)..at];
    let head = head.trim_ascii_end();
    let bare = head
        .strip_suffix(b"\"")
        .or_else(|| head.strip_suffix(b"'"))
        .map(|h| h.strip_suffix(b"\\").unwrap_or(h));
    let quoted = bare.is_some();
    let head = bare.unwrap_or(head);
    let length = head
        .iter()
        .rev()
        // Also what nests names (`user[password]`, `user.password`) and what escapes them.
        .take_while(|&&b| b.is_ascii_alphanumeric() || b"_-.[]%$\\".contains(&b) || b >= 0x80)
        .count();
    (&head[head.len() - length..], quoted)
}

/// `://user:password@host`
fn userinfo(text: &[u8], at: usize) -> Option<Range<usize>> {
    // Bounds the work for each `://`.
    const USERINFO: usize = 512;
    let start = at + 3;
    if text.get(at..start) != Some(b"://") {
        return None;
    }
    let rest = &text[start..text.len().min(start + USERINFO)];
    let end = rest
        .iter()
        .position(|b| b.is_ascii_whitespace() || b"/?#\"'<>@".contains(b))?;
    let password = memchr::memchr(b':', &rest[..end])? + 1;
    (rest[end] == b'@').then(|| start + password..start + end)
}

/// `Bearer TOKEN` and `Basic TOKEN`, wherever they are.
fn bearer(text: &[u8], at: usize) -> Option<Range<usize>> {
    if at > 0 && text[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    let length = [&b"bearer "[..], b"basic "]
        .iter()
        .find(|s| {
            text.get(at..at + s.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(s))
        })?
        .len();
    let start = at + length;
    let token = text[start..]
        .iter()
        .take_while(|&&b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
        .count();
    // Shorter words are ordinary text: "basic maths".
    (token >= 8).then_some(start..start + token)
}

/// A payment card's number: 13 to 19 digits that pass Luhn's check, perhaps in groups.
fn card(text: &[u8], start: usize) -> Option<Range<usize>> {
    // The middle of a longer number is no card.
    if start > 0 && text[start - 1].is_ascii_digit() {
        return None;
    }
    // No card has more digits (ISO/IEC 7812-1).
    let mut digits = [0_u8; 19];
    let mut count = 0;
    let mut end = start;
    let mut best = None;
    while let Some(&byte) = text.get(end) {
        if byte.is_ascii_digit() {
            let Some(place) = digits.get_mut(count) else {
                // More digits than a card has, but the groups before may still be one.
                return best;
            };
            *place = byte - b'0';
            count += 1;
            end += 1;
            let more = text.get(end).is_some_and(u8::is_ascii_digit);
            if count >= 13 && !more && luhn(&digits[..count]) {
                best = Some(start..end);
            }
            continue;
        }
        // Numbers are written in groups; in a query `+` and `%20` stand for the blanks between them.
        let gap = match byte {
            b' ' | b'-' | b'+' | b'.' => 1,
            b'%' if text.get(end + 1..end + 3) == Some(b"20") => 3,
            _ => return best,
        };
        if !text.get(end + gap).is_some_and(u8::is_ascii_digit) {
            return best;
        }
        end += gap;
    }
    best
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit) * 2) {
            (0, _) => u32::from(digit),
            // The sum of the two digits of the double.
            (_, double @ 10..) => double - 9,
            (_, double) => double,
        })
        .sum();
    // Zeros only pass the check but are no card.
    sum.is_multiple_of(10) && sum > 0
}

#[cfg(test)]
mod tests;
