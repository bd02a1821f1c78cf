//! Recognises logins that a gateway binds to the connection (NTLM, Negotiate as IIS implements it; RFC 4559). The
//! gateway takes every later request on such a connection for one of the same user, so no other client may use it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use http::header::{HeaderName, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};
use pingora::http::ResponseHeader;

use super::received::Received;
use crate::upstream::OwnConnections;
use http_strict::is_token_byte;

/// Schemes whose login is bound to the connection, in lower case.
const SCHEMES: [&str; 9] = [
    "negotiate",
    "ntlm",
    "kerberos",
    "nego2",
    "pku2u",
    "livessp",
    "spnego",
    "gssapi",
    "gss-spnego",
];

/// By this field servers say that the login holds for the connection (Microsoft's extension to RFC 4559).
const PERSISTENT_AUTH: HeaderName = HeaderName::from_static("persistent-auth");

/// The upstreams at which a client connection has a login, or may come to have one.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    /// By upstream.
    own: Mutex<HashMap<String, Arc<OwnConnections>>>,
}

impl Logins {
    /// The client connection's own connections to this upstream, if it has any.
    pub(crate) fn own(&self, upstream: &str) -> Option<Arc<OwnConnections>> {
        self.all().get(upstream).cloned()
    }

    /// From now on, requests of the client connection use their own connections to this upstream.
    pub(crate) fn keep_apart(&self, upstream: &str) -> Arc<OwnConnections> {
        let mut all = self.all();
        if let Some(own) = all.get(upstream) {
            return Arc::clone(own);
        }
        let own = Arc::new(OwnConnections::new());
        all.insert(upstream.to_owned(), Arc::clone(&own));
        own
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<OwnConnections>>> {
        // A poisoned lock is used all the same: nothing panics with the map half changed.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bound scheme with which a request logs in, if it is one.
#[must_use]
pub(crate) fn of_request(received: &Received) -> Option<&'static str> {
    let names: [&'static [u8]; 2] = [b"authorization", b"proxy-authorization"];
    let mut elements = names.into_iter().flat_map(|name| received.elements(name));
    elements.find_map(bound_scheme)
}

/// The bound scheme that an answer offers or continues, if any.
#[must_use]
pub(crate) fn of_answer(headers: &HeaderMap) -> Option<&'static str> {
    let fields = [WWW_AUTHENTICATE, PROXY_AUTHENTICATE];
    let values = fields.iter().flat_map(|name| headers.get_all(name));
    // Without regard to quotes: a comma in a quoted string can only find a scheme too many, which keeps connections
    // apart.
    let mut elements = values.flat_map(|value| value.as_bytes().split(|&b| b == b','));
    let offered = elements.find_map(bound_scheme);
    offered.or_else(|| {
        headers
            .contains_key(PERSISTENT_AUTH)
            .then_some("Persistent-Auth")
    })
}

/// Removes the bound schemes from an answer. False if it offered no other.
pub(crate) fn withdraw(header: &mut ResponseHeader) -> pingora::Result<bool> {
    let offers = header.headers.get_all(WWW_AUTHENTICATE).iter();
    let kept: Vec<Vec<u8>> = offers
        .map(|value| without_bound(value.as_bytes()))
        .filter(|kept| !kept.is_empty())
        .collect();
    header.remove_header(&WWW_AUTHENTICATE);
    header.remove_header(&PERSISTENT_AUTH);
    for value in &kept {
        header.append_header(WWW_AUTHENTICATE, value.as_slice())?;
    }
    Ok(!kept.is_empty())
}

/// The bound scheme at the beginning of this element of a list, if it is one.
fn bound_scheme(element: &[u8]) -> Option<&'static str> {
    let (scheme, _) = scheme_and_rest(element);
    let mut schemes = SCHEMES.into_iter();
    schemes.find(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
}

/// The first token, and what follows it.
fn scheme_and_rest(element: &[u8]) -> (&[u8], &[u8]) {
    let element = element.trim_ascii();
    let end = element.iter().position(|b| !is_token_byte(*b));
    element.split_at(end.unwrap_or(element.len()))
}

/// A list of challenges (RFC 9110, 11.6.1) without those of bound schemes.
fn without_bound(value: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut in_bound = false;
    for element in list(value) {
        let (scheme, rest) = scheme_and_rest(element);
        // `realm="x"` and `realm = "x"` belong to the challenge before them.
        let is_parameter = rest.trim_ascii_start().first() == Some(&b'=');
        if !scheme.is_empty() && !is_parameter {
            in_bound = bound_scheme(element).is_some();
        }
        let element = element.trim_ascii();
        if !in_bound && !element.is_empty() {
            kept.push(element);
        }
    }
    kept.join(&b", "[..])
}

/// The elements between commas that are in no quoted string.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return byte == b',' && !quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use http_strict::Head;

    #[test]
    fn requests_that_log_in() {
        for (fields, scheme) in [
            ("Authorization: NTLM TlRMTVNTUAAB", Some("ntlm")),
            ("Authorization: negotiate YII=", Some("negotiate")),
            ("authorization: \tNEGOTIATE\tYII=", Some("negotiate")),
            (
                "Authorization: Basic YTpi, Negotiate YII=",
                Some("negotiate"),
            ),
            (
                "Authorization: Basic YTpi\r\nAuthorization: Kerberos x",
                Some("kerberos"),
            ),
            ("Proxy-Authorization: NTLM x", Some("ntlm")),
            ("Authorization: Bearer ntlm", None),
            ("Authorization: Digest username=\"negotiate\"", None),
            ("X-Authorization: NTLM x", None),
        ] {
            let raw = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
            let head = Head::parse(raw.as_bytes()).unwrap();
            let received = Received::from_h1(raw.into(), head);
            assert_eq!(of_request(&received), scheme, "{fields}");
        }
    }

    #[test]
    fn answers_that_offer_it_and_what_is_left_of_them() {
        for (fields, scheme, left) in [
            (&[("WWW-Authenticate", "NTLM")][..], Some("ntlm"), &[][..]),
            (
                &[("www-authenticate", "negotiate oYG2=")],
                Some("negotiate"),
                &[],
            ),
            (
                &[
                    ("WWW-Authenticate", "Negotiate"),
                    ("WWW-Authenticate", "NTLM"),
                    ("WWW-Authenticate", "Basic realm=\"a\""),
                ],
                Some("negotiate"),
                &["Basic realm=\"a\""],
            ),
            (
                &[(
                    "WWW-Authenticate",
                    "Basic realm=\"a, b\", charset=\"UTF-8\",NTLM , Digest realm = x, nonce=\"y\"",
                )],
                Some("ntlm"),
                &["Basic realm=\"a, b\", charset=\"UTF-8\", Digest realm = x, nonce=\"y\""],
            ),
            (
                &[(
                    "WWW-Authenticate",
                    "Negotiate YII=, opaque=1, Basic realm=x",
                )],
                Some("negotiate"),
                &["Basic realm=x"],
            ),
            (&[("Proxy-Authenticate", "NTLM")], Some("ntlm"), &[]),
            (&[("Persistent-Auth", "true")], Some("Persistent-Auth"), &[]),
            (
                &[("WWW-Authenticate", "Basic realm=\"NTLM\"")],
                None,
                &["Basic realm=\"NTLM\""],
            ),
            (&[("Server", "NTLM")], None, &[]),
        ] {
            let mut header = ResponseHeader::build(401, None).unwrap();
            for (name, value) in fields {
                header.append_header(*name, *value).unwrap();
            }
            assert_eq!(of_answer(&header.headers), scheme, "{fields:?}");
            let some_left = withdraw(&mut header).unwrap();
            let values = header.headers.get_all(WWW_AUTHENTICATE).iter();
            let values: Vec<&str> = values.map(|v: &HeaderValue| v.to_str().unwrap()).collect();
            assert_eq!(values, left, "{fields:?}");
            assert_eq!(some_left, !left.is_empty(), "{fields:?}");
        }
    }
}
