//! A request as it was received: the raw head of HTTP/1.x, or an HTTP/2 head written in the same form.
//!
//! It never changes. The route, the rules and the gateway's head are all made from these bytes, so none of them sees
//! another request.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use pingora::http::RequestHeader;

use crate::config::IpNetwork;
use crate::limits;
use crate::transform::Preflight;
use http_strict::{
    BodyFraming, H2Head, Head, HeadError, HeadLimits, TargetForm, check_h2, is_token,
};
use waf::Transaction;

/// A request head. [`Head::parse_within`] or [`check_h2`] has checked it.
#[derive(Debug)]
pub(crate) struct Received {
    raw: Bytes,
    head: Head,
    /// The names of the fields that were removed.
    dropped: Vec<Range<usize>>,
    /// The place of the path in `raw`, without the query; empty means `/`.
    path: Range<usize>,
    /// From the path to the end of the target.
    path_and_query: Range<usize>,
}

impl Received {
    /// An HTTP/1.x head that was parsed from these bytes.
    #[must_use]
    pub(crate) fn from_h1(raw: Bytes, head: Head) -> Self {
        let path_and_query = match &head.form {
            TargetForm::Absolute { path, .. } => path.clone(),
            TargetForm::Origin | TargetForm::Asterisk => head.target.clone(),
        };
        let rest = raw.get(path_and_query.clone()).unwrap_or_default();
        let path_length = memchr::memchr(b'?', rest).unwrap_or(rest.len());
        Self {
            path: path_and_query.start..path_and_query.start + path_length,
            path_and_query,
            raw,
            head,
            dropped: Vec::new(),
        }
    }

    /// The head of an HTTP/2 stream, `ended` if it has no body. Cookies are joined into one field
    /// (RFC 9113, 8.2.3).
    ///
    /// # Errors
    /// What HTTP forbids.
    pub(crate) fn from_h2(
        header: &RequestHeader,
        ended: bool,
        limits: &HeadLimits,
    ) -> Result<Self, HeadError> {
        let authority = header.uri.authority().map(|a| a.as_str().as_bytes());
        let pseudo = H2Head {
            method: header.method.as_str().as_bytes(),
            // Without `:authority` (RFC 9113, 8.3.1) the h2 crate checks the scheme and drops it, because such a URI
            // cannot hold a scheme.
            scheme: match authority {
                Some(_) => header.uri.scheme_str().map(str::as_bytes),
                None => Some(b"https"),
            },
            authority,
            path: Some(header.raw_path()),
            protocol: None,
        };
        let fields = header.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        check_h2(&pseudo, fields, limits)?;

        let mut writer = HeadWriter::default();
        let method = writer.put(pseudo.method);
        writer.raw.put_u8(b' ');
        let target = writer.put(header.raw_path());
        writer.raw.put_u8(b' ');
        let protocol = writer.put(b"HTTP/2.0");
        let line = 0..writer.raw.len();
        writer.raw.put_slice(b"\r\n");
        if let Some(authority) = authority
            && !header.headers.contains_key(::http::header::HOST)
        {
            // Rules read the host from the Host field, which HTTP/2 clients do not send.
            writer.field(b"host", &[authority]);
        }
        for name in header.headers.keys() {
            let values = header.headers.get_all(name).iter();
            let values: Vec<&[u8]> = values.map(::http::HeaderValue::as_bytes).collect();
            writer.field(name.as_str().as_bytes(), &values);
        }
        writer.raw.put_slice(b"\r\n");
        let head = Head {
            form: match header.raw_path() {
                b"*" => TargetForm::Asterisk,
                _ => TargetForm::Origin,
            },
            host: writer.find(b"host"),
            body: body_framing(header, ended),
            length: writer.raw.len(),
            headers: writer.headers,
            line,
            method,
            target,
            protocol,
        };
        Ok(Self::from_h1(writer.raw.freeze(), head))
    }

    /// Removes the fields whose names these are: from here on nobody sees them but a record of the head as it came.
    pub(crate) fn drop_fields(&mut self, is_dropped: impl Fn(&[u8]) -> bool) {
        let (raw, dropped) = (&self.raw, &mut self.dropped);
        let name = |range: &Range<usize>| raw.get(range.clone()).unwrap_or_default();
        self.head.headers.retain(|(range, _)| {
            let is_kept = !is_dropped(name(range));
            if !is_kept {
                dropped.push(range.clone());
            }
            is_kept
        });
    }

    /// The names of the fields that were removed.
    pub(crate) fn dropped_fields(&self) -> impl Iterator<Item = &[u8]> {
        self.dropped.iter().map(|name| self.at(name))
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        // All ranges were made for this head, so the default is never used.
        self.raw.get(range.clone()).unwrap_or_default()
    }

