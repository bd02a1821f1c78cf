//! Makes the head that the upstream gets: the client's, without what was meant for the hop to us (RFC 9110, 7.6.1), and
//! with what we say about the client.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};

use crate::config::Stream;
use crate::dropped_fields;
use crate::proxy::shared::received::Received;
use crate::tls::ClientIdentity;
use http_strict::BodyFraming;

/// What a trusted proxy says about its client, taken over into our own fields.
#[derive(Debug, Default)]
struct TrustedForwarding {
    forwarded_for: Vec<u8>,
    forwarded: Vec<u8>,
    host: SingleField,
    proto: SingleField,
}

/// A field that may occur only once.
#[derive(Debug, Default)]
enum SingleField {
    #[default]
    Nothing,
    Once(Bytes),
    /// The fields differ. Nobody knows which one is right, so none is believed.
    Contradiction,
}

impl SingleField {
    fn hear(&mut self, bytes: Bytes) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::Once(bytes),
            Self::Once(before) if before == bytes => Self::Once(before),
            _ => Self::Contradiction,
        };
    }

    fn single(self) -> Option<Bytes> {
        match self {
            Self::Once(bytes) => Some(bytes),
            Self::Nothing | Self::Contradiction => None,
        }
    }
}

/// What we know about where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'o> {
    pub peer: SocketAddr,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    pub request_id: &'o str,
    /// The client certificate that the handshake verified.
    pub client: Option<&'o ClientIdentity>,
}

/// How the body goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutgoingBody {
    /// Held completely; its length in bytes.
    Held(usize),
    /// Passed on as it arrives.
    Streamed(Stream),
}

/// The head for the upstream, with this target in origin form. `own_name` is the upstream's name, for a request of HTTP/1.0 without a host: HTTP/1.1
/// requires one (RFC 9112, 3.2 and 3.3).
///
/// The request cannot be written as HTTP/1.1; [`Received`] should have refused it.
pub(crate) fn head(
    received: &Received,
    target: &[u8],
    own_name: &str,
    origin: Origin<'_>,
    body: OutgoingBody,
) -> Result<RequestHeader> {
    let mut out = start(received, target)?;
    let host = received.host().unwrap_or(own_name.as_bytes());
    out.append_header("Host", value(Bytes::copy_from_slice(host))?)?;
    let nominated = nominated(received);
    let mut trusted_forwarding = TrustedForwarding::default();
    for (name, bytes) in received.shared_headers() {
        let is_nominated =
            || !nominated.is_empty() && nominated.contains(&name.to_ascii_lowercase());
        if dropped_fields::is_dropped(&name, origin.trusted) || is_nominated() {
            if origin.trusted {
                trusted_forwarding.hear(&name, bytes);
            }
            continue;
        }
        // Pingora keeps the case of the name.
        out.append_header(name, value(bytes)?)?;
    }
    frame(&mut out, received, body)?;
    introduce(&mut out, received, origin, trusted_forwarding)?;
    Ok(out)
}

/// Asks for an uncompressed answer, for a policy whose rules inspect answers and could not read a compressed one.
///
/// # Errors
/// None; the field is a constant.
pub(crate) fn ask_for_identity(head: &mut RequestHeader) -> Result<()> {
    head.insert_header("Accept-Encoding", "identity")
}

fn start(received: &Received, target: &[u8]) -> Result<RequestHeader> {
    let size = Some(16);
    let mut out = match RequestHeader::build(received.method(), target, size) {
        Ok(out) => out,
        // Tried as it is first, so that the gateway gets the client's bytes whenever pingora can hold them.
        Err(_) => RequestHeader::build(received.method(), &encoded(target), size)?,
    };
    out.set_version(Version::HTTP_11);
    Ok(out)
}

/// Encodes the bytes that RFC 3986 does not allow in a target and pingora's requests cannot hold. They are the only
/// ones that an upstream gets in another spelling than the client's.
fn encoded(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len() + 16);
    let mut in_query = false;
    for &byte in target {
        in_query |= byte == b'?';
        match byte {
            b'<' | b'>' | ..=b' ' | 0x7f => {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            b'"' if in_query => out.extend_from_slice(b"%22"),
            b'`' if !in_query => out.extend_from_slice(b"%60"),
            _ => out.push(byte),
        }
    }
    out
}

/// The names in the `Connection` fields, in lower case: those fields end at this hop too.
fn nominated(received: &Received) -> HashSet<Vec<u8>> {
    received
        .elements(b"connection")
        .map(<[u8]>::to_ascii_lowercase)
        .collect()
}

fn frame(out: &mut RequestHeader, received: &Received, body: OutgoingBody) -> Result<()> {
    match body {
        OutgoingBody::Held(0) if received.framing() == BodyFraming::None => {}
        // An empty body without a length is not mentioned if the method expects none; other methods get
        // `Content-Length: 0`.
        OutgoingBody::Held(0) if matches!(received.method(), b"GET" | b"HEAD" | b"OPTIONS") => {}
        OutgoingBody::Held(length) => {
            out.insert_header("Content-Length", length.to_string())?;
        }
        OutgoingBody::Streamed(stream) => {
            match received.framing() {
                BodyFraming::None => {}
                BodyFraming::Length(length) => {
                    out.insert_header("Content-Length", length.to_string())?;
                }
                BodyFraming::Chunked => out.insert_header("Transfer-Encoding", "chunked")?,
            }
            if stream == Stream::WebSocket && received.wants_websocket() {
                out.insert_header("Connection", "Upgrade")?;
                out.insert_header("Upgrade", "websocket")?;
            }
        }
    }
    Ok(())
}

