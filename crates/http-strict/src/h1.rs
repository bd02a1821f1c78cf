//! HTTP/1: the raw head (RFC 9112).
//!
//! Where the RFC lets a recipient choose between repair and refusal, this refuses: another server may repair in another
//! way.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::ops::Range;

use super::host::valid_authority;
use super::{BodyFraming, Head, HeadError, HeadLimits, TargetForm, check_value, is_token, show};

pub(super) fn parse(raw: &[u8], limits: &HeadLimits) -> Result<Head, HeadError> {
    let (lines, length) = split_lines(raw, limits)?;
    // RFC 9112, 2.2, lets servers skip empty lines before a request; another server may not.
    let Some((line, fields)) = lines.split_first() else {
        return Err(HeadError::bad(
            "empty_line_before_request_line",
            "an empty line stands before the request line",
        ));
    };
    let RequestLine {
        method,
        target,
        protocol,
    } = request_line(raw, line)?;
    let form = target_form(raw, &method, &target)?;
    let headers = fields
        .iter()
        .map(|field| header(raw, field))
        .collect::<Result<Vec<_>, _>>()?;
    let http10 = raw[protocol.clone()] == *b"HTTP/1.0";
    let host = host(raw, &headers, http10, &form)?;
    let body = framing(raw, &headers, http10)?;
    Ok(Head {
        line: line.clone(),
        method,
        target,
        protocol,
        form,
        headers,
        host,
        body,
        length,
    })
}

struct RequestLine {
    method: Range<usize>,
    target: Range<usize>,
    protocol: Range<usize>,
}

/// The lines up to the empty one, and the length of the whole head. Looks at each byte once.
fn split_lines(raw: &[u8], limits: &HeadLimits) -> Result<(Vec<Range<usize>>, usize), HeadError> {
    let mut lines = Vec::new();
    let mut start = 0;
    let window = &raw[..raw.len().min(limits.head)];
    for at in memchr::memchr2_iter(b'\r', b'\n', window) {
        match window[at] {
            b'\n' if at == start || window[at - 1] != b'\r' => {
                return Err(HeadError::bad(
                    "bare_lf",
                    format!("line {} ends with a bare LF", lines.len() + 1),
                ));
            }
            b'\n' if at - 1 == start => return Ok((lines, at + 1)),
            b'\n' => {
                push_line(&mut lines, start..at - 1, limits)?;
                start = at + 1;
            }
            // RFC 9112, 2.2: some recipients take a bare CR for a line end.
            // In `raw` and not in the window, whose end may stand between the two bytes.
            b'\r' if raw.get(at + 1).is_some_and(|&next| next != b'\n') => {
                return Err(HeadError::bad(
                    "bare_cr",
                    format!("line {} holds a bare CR", lines.len() + 1),
                ));
            }
            _ => {}
        }
    }
    // Without an end within the limit: more bytes would not help.
    if raw.len() >= limits.head {
        return Err(HeadError::with_status(
            431,
            "head_too_large",
            format!("the head is larger than {} bytes", limits.head),
        ));
    }
    Err(HeadError::bad(
        "incomplete_head",
        "the head does not end with an empty line",
    ))
}

fn push_line(
    lines: &mut Vec<Range<usize>>,
    line: Range<usize>,
    limits: &HeadLimits,
) -> Result<(), HeadError> {
    if line.len() > limits.line {
        let (status, code, what) = match lines.is_empty() {
            true => (414, "request_line_too_long", "the request line"),
            false => (431, "header_line_too_long", "a header line"),
        };
        return Err(HeadError::with_status(
            status,
            code,
            format!("{what} is longer than {} bytes", limits.line),
        ));
    }
    // `lines` includes the request line, which is no header.
    if lines.len() > limits.headers {
        return Err(HeadError::with_status(
            431,
            "too_many_headers",
            format!("there are more than {} header lines", limits.headers),
        ));
    }
    lines.push(line);
    Ok(())
}