    /// The head as received, or that of HTTP/2 in the same form.
    #[must_use]
    pub(crate) fn raw_head(&self) -> &[u8] {
        self.at(&(0..self.head.length))
    }

    /// Gives the head to the rules.
    pub(crate) fn feed(&self, transaction: &mut Transaction) {
        transaction.request_line(self.line(), self.method(), self.target(), self.protocol());
        for (name, value) in self.headers() {
            transaction.request_header(name, value);
        }
    }

    /// Bytes of the head.
    #[must_use]
    pub(crate) fn head_length(&self) -> usize {
        self.head.length
    }

    #[must_use]
    pub(crate) fn line(&self) -> &[u8] {
        self.at(&self.head.line)
    }

    #[must_use]
    pub(crate) fn method(&self) -> &[u8] {
        self.at(&self.head.method)
    }

    #[must_use]
    pub(crate) fn target(&self) -> &[u8] {
        self.at(&self.head.target)
    }

    #[must_use]
    pub(crate) fn protocol(&self) -> &[u8] {
        self.at(&self.head.protocol)
    }

    #[must_use]
    pub(crate) fn is_http10(&self) -> bool {
        self.protocol() == b"HTTP/1.0"
    }

    #[must_use]
    pub(crate) fn framing(&self) -> BodyFraming {
        self.head.body
    }

    /// The path without its query.
    #[must_use]
    pub(crate) fn path(&self) -> &[u8] {
        match self.at(&self.path) {
            [] => b"/",
            path => path,
        }
    }

    /// The target in origin form (RFC 9112, 3.2.1).
    #[must_use]
    pub(crate) fn origin_form(&self) -> std::borrow::Cow<'_, [u8]> {
        match self.at(&self.path_and_query) {
            [] => b"/"[..].into(),
            query @ [b'?', ..] => [b"/", query].concat().into(),
            target => target.into(),
        }
    }

    /// The requested authority.
    #[must_use]
    pub(crate) fn host(&self) -> Option<&[u8]> {
        // If both are there, they are equal: the parser refuses a head in which they differ.
        let range = match &self.head.form {
            TargetForm::Absolute { authority, .. } => Some(authority),
            TargetForm::Origin | TargetForm::Asterisk => self.head.host.as_ref(),
        };
        range
            .map(|range| self.at(range))
            .filter(|host| !host.is_empty())
    }

    /// Names and values in order, as received.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let headers = self.head.headers.iter();
        headers.map(|(name, value)| (self.at(name), self.at(value)))
    }

    /// The same without a copy.
    pub(crate) fn shared_headers(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        let headers = self.head.headers.iter();
        headers.map(|(n, v)| (self.raw.slice(n.clone()), self.raw.slice(v.clone())))
    }

    /// The first field of this name; `name` in lower case.
    #[must_use]
    pub(crate) fn header(&self, name: &[u8]) -> Option<&[u8]> {
        self.headers()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The values of all fields of this name, in order.
    pub(crate) fn values(&self, name: &'static [u8]) -> impl Iterator<Item = &[u8]> {
        let named = move |(n, _): &(&[u8], &[u8])| n.eq_ignore_ascii_case(name);
        self.headers().filter(named).map(|(_, value)| value)
    }

    /// Every comma-separated element of every field of this name, blanks removed.
    pub(crate) fn elements(&self, name: &'static [u8]) -> impl Iterator<Item = &[u8]> {
        self.headers()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(|&b| b == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    /// What a browser asks before it lets a page send a request (Fetch standard, 3.2.2).
    #[must_use]
    pub(crate) fn preflight(&self) -> Option<Preflight<'_>> {
        if self.method() != b"OPTIONS" {
            return None;
        }
        let mut methods = self.values(b"access-control-request-method");
        let method = methods.next().filter(|method| is_token(method))?;
        let is_one = methods.next().is_none();
        is_one.then_some(Preflight {
            origin: self.origin()?,
            method,
        })
    }

    /// The origin of the page that asks. None if it is told twice: nobody knows which one is right.
    #[must_use]
    pub(crate) fn origin(&self) -> Option<&[u8]> {
        let mut origins = self.values(b"origin");
        let origin = origins.next()?;
        origins.next().is_none().then_some(origin)
    }

    #[must_use]
    pub(crate) fn expects_continue(&self) -> bool {
        !self.is_http10()
            && self
                .elements(b"expect")
                .any(|e| e.eq_ignore_ascii_case(b"100-continue"))
    }

    #[must_use]
    pub(crate) fn wants_websocket(&self) -> bool {
        self.protocol() == b"HTTP/1.1"
            && self
                .elements(b"upgrade")
                .any(|e| e.eq_ignore_ascii_case(b"websocket"))
    }

    /// The client that trusted proxies report: the last address of `X-Forwarded-For` that is not a trusted proxy.
    /// Addresses before it were written by the client and prove nothing.
    #[must_use]
    pub(crate) fn forwarded_client(&self, trusted: &[IpNetwork]) -> Option<IpAddr> {
        let addresses: Vec<&[u8]> = self.elements(b"x-forwarded-for").collect();
        for element in addresses.iter().rev() {
            let text = std::str::from_utf8(element).ok()?;
            // Some proxies write the port too.
            let with_port = text.parse().map(|address: SocketAddr| address.ip());
            let address: IpAddr = with_port
                .or_else(|_| text.trim_matches(['[', ']']).parse())
                .ok()?;
            if !trusted.iter().any(|network| network.contains(address)) {
                return Some(address);
            }
        }
        None
    }
}

impl limits::Head for Received {
    fn each_field(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.headers().for_each(|(name, value)| see(name, value));
    }

    fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        memchr::memchr(b'?', target).and_then(|at| target.get(at + 1..))
    }
}

