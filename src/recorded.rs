//! A request that is given to the rules without a connection: from a file, or as a front door recorded it.
//!
//! The head goes to the rules byte by byte. What was changed or left out is listed in the notes.

#![allow(
    clippy::indexing_slicing,
    reason = "ranges were found in the same bytes"
)]

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use crate::events::{Event, SeenClaims};
use ftw::{Body, InProcess, read_body};
use http_strict::{Head, HeadError, TargetForm};
use waf::{RuleSet, Transaction};

/// The most bytes that are read of a raw request or response: ten times the default limit of a body.
pub const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// A request whose head may be one that HTTP forbids.
#[derive(Debug, Clone)]
pub struct Request {
    /// The bytes of the head. The rules see the ranges of `head`.
    raw: Vec<u8>,
    head: Result<Head, HeadError>,
    /// Without a transfer coding.
    body: Vec<u8>,
    /// How much of the body there is.
    framing: Framing,
    /// The address that the rules see; None for one that no rule makes an exception for.
    client: Option<SocketAddr>,
    /// What the rules see of its caller. None if nobody knows whether there was one.
    claims: Option<SeenClaims>,
    /// Where the request was read differently from what was given.
    notes: Vec<String>,
}

/// Whether the body that is there is the one that the head announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// All of it is there.
    Whole,
    /// The rules see less than was sent.
    Cut,
    /// A server answers 400 before any rule.
    Malformed,
}

impl Request {
    /// A raw HTTP/1.1 request as a file holds it.
    #[must_use]
    pub fn from_file(bytes: Vec<u8>) -> Self {
        let mut notes = Vec::new();
        let mut raw = with_crlf(bytes, "request", &mut notes);
        let head = Head::parse(&raw);
        let (body, framing) = match &head {
            Ok(head) => split_body(head, &raw, &mut notes),
            Err(_) => (Vec::new(), Framing::Whole),
        };
        if let Ok(head) = &head {
            raw.truncate(head.length);
        }
        Self {
            raw,
            head,
            body,
            framing,
            client: None,
            claims: Some(SeenClaims::default()),
            notes,
        }
    }

    /// A head as it was received, or in the same form if it came over HTTP/2, and a body without a transfer coding.
    #[must_use]
    pub fn from_parts(head: Vec<u8>, body: Vec<u8>, client: Option<SocketAddr>) -> Self {
        Self {
            head: parse_any_version(&head),
            raw: head,
            body,
            framing: Framing::Whole,
            client,
            claims: Some(SeenClaims::default()),
            notes: Vec::new(),
        }
    }

    /// A request that a front door kept. The rules see it as they saw it then, as far as the record has it.
    #[must_use]
    pub fn from_event(event: Event) -> Self {
        // The client's port is not kept. No rule of the CRS looks at it.
        let client = SocketAddr::new(event.summary.client, 0);
        let why = event.details.payload.why_not_judged();
        let mut request = Self::from_parts(event.head, event.body, Some(client));
        request.claims = event.details.claims;
        request.drop_fields(&event.details.payload.dropped_fields);
        why.into_iter().fold(request, Self::noting)
    }

    /// Removes header fields that rules did not see.
    fn drop_fields(&mut self, names: &[String]) {
        let raw = &self.raw;
        if let Ok(head) = &mut self.head {
            head.headers.retain(|(name, _)| {
                let name = raw.get(name.clone()).unwrap_or_default();
                !names.iter().any(|dropped| dropped.as_bytes() == name)
            });
        }
    }

    /// The same with a note.
    #[must_use]
    pub fn noting(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    /// The first line as received.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        let end = memchr::memchr2(b'\r', b'\n', &self.raw).unwrap_or(self.raw.len());
        &self.raw[..end]
    }

    /// Why no rule sees it.
    #[must_use]
    pub fn refusal(&self) -> Option<&HeadError> {
        self.head.as_ref().err()
    }