fn request_line(raw: &[u8], line: &Range<usize>) -> Result<RequestLine, HeadError> {
    let text = &raw[line.clone()];
    if matches!(text.first(), Some(b' ' | b'\t')) {
        return Err(HeadError::bad(
            "leading_blank",
            "a blank stands before the method",
        ));
    }
    // Some servers split the line at any white space, which would give another target.
    if let Some(&byte) = text.iter().find(|b| b.is_ascii_control()) {
        return Err(HeadError::bad(
            "control_in_request_line",
            format!("the request line holds the control byte {}", show(byte)),
        ));
    }
    let mut spaces = text
        .iter()
        .enumerate()
        .filter_map(|(at, &b)| (b == b' ').then_some(line.start + at));
    let (Some(first), Some(second), None) = (spaces.next(), spaces.next(), spaces.next()) else {
        return Err(HeadError::bad(
            "request_line_spaces",
            "the request line is not a method, a target and a version with one space between them",
        ));
    };
    let parts = RequestLine {
        method: line.start..first,
        target: first + 1..second,
        protocol: second + 1..line.end,
    };
    if !is_token(&raw[parts.method.clone()]) {
        return Err(HeadError::bad(
            "method_not_token",
            "the method is not a token",
        ));
    }
    if !matches!(&raw[parts.protocol.clone()], b"HTTP/1.0" | b"HTTP/1.1") {
        return Err(HeadError::bad(
            "version",
            "the version is neither HTTP/1.0 nor HTTP/1.1",
        ));
    }
    Ok(parts)
}

/// The form of the target (RFC 9112, section 3.2). CONNECT asks for a tunnel, which a front door does not offer.
fn target_form(
    raw: &[u8],
    method: &Range<usize>,
    target: &Range<usize>,
) -> Result<TargetForm, HeadError> {
    let text = &raw[target.clone()];
    if &raw[method.clone()] == b"CONNECT" {
        return Err(HeadError::bad("connect", "CONNECT asks for a tunnel"));
    }
    // A fragment never belongs into a request; servers differ in whether they cut it off.
    if text.contains(&b'#') {
        return Err(HeadError::bad(
            "fragment_in_target",
            "the target holds a fragment",
        ));
    }
    if text.starts_with(b"/") {
        return Ok(TargetForm::Origin);
    }
    if text == b"*" && &raw[method.clone()] == b"OPTIONS" {
        return Ok(TargetForm::Asterisk);
    }
    absolute(text, target.start).ok_or_else(|| {
        HeadError::bad(
            "target_form",
            "the target is neither a path nor an http or https URI",
        )
    })
}

/// `text` as an absolute http or https URI that begins at `offset`.
fn absolute(text: &[u8], offset: usize) -> Option<TargetForm> {
    // Schemes have no case (RFC 3986, 3.1).
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|s| {
            text.get(..s.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(s))
        })?
        .len();
    let end = text[scheme..]
        .iter()
        .position(|b| b"/?".contains(b))
        .map_or(text.len(), |at| scheme + at);
    valid_authority(&text[scheme..end]).then(|| TargetForm::Absolute {
        authority: offset + scheme..offset + end,
        path: offset + end..offset + text.len(),
    })
}

fn header(raw: &[u8], line: &Range<usize>) -> Result<(Range<usize>, Range<usize>), HeadError> {
    let text = &raw[line.clone()];
    // RFC 9112, 5.2: folding is obsolete, and servers that do not unfold see other fields.
    if matches!(text.first(), Some(b' ' | b'\t')) {
        return Err(HeadError::bad(
            "obs_fold",
            "a header line begins with a blank (obsolete line folding)",
        ));
    }
    let Some(colon) = text.iter().position(|&b| b == b':') else {
        return Err(HeadError::bad(
            "header_without_colon",
            "a header line holds no colon",
        ));
    };
    let (name, value) = (&text[..colon], &text[colon + 1..]);
    // RFC 9112, 5.1, demands 400: some servers ignore such a field, others accept it.
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(HeadError::bad(
            "blank_before_colon",
            "a blank stands between a header's name and its colon",
        ));
    }
    if !is_token(name) {
        return Err(HeadError::bad(
            "header_name_not_token",
            "a header's name is not a token",
        ));
    }
    check_value(name, value)?;
    // Blanks around a value are no part of it (RFC 9110, 5.5).
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let before = value.iter().take_while(|b| blank(b)).count();
    let after = value[before..]
        .iter()
        .rev()
        .take_while(|b| blank(b))
        .count();
    let start = line.start + colon + 1;
    Ok((
        line.start..line.start + colon,
        start + before..start + value.len() - after,
    ))
}