/// The framing of an HTTP/2 body. HTTP/2 does not need a length, so only a field can announce it.
fn body_framing(header: &RequestHeader, ended: bool) -> BodyFraming {
    if ended {
        return BodyFraming::None;
    }
    let length = header.headers.get(::http::header::CONTENT_LENGTH);
    length
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or(BodyFraming::Chunked, BodyFraming::Length)
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
        // HTTP/2 clients may split cookies for better compression; rules and gateways expect one field.
        if name == b"cookie" {
            self.one_field(name, &values.join(&b"; "[..]));
            return;
        }
        for value in values {
            self.one_field(name, value);
        }
    }

    fn find(&self, name: &[u8]) -> Option<Range<usize>> {
        let mut fields = self.headers.iter();
        let found = fields.find(|(n, _)| self.raw.get(n.clone()) == Some(name));
        found.map(|(_, value)| value.clone())
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

    #[test]
    fn targets() {
        for (target, path, origin, host) in [
            ("/a?b", "/a", "/a?b", "h"),
            ("/a?b?c", "/a", "/a?b?c", "h"),
            ("http://h/a?b", "/a", "/a?b", "h"),
            ("http://h", "/", "/", "h"),
            ("http://h?q", "/", "/?q", "h"),
        ] {
            let raw = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            let head = Head::parse(raw.as_bytes()).unwrap();
            let r = Received::from_h1(raw.into(), head);
            assert_eq!(r.path(), path.as_bytes(), "{target}");
            assert_eq!(*r.origin_form(), *origin.as_bytes(), "{target}");
            assert_eq!(r.host(), Some(host.as_bytes()), "{target}");
        }
    }

    #[test]
    fn whom_trusted_proxies_speak_for() {
        let trusted = [IpNetwork {
            address: [10, 0, 0, 0].into(),
            prefix: 8,
        }];
        for (field, client) in [
            ("203.0.113.1", Some("203.0.113.1")),
            ("198.51.100.9, 203.0.113.1, 10.1.2.3", Some("203.0.113.1")),
            ("203.0.113.1:50123", Some("203.0.113.1")),
            ("[2001:db8::1]:50123", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("203.0.113.1, unknown", None),
            ("10.1.2.3", None),
        ] {
            let raw = format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {field}\r\n\r\n");
            let head = Head::parse(raw.as_bytes()).unwrap();
            let r = Received::from_h1(raw.into(), head);
            let client = client.map(|text| text.parse().unwrap());
            assert_eq!(r.forwarded_client(&trusted), client, "{field}");
        }
    }

    #[test]
    fn h2_heads_read_like_h1() {
        let uri = "https://x/a?b".parse().unwrap();
        let mut header = RequestHeader::build("POST", b"/", None).unwrap();
        header.set_uri(uri);
        header.append_header("cookie", "a=1").unwrap();
        header.append_header("cookie", "b=2").unwrap();
        header.append_header("content-length", "3").unwrap();
        let r = Received::from_h2(&header, false, &HeadLimits::default()).unwrap();
        assert_eq!(r.line(), b"POST /a?b HTTP/2.0");
        assert_eq!(r.header(b"cookie"), Some(&b"a=1; b=2"[..]));
        assert_eq!(r.host(), Some(&b"x"[..]));
        assert_eq!(r.framing(), BodyFraming::Length(3));
        header.set_uri("/a?b".parse().unwrap());
        assert!(Received::from_h2(&header, false, &HeadLimits::default()).is_err());
        header.append_header("host", "y").unwrap();
        let r = Received::from_h2(&header, false, &HeadLimits::default()).unwrap();
        assert_eq!(r.host(), Some(&b"y"[..]), "Host stands in for :authority");
        header.append_header("te", "gzip").unwrap();
        assert!(Received::from_h2(&header, false, &HeadLimits::default()).is_err());
    }
}