    /// Whether its body is the announced one.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The body without a transfer coding.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Why these rules may judge it otherwise than they judged it when it came: they look at claims of its caller that
    /// the record lacks.
    #[must_use]
    pub fn lacks_claims_for(&self, rules: &RuleSet) -> Option<String> {
        let Some(claims) = &self.claims else {
            return rules.reads_claims().then(|| {
                "the record does not say who called, and the rules look at claims (IDENTITY)"
                    .to_owned()
            });
        };
        let missed = claims.missed(|name| rules.reads_claim(name));
        (!missed.is_empty()).then(|| {
            format!(
                "the rules look at claims of its caller that are not kept: {}",
                missed.join(", ")
            )
        })
    }

    /// The same request without what is known of its caller.
    #[must_use]
    pub fn without_caller(&self) -> Self {
        let mut anonymous = self.clone();
        anonymous.claims = Some(SeenClaims::default());
        anonymous
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.len() + self.body.len()
    }

    /// Where it was read differently from what was given.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A transaction that has received the head; no phase has run. None if HTTP forbids the request.
    #[must_use]
    pub fn begin(&self, rules: &Arc<RuleSet>, name: &str) -> Option<Transaction> {
        let head = self.head.as_ref().ok()?;
        let player = InProcess::new(Arc::clone(rules));
        // Without an address of its own a request has that of the test player, for which no rule makes an exception.
        let player = match self.client {
            Some(client) => player.with_client(client),
            None => player,
        };
        let mut transaction = player.begin(&self.raw, head, name);
        for claim in self.claims.iter().flat_map(|claims| &claims.kept) {
            transaction.identity(claim.name.as_bytes(), claim.value.as_bytes());
        }
        Some(transaction)
    }

    /// The request on HTTP/1.1 as a client can send it, with a body of announced length; only its line is left of one
    /// that HTTP forbids.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let headers = self.headers();
        let headers: Vec<_> = headers.map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        let mut sent = self.with(self.target(), &headers, self.body.clone());
        if let Some(head) = with_protocol(&sent.raw, HTTP2, HTTP11) {
            sent.raw = head;
        }
        [sent.raw, sent.body].concat()
    }

    /// The method; empty if HTTP forbids the request.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.part(|head| &head.method)
    }

    /// Path and query as sent; empty if HTTP forbids the request.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        match &self.head {
            Ok(Head {
                form: TargetForm::Absolute { path, .. },
                ..
            }) => match &self.raw[path.clone()] {
                // A proxy's form of the target may end with the host.
                b"" => b"/",
                path => path,
            },
            _ => self.part(|head| &head.target),
        }
    }

    /// Names and values of the header fields; none if HTTP forbids the request.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let headers = self.head.iter().flat_map(|head| &head.headers);
        headers.map(|(name, value)| (&self.raw[name.clone()], &self.raw[value.clone()]))
    }

    /// The value of the first header field of this name.
    #[must_use]
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        let mut headers = self.headers();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// The same request with another path and query, other header fields and another body, whose length it announces.
    #[must_use]
    pub fn with(&self, target: &[u8], headers: &[(Vec<u8>, Vec<u8>)], body: Vec<u8>) -> Self {
        let protocol = self.part(|head| &head.protocol);
        let mut raw = [self.method(), b" ", target, b" ", protocol, b"\r\n"].concat();
        let frames = |name: &[u8]| {
            name.eq_ignore_ascii_case(b"content-length")
                || name.eq_ignore_ascii_case(b"transfer-encoding")
        };
        // The body is another one, and whole: the framing of the old one would cut it or wait for more.
        for (name, value) in headers.iter().filter(|(name, _)| !frames(name)) {
            raw.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
        }
        if !body.is_empty() || self.headers().any(|(name, _)| frames(name)) {
            raw.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        raw.extend_from_slice(b"\r\n");
        let mut other = Self::from_parts(raw, body, self.client);
        other.claims.clone_from(&self.claims);
        other
    }

    fn part(&self, of: impl Fn(&Head) -> &Range<usize>) -> &[u8] {
        let range = self.head.as_ref().map(|head| of(head).clone());
        range.map_or(&[], |range| &self.raw[range])
    }
}