/// Adds the request id, the forwarding fields (RFC 7239) and the client's certificate (RFC 9440).
fn introduce(
    out: &mut RequestHeader,
    received: &Received,
    origin: Origin<'_>,
    trusted_forwarding: TrustedForwarding,
) -> Result<()> {
    let address = origin.peer.ip().to_canonical();
    let host = received.host().unwrap_or_default();
    out.insert_header("X-Request-Id", origin.request_id)?;

    let mut forwarded_for = trusted_forwarding.forwarded_for;
    append_element(&mut forwarded_for, address.to_string().as_bytes());
    out.insert_header("X-Forwarded-For", value(forwarded_for.into())?)?;

    let proto = trusted_forwarding.proto.single();
    // Routes are served over TLS alone.
    let proto = proto.unwrap_or(Bytes::from_static(b"https"));
    out.insert_header("X-Forwarded-Proto", value(proto)?)?;
    let original_host = trusted_forwarding
        .host
        .single()
        .unwrap_or_else(|| Bytes::copy_from_slice(host));
    if !original_host.is_empty() {
        out.insert_header("X-Forwarded-Host", value(original_host)?)?;
    }

    let mut forwarded = trusted_forwarding.forwarded;
    append_element(&mut forwarded, &forwarded_element(address, host));
    out.insert_header("Forwarded", value(forwarded.into())?)?;

    if let Some(client) = origin.client {
        out.insert_header("Client-Cert", value(client.certificate.clone())?)?;
        if let Some(chain) = &client.chain {
            out.insert_header("Client-Cert-Chain", value(chain.clone())?)?;
        }
    }
    Ok(())
}

fn forwarded_element(address: IpAddr, host: &[u8]) -> Vec<u8> {
    let mut element = match address {
        IpAddr::V4(v4) => format!("for={v4};proto=https"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\";proto=https"),
    }
    .into_bytes();
    // Other bytes would need escapes in the quoted string, and a host with them could add parameters of its own.
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if !host.is_empty() && host.iter().all(plain) {
        element.extend_from_slice(b";host=\"");
        element.extend_from_slice(host);
        element.push(b'"');
    }
    element
}

impl TrustedForwarding {
    fn hear(&mut self, name: &[u8], bytes: Bytes) {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("x-forwarded-for") {
            append_element(&mut self.forwarded_for, &bytes);
        } else if is("forwarded") {
            append_element(&mut self.forwarded, &bytes);
        } else if is("x-forwarded-host") {
            self.host.hear(bytes);
        } else if is("x-forwarded-proto") {
            self.proto.hear(bytes);
        }
    }
}

fn append_element(list: &mut Vec<u8>, element: &[u8]) {
    if element.is_empty() {
        return;
    }
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element);
}

fn value(bytes: Bytes) -> Result<HeaderValue> {
    HeaderValue::from_maybe_shared(bytes)
        .map_err(|e| Error::because(ErrorType::InvalidHTTPHeader, "a field's value", e))
}

