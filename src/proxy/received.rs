//! A request as it came: the raw head of HTTP/1.x, or an HTTP/2 head written in the same form.

use std::net::IpAddr;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use pingora::http::RequestHeader;

use crate::config::IpNetwork;
use crate::http::{BodyFraming, Head, HeadError};

/// A request head. What it says was checked by [`Head::parse`] or by [`Received::from_h2`].
#[derive(Debug)]
pub struct Received {
    raw: Bytes,
    head: Head,
    /// Of the target: path without query; empty means `/`.
    path: Range<usize>,
    /// From the path to the end of the target.
    path_and_query: Range<usize>,
    /// Of an absolute target.
    authority: Option<Range<usize>>,
    pub http2: bool,
}

impl Received {
    /// An HTTP/1.x head that [`Head::parse`] took.
    #[must_use]
    pub fn from_h1(raw: Bytes, head: Head) -> Self {
        let target = raw.get(head.target.clone()).unwrap_or_default();
        let start = head.target.start;
        let (authority, path_start) = match authority_of(target) {
            Some(authority) => {
                let end = start + authority.end;
                (Some(start + authority.start..end), end)
            }
            None => (None, start),
        };
        let path_and_query = path_start..head.target.end;
        let rest = raw.get(path_and_query.clone()).unwrap_or_default();
        let path_length = memchr::memchr(b'?', rest).unwrap_or(rest.len());
        Self {
            path: path_start..path_start + path_length,
            path_and_query,
            authority,
            raw,
            head,
            http2: false,
        }
    }

    /// The head of an HTTP/2 stream; cookies are joined into one field (RFC 9113, 8.2.3).
    ///
    /// # Errors
    /// What HTTP/2 forbids and pingora lets through.
    pub fn from_h2(header: &RequestHeader, ended: bool) -> Result<Self, HeadError> {
        let mut writer = HeadWriter::default();
        let method = writer.put(header.method.as_str().as_bytes());
        writer.raw.put_u8(b' ');
        let target = writer.put(header.raw_path());
        writer.raw.put_u8(b' ');
        let protocol = writer.put(b"HTTP/2.0");
        let line = 0..writer.raw.len();
        writer.raw.put_slice(b"\r\n");

        if let Some(authority) = header.uri.authority()
            && !header.headers.contains_key(::http::header::HOST)
        {
            writer.field(b"host", &[authority.as_str().as_bytes()]);
        }
        let mut length = None;
        for name in header.headers.keys() {
            let values = header.headers.get_all(name).iter();
            let values: Vec<&[u8]> = values.map(::http::HeaderValue::as_bytes).collect();
            match name.as_str() {
                "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding"
                | "upgrade" => return Err(forbidden("connection_header_in_h2")),
                "te" if values.iter().any(|v| !v.eq_ignore_ascii_case(b"trailers")) => {
                    return Err(forbidden("te_in_h2"));
                }
                "host" if values.len() > 1 => return Err(forbidden("several_hosts")),
                "content-length" => length = Some(content_length(&values)?),
                _ => {}
            }
            writer.field(name.as_str().as_bytes(), &values);
        }
        writer.raw.put_slice(b"\r\n");
        let body = match length {
            _ if ended => BodyFraming::None,
            Some(length) => BodyFraming::Length(length),
            // HTTP/2 frames bodies of any length.
            None => BodyFraming::Chunked,
        };
        let head = Head {
            line,
            method,
            target,
            protocol,
            headers: writer.headers,
            body,
            length: writer.raw.len(),
        };
        Ok(Self {
            http2: true,
            ..Self::from_h1(writer.raw.freeze(), head)
        })
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        // Every range was taken from this head.
        self.raw.get(range.clone()).unwrap_or_default()
    }

    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.at(&self.head.line)
    }

    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.at(&self.head.method)
    }

    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.at(&self.head.target)
    }

    #[must_use]
    pub fn protocol(&self) -> &[u8] {
        self.at(&self.head.protocol)
    }

    #[must_use]
    pub fn is_http10(&self) -> bool {
        self.protocol() == b"HTTP/1.0"
    }

    #[must_use]
    pub fn framing(&self) -> BodyFraming {
        self.head.body
    }

    /// The path without its query.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match self.at(&self.path) {
            [] => b"/",
            path => path,
        }
    }

    /// What an origin server is asked for (RFC 9112, 3.2.1).
    #[must_use]
    pub fn origin_form(&self) -> std::borrow::Cow<'_, [u8]> {
        match self.at(&self.path_and_query) {
            [] => b"/"[..].into(),
            query @ [b'?', ..] => [b"/", query].concat().into(),
            target => target.into(),
        }
    }

    /// The authority that is asked for: an absolute target's before the Host field's.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        match &self.authority {
            Some(authority) => Some(self.at(authority)),
            None => self.header(b"host").filter(|host| !host.is_empty()),
        }
    }

    /// Names and values in order, as received.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let headers = self.head.headers.iter();
        headers.map(|(name, value)| (self.at(name), self.at(value)))
    }

    /// The same without a copy.
    pub fn shared_headers(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        let headers = self.head.headers.iter();
        headers.map(|(n, v)| (self.raw.slice(n.clone()), self.raw.slice(v.clone())))
    }

    /// The first field of this name; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        self.headers()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Every comma-separated element of every field of this name, blanks removed.
    pub fn elements(&self, name: &'static [u8]) -> impl Iterator<Item = &[u8]> {
        self.headers()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(|&b| b == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    #[must_use]
    pub fn expects_continue(&self) -> bool {
        !self.is_http10()
            && self
                .elements(b"expect")
                .any(|e| e.eq_ignore_ascii_case(b"100-continue"))
    }

    #[must_use]
    pub fn wants_websocket(&self) -> bool {
        self.protocol() == b"HTTP/1.1"
            && self
                .elements(b"upgrade")
                .any(|e| e.eq_ignore_ascii_case(b"websocket"))
    }

    /// Whom the trusted proxies say they speak for: the last address of `X-Forwarded-For` that is
    /// none of theirs.
    #[must_use]
    pub fn forwarded_client(&self, trusted: &[IpNetwork]) -> Option<IpAddr> {
        let addresses: Vec<&[u8]> = self.elements(b"x-forwarded-for").collect();
        for element in addresses.iter().rev() {
            let text = std::str::from_utf8(element).ok()?;
            let address: IpAddr = text.trim_matches(['[', ']']).parse().ok()?;
            if !trusted.iter().any(|network| network.contains(address)) {
                return Some(address);
            }
        }
        None
    }
}

/// `http://host/path` as the range of `host`.
fn authority_of(target: &[u8]) -> Option<Range<usize>> {
    let scheme = ["http://", "https://"].into_iter().find(|s| {
        target
            .get(..s.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(s.as_bytes()))
    })?;
    let rest = target.get(scheme.len()..)?;
    let length = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
    Some(scheme.len()..scheme.len() + length.unwrap_or(rest.len()))
}

fn content_length(values: &[&[u8]]) -> Result<u64, HeadError> {
    let [value] = values else {
        return Err(forbidden("several_content_lengths"));
    };
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| forbidden("bad_content_length"))
}