const HTTP2: &[u8] = b" HTTP/2.0\r\n";
const HTTP11: &[u8] = b" HTTP/1.1\r\n";

/// Parses a head of HTTP/1.x, or one of HTTP/2 that was written in the form of HTTP/1.1 as the front door does.
fn parse_any_version(raw: &[u8]) -> Result<Head, HeadError> {
    // Both are of the same length, so the ranges are those of `raw`.
    with_protocol(raw, HTTP2, HTTP11).map_or_else(|| Head::parse(raw), |other| Head::parse(&other))
}

/// The head with the end of its first line replaced; None if the line ends otherwise.
fn with_protocol(raw: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let line_end = memchr::memchr(b'\n', raw).map_or(0, |at| at + 1);
    let line = raw[..line_end].strip_suffix(from)?;
    Some([line, to, &raw[line_end..]].concat())
}

/// Turns LF into CRLF in the head: editors write LF, but HTTP requires CRLF. A head that has any CR stays as it is,
/// since it may test exactly that.
pub fn with_crlf(raw: Vec<u8>, what: &str, notes: &mut Vec<String>) -> Vec<u8> {
    let head_end = memchr::memmem::find(&raw, b"\n\n");
    let lines_end = |end| memchr::memchr(b'\r', &raw[..end]).is_none();
    let Some(end) = head_end.filter(|&end| lines_end(end)) else {
        return raw;
    };
    notes.push(format!(
        "the lines of the {what}'s head end with LF; they were read as CRLF"
    ));
    let mut out = Vec::with_capacity(raw.len() + 64);
    for &byte in &raw[..end + 2] {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out.extend_from_slice(&raw[end + 2..]);
    out
}

fn split_body(head: &Head, raw: &[u8], notes: &mut Vec<String>) -> (Vec<u8>, Framing) {
    let rest = &raw[head.length..];
    match read_body(head, rest) {
        Body::Whole(body) => {
            if body.is_empty() && !rest.is_empty() {
                let bytes = rest.len();
                notes.push(format!(
                    "{bytes} bytes after the head are not read: there is no Content-Length"
                ));
            }
            (body, Framing::Whole)
        }
        Body::Incomplete => {
            notes.push("the body ends too early; the rules saw what there is of it".to_owned());
            (rest.to_vec(), Framing::Cut)
        }
        // The front door answers 400 before any rule sees the body.
        Body::Malformed(why) => {
            notes.push(format!("{why}: the body is left out"));
            (Vec::new(), Framing::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_http2_keeps_its_protocol() {
        let head = b"GET /a HTTP/2.0\r\nhost: a\r\n\r\n".to_vec();
        let request = Request::from_parts(head, Vec::new(), None);
        let protocol = request.head.as_ref().unwrap().protocol.clone();
        assert_eq!(&request.raw[protocol], b"HTTP/2.0");
        assert_eq!(request.line(), b"GET /a HTTP/2.0");
    }

    #[test]
    fn a_body_is_whole_cut_or_malformed() {
        let post = |rest: &str| {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}");
            Request::from_file(text.into_bytes())
        };
        for (rest, framing, body) in [
            ("Content-Length: 2\r\n\r\nab", Framing::Whole, &b"ab"[..]),
            ("Content-Length: 3\r\n\r\nab", Framing::Cut, b"ab"),
            (
                "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
                Framing::Whole,
                b"a",
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\nx",
                Framing::Malformed,
                b"",
            ),
        ] {
            let request = post(rest);
            assert_eq!(
                (request.framing(), request.body()),
                (framing, body),
                "{rest}"
            );
        }
        assert!(post("Host: b\r\n\r\n").refusal().is_some());
    }
}
