//! HTTP/2: the pseudo-headers and fields of a request (RFC 9113, section 8).
//!
//! The upstream may speak HTTP/1.1, so nothing may pass that would be malformed there. Limits are those of HTTP/1.

use super::h1::content_length;
use super::host::valid_authority;
use super::{HeadError, HeadLimits, check_value, is_token, show};

/// The pseudo-headers of a request as they were received.
#[derive(Debug, Clone, Copy, Default)]
pub struct H2Head<'a> {
    /// `:method`; empty if there is none.
    pub method: &'a [u8],
    /// `:scheme`
    pub scheme: Option<&'a [u8]>,
    /// `:authority`
    pub authority: Option<&'a [u8]>,
    /// `:path`
    pub path: Option<&'a [u8]>,
    /// `:protocol` (RFC 8441).
    pub protocol: Option<&'a [u8]>,
}

/// Checks a request over HTTP/2 as strictly as [`super::Head::parse`] does for HTTP/1.
///
/// # Errors
/// The first thing that HTTP forbids, or the first limit that is exceeded.
pub fn check_h2<'a>(
    head: &H2Head<'_>,
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    limits: &HeadLimits,
) -> Result<(), HeadError> {
    check_pseudo(head, limits)?;
    let mut seen = Seen::default();
    for (name, value) in fields {
        check_field(name, value)?;
        seen.count(name, value, limits)?;
    }
    match (head.authority, seen.host) {
        (None, None) => Err(HeadError::bad(
            "no_host",
            "there is neither :authority nor Host",
        )),
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(HeadError::bad(
                "host_differs_from_target",
                ":authority and the Host header differ",
            ))
        }
        (_, Some(host)) if !valid_authority(host) => Err(HeadError::bad(
            "invalid_host",
            "the Host header is not a host with an optional port",
        )),
        _ => Ok(()),
    }
}

#[derive(Default)]
struct Seen<'a> {
    fields: usize,
    bytes: usize,
    host: Option<&'a [u8]>,
    length: bool,
}

impl<'a> Seen<'a> {
    fn count(
        &mut self,
        name: &[u8],
        value: &'a [u8],
        limits: &HeadLimits,
    ) -> Result<(), HeadError> {
        self.fields += 1;
        // With `: ` and CRLF, as in HTTP/1: both versions have the same limit.
        self.bytes += name.len() + value.len() + 4;
        if self.fields > limits.headers {
            return Err(HeadError::with_status(
                431,
                "too_many_headers",
                format!("there are more than {} header fields", limits.headers),
            ));
        }
        if self.bytes > limits.head {
            return Err(HeadError::with_status(
                431,
                "head_too_large",
                format!("the head is larger than {} bytes", limits.head),
            ));
        }
        // Names are in lower case: `check_field` refuses others.
        match name {
            b"host" if self.host.replace(value).is_some() => Err(HeadError::bad(
                "several_hosts",
                "there are several Host headers",
            )),
            b"content-length" if std::mem::replace(&mut self.length, true) => Err(HeadError::bad(
                "several_content_lengths",
                "there are several Content-Length headers",
            )),
            b"content-length" => content_length(value).map(drop),
            _ => Ok(()),
        }
    }
}

fn check_pseudo(head: &H2Head<'_>, limits: &HeadLimits) -> Result<(), HeadError> {
    if !is_token(head.method) {
        return Err(HeadError::bad(
            "method_not_token",
            "the method is not a token",
        ));
    }
    // Also extended CONNECT (RFC 8441), which opens a WebSocket.
    if head.method == b"CONNECT" || head.protocol.is_some() {
        return Err(HeadError::bad("connect", "CONNECT asks for a tunnel"));
    }
    if !head.scheme.is_some_and(|s| matches!(s, b"https" | b"http")) {
        return Err(HeadError::bad(
            "scheme",
            ":scheme is neither https nor http",
        ));
    }
    if head.authority.is_some_and(|a| !valid_authority(a)) {
        return Err(HeadError::bad(
            "invalid_host",
            ":authority is not a host with an optional port",
        ));
    }
    // A missing path is refused below, as one that is no path.
    let path = head.path.unwrap_or_default();
    if path.len() > limits.line {
        return Err(HeadError::with_status(
            414,
            "request_line_too_long",
            format!(":path is longer than {} bytes", limits.line),
        ));
    }
    if !(path.starts_with(b"/") || path == b"*" && head.method == b"OPTIONS") {
        return Err(HeadError::bad("target_form", ":path is not a path"));
    }
    // In an HTTP/1.1 request line such a byte would end the target or the line.
    if let Some(&byte) = path.iter().find(|b| b.is_ascii_control() || **b == b' ') {
        return Err(HeadError::bad(
            "control_in_request_line",
            format!(":path holds {}", show(byte)),
        ));
    }
    if path.contains(&b'#') {
        return Err(HeadError::bad(
            "fragment_in_target",
            ":path holds a fragment",
        ));
    }
    Ok(())
}

/// RFC 9113, section 8.2.
fn check_field(name: &[u8], value: &[u8]) -> Result<(), HeadError> {
    if !is_token(name) || name.iter().any(u8::is_ascii_uppercase) {
        return Err(HeadError::bad(
            "header_name_not_token",
            "a header's name is not a lower-case token",
        ));
    }
    check_value(name, value)?;
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    if blank(value.first()) || blank(value.last()) {
        return Err(HeadError::bad(
            "blank_around_value",
            "a blank stands before or after a header's value",
        ));
    }
    // RFC 9113, 8.2.2: such a field means a malformed request; in HTTP/1.1 it would change the connection.
    let connection_specific = match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            true
        }
        b"te" => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    };
    if connection_specific {
        return Err(HeadError::bad(
            "connection_header_in_h2",
            format!("HTTP/2 has no {} header", name.escape_ascii()),
        ));
    }
    Ok(())
}