/// Removes the fields of a response that end at this hop; pingora writes `Connection` itself. `head`: the request was
/// HEAD.
pub(crate) fn strip_response(header: &mut pingora::http::ResponseHeader, head: bool) {
    let nominated: Vec<HeaderName> = header
        .headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|v| v.as_bytes().split(|&b| b == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        // A gateway must not remove by `Connection` what frames its own answer.
        .filter(|name| {
            !matches!(
                name.as_str(),
                "content-length" | "transfer-encoding" | "upgrade"
            )
        })
        .collect();
    for name in nominated {
        header.remove_header(&name);
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authentication-info",
        "upgrade",
    ] {
        header.remove_header(name);
    }
    if head || header.status.as_u16() == 304 {
        // Without a body it only says how one would have been sent (RFC 9112, 6.1), which is our choice.
        header.remove_header(&http::header::TRANSFER_ENCODING);
    }
    // Each hop announces its own version (RFC 9110, 2.5).
    header.set_version(Version::HTTP_11);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_strict::Head;

    fn received(fields: &[(&str, &str)]) -> Received {
        let mut raw = "POST /a?b HTTP/1.1\r\n".to_owned();
        for (name, value) in fields {
            raw += &format!("{name}: {value}\r\n");
        }
        raw += "\r\n";
        let head = Head::parse(raw.as_bytes()).unwrap();
        Received::from_h1(raw.into(), head)
    }

    fn origin(trusted: bool) -> Origin<'static> {
        Origin {
            peer: ([192, 0, 2, 7], 5).into(),
            trusted,
            request_id: "ours",
            client: None,
        }
    }

    fn get<'h>(header: &'h RequestHeader, name: &str) -> Vec<&'h str> {
        let values = header.headers.get_all(name).iter();
        values.map(|v| v.to_str().unwrap()).collect()
    }

    #[test]
    fn a_strangers_word_is_dropped_and_a_proxys_extended() {
        let fields = [
            ("host", "a.test"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=203.0.113.9"),
            ("x_forwarded_for", "1.2.3.4"),
            ("x-request-id", "theirs"),
            ("client-cert", ":x:"),
            ("x-forwarded-port", "8080"),
            ("x-real-ip", "203.0.113.9"),
            ("X_Real_IP", "203.0.113.8"),
            ("remote-user", "admin"),
            ("Content_Length", "9"),
            ("Transfer.Encoding", "chunked"),
        ];
        let received = received(&fields);
        let sent = |origin| {
            head(
                &received,
                &received.origin_form(),
                "own",
                origin,
                OutgoingBody::Held(3),
            )
            .unwrap()
        };
        let stranger = sent(origin(false));
        for (name, expected) in [
            ("x-forwarded-for", vec!["192.0.2.7"]),
            ("x-forwarded-proto", vec!["https"]),
            ("x-forwarded-host", vec!["a.test"]),
            (
                "forwarded",
                vec!["for=192.0.2.7;proto=https;host=\"a.test\""],
            ),
            ("x-request-id", vec!["ours"]),
            ("x_forwarded_for", vec![]),
            ("client-cert", vec![]),
            ("content-length", vec!["3"]),
            ("x-forwarded-port", vec![]),
            ("x-real-ip", vec![]),
            ("x_real_ip", vec![]),
            ("remote-user", vec![]),
            ("content_length", vec![]),
            ("transfer.encoding", vec![]),
        ] {
            assert_eq!(get(&stranger, name), expected, "{name}");
        }
        let proxy = sent(origin(true));
        for (name, expected) in [
            ("x-forwarded-for", "203.0.113.9, 192.0.2.7"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil"),
            (
                "forwarded",
                "for=203.0.113.9, for=192.0.2.7;proto=https;host=\"a.test\"",
            ),
            ("x-request-id", "ours"),
            ("x-forwarded-port", "8080"),
            ("x-real-ip", "203.0.113.9"),
            ("remote-user", "admin"),
        ] {
            assert_eq!(get(&proxy, name), vec![expected], "{name}");
        }
        for twin in [
            "x_real_ip",
            "x_forwarded_for",
            "content_length",
            "transfer.encoding",
        ] {
            assert_eq!(get(&proxy, twin), Vec::<&str>::new(), "{twin}");
        }
    }

    #[test]
    fn a_proxy_that_contradicts_itself_is_not_believed() {
        let sent = |fields: &[(&str, &str)]| {
            let fields = [&[("host", "a.test")], fields].concat();
            let out = head(
                &received(&fields),
                b"/",
                "own",
                origin(true),
                OutgoingBody::Held(0),
            )
            .unwrap();
            let first = |name| get(&out, name)[0].to_owned();
            (first("x-forwarded-proto"), first("x-forwarded-host"))
        };
        let twice = [("x-forwarded-proto", "http"), ("x-forwarded-proto", "http")];
        assert_eq!(sent(&twice), ("http".to_owned(), "a.test".to_owned()));
        let two = [
            ("x-forwarded-proto", "http"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "b.test"),
            ("x-forwarded-host", "c.test"),
        ];
        assert_eq!(sent(&two), ("https".to_owned(), "a.test".to_owned()));
    }

    #[test]
    fn a_request_that_names_no_host_gets_the_upstreams() {
        for (fields, expected) in [
            ("", "own"),
            ("Host: \r\n", "own"),
            ("Host: a.test\r\n", "a.test"),
        ] {
            let raw = format!("GET / HTTP/1.0\r\n{fields}\r\n");
            let head_of = Head::parse(raw.as_bytes()).unwrap();
            let received = Received::from_h1(raw.into(), head_of);
            let out = head(
                &received,
                &received.origin_form(),
                "own",
                origin(false),
                OutgoingBody::Held(0),
            )
            .unwrap();
            assert_eq!(get(&out, "host"), [expected], "{fields:?}");
        }
    }

    #[test]
    fn what_is_for_this_hop_ends_here() {
        let received = received(&[
            ("Host", "a"),
            ("Connection", "x-hop, close"),
            ("X-Hop", "1"),
            ("TE", "trailers"),
            ("X-Stays", "1"),
        ]);
        let out = head(
            &received,
            &received.origin_form(),
            "own",
            origin(false),
            OutgoingBody::Held(0),
        )
        .unwrap();
        for dropped in ["connection", "x-hop", "te", "content-length"] {
            assert!(get(&out, dropped).is_empty(), "{dropped}");
        }
        let mut wire = Vec::new();
        out.header_to_h1_wire(&mut wire);
        let wire = String::from_utf8(wire).unwrap();
        assert!(wire.contains("X-Stays: 1\r\n"), "case is kept: {wire}");
    }
}