/// The values of the headers named `name`.
fn named<'a>(
    raw: &'a [u8],
    headers: &'a [(Range<usize>, Range<usize>)],
    name: &'a [u8],
) -> impl Iterator<Item = &'a Range<usize>> {
    headers
        .iter()
        .filter(move |(n, _)| raw[n.clone()].eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// RFC 9112, section 3.2: exactly one valid Host, or 400. HTTP/1.0 may leave it out or empty.
fn host(
    raw: &[u8],
    headers: &[(Range<usize>, Range<usize>)],
    http10: bool,
    form: &TargetForm,
) -> Result<Option<Range<usize>>, HeadError> {
    let mut hosts = named(raw, headers, b"host");
    let (first, more) = (hosts.next().cloned(), hosts.next().is_some());
    if more {
        return Err(HeadError::bad(
            "several_hosts",
            "there are several Host headers",
        ));
    }
    let Some(host) = first else {
        return match http10 {
            true => Ok(None),
            false => Err(HeadError::bad("no_host", "HTTP/1.1 demands a Host header")),
        };
    };
    let value = &raw[host.clone()];
    if !(valid_authority(value) || http10 && value.is_empty()) {
        return Err(HeadError::bad(
            "invalid_host",
            "the Host header is not a host with an optional port",
        ));
    }
    // RFC 9112, 3.2.2, lets the target win; a server that uses Host would route to another site.
    if let TargetForm::Absolute { authority, .. } = form
        && !raw[authority.clone()].eq_ignore_ascii_case(value)
    {
        return Err(HeadError::bad(
            "host_differs_from_target",
            "the target's authority and the Host header differ",
        ));
    }
    Ok(Some(host))
}

/// RFC 9112, section 6.3, without its repairs: one length, or one `chunked`, or no body. Two answers to where the body
/// ends are the classic way to smuggle a request.
fn framing(
    raw: &[u8],
    headers: &[(Range<usize>, Range<usize>)],
    http10: bool,
) -> Result<BodyFraming, HeadError> {
    let mut codings = named(raw, headers, b"transfer-encoding");
    let mut lengths = named(raw, headers, b"content-length");
    let coding = codings.next();
    let length = lengths.next();
    if let Some(coding) = coding {
        if length.is_some() {
            return Err(HeadError::bad(
                "content_length_and_transfer_encoding",
                "there are both a Content-Length and a Transfer-Encoding",
            ));
        }
        // A server that goes by the version ignores the field and finds another end.
        if http10 {
            return Err(HeadError::bad(
                "transfer_encoding_in_http10",
                "HTTP/1.0 has no Transfer-Encoding",
            ));
        }
        if codings.next().is_some() || !raw[coding.clone()].eq_ignore_ascii_case(b"chunked") {
            return Err(HeadError::bad(
                "transfer_encoding",
                "Transfer-Encoding is not a single chunked",
            ));
        }
        return Ok(BodyFraming::Chunked);
    }
    let Some(length) = length else {
        return Ok(BodyFraming::None);
    };
    if lengths.next().is_some() {
        return Err(HeadError::bad(
            "several_content_lengths",
            "there are several Content-Length headers",
        ));
    }
    content_length(&raw[length.clone()]).map(BodyFraming::Length)
}

/// Digits only (RFC 9110, section 8.6): no sign, no list, and no number beyond 64 bits.
pub(super) fn content_length(value: &[u8]) -> Result<u64, HeadError> {
    let invalid = || HeadError::bad("content_length", "Content-Length is not a number");
    // `parse` would accept a sign.
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(invalid());
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(invalid)
}