fn forbidden(code: &'static str) -> HeadError {
    HeadError {
        status: 400,
        code,
        reason: code.replace('_', " "),
    }
}

#[derive(Default)]
struct HeadWriter {
    raw: BytesMut,
    headers: Vec<(Range<usize>, Range<usize>)>,
}

impl HeadWriter {
    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.raw.len();
        self.raw.put_slice(bytes);
        start..self.raw.len()
    }

    fn field(&mut self, name: &[u8], values: &[&[u8]]) {
        if name == b"cookie" {
            self.one_field(name, &values.join(&b"; "[..]));
            return;
        }
        for value in values {
            self.one_field(name, value);
        }
    }

    fn one_field(&mut self, name: &[u8], value: &[u8]) {
        let name = self.put(name);
        self.raw.put_slice(b": ");
        let value = self.put(value);
        self.raw.put_slice(b"\r\n");
        self.headers.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(target: &str, host: &str) -> Received {
        let raw = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let target_end = 4 + target.len();
        let name = target_end + 11;
        let head = Head {
            line: 0..target_end + 9,
            method: 0..3,
            target: 4..target_end,
            protocol: target_end + 1..target_end + 9,
            headers: vec![(name..name + 4, name + 6..name + 6 + host.len())],
            body: BodyFraming::None,
            length: raw.len(),
        };
        Received::from_h1(raw.into(), head)
    }

    #[test]
    fn targets() {
        for (target, path, origin, host) in [
            ("/a?b", "/a", "/a?b", "h"),
            ("/a?b?c", "/a", "/a?b?c", "h"),
            ("http://x:1/a?b", "/a", "/a?b", "x:1"),
            ("HTTPS://x", "/", "/", "x"),
            ("http://x?q", "/", "/?q", "x"),
            ("*", "*", "*", "h"),
        ] {
            let r = received(target, "h");
            assert_eq!(r.path(), path.as_bytes(), "{target}");
            assert_eq!(r.origin_form(), origin.as_bytes(), "{target}");
            assert_eq!(r.host(), Some(host.as_bytes()), "{target}");
        }
    }

    #[test]
    fn h2_heads_read_like_h1() {
        let mut header = RequestHeader::build("POST", b"/a?b", None).unwrap();
        header.append_header("host", "x").unwrap();
        header.append_header("cookie", "a=1").unwrap();
        header.append_header("cookie", "b=2").unwrap();
        header.append_header("content-length", "3").unwrap();
        let r = Received::from_h2(&header, false).unwrap();
        assert_eq!(r.line(), b"POST /a?b HTTP/2.0");
        assert_eq!(r.header(b"cookie"), Some(&b"a=1; b=2"[..]));
        assert_eq!(r.framing(), BodyFraming::Length(3));
        for (name, value) in [
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("content-length", "2, 2"),
            ("content-length", "+2"),
        ] {
            let mut header = RequestHeader::build("POST", b"/", None).unwrap();
            header.append_header(name, value).unwrap();
            assert!(
                Received::from_h2(&header, false).is_err(),
                "{name}: {value}"
            );
        }
    }
}
