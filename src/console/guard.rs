//! What a request must show before anything of it is looked at.
//!
//! A browser sends requests that other sites made it send. So the host must be ours (a page could make its own name
//! resolve to loopback), and a change must come from our own pages.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, ORIGIN};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::admin::names_us;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is not exactly one host.
    Host,
    /// The host is not ours.
    ForeignHost,
    /// The console has only GET and POST.
    Method,
    /// Another site made the browser send it.
    ForeignOrigin,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::BAD_REQUEST,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Host => "send one Host field",
            Self::ForeignHost => {
                "the console does not answer for this host: add it to \"hosts\" of [console]"
            }
            Self::Method => "use GET or POST",
            Self::ForeignOrigin => "this request does not come from a page of the console",
        }
    }
}

/// Checks host, method and origin. `own` is the address that the client reached.
pub(super) fn check(head: &Parts, own: IpAddr, hosts: &[String]) -> Result<(), Refusal> {
    let host = check_host(head, own, hosts)?;
    match head.method {
        // A GET changes nothing, so a link may come from anywhere.
        Method::GET => Ok(()),
        Method::POST if is_own(&head.headers, host) => Ok(()),
        Method::POST => Err(Refusal::ForeignOrigin),
        _ => Err(Refusal::Method),
    }
}

/// The host, if it is ours.
pub(super) fn check_host<'h>(
    head: &'h Parts,
    own: IpAddr,
    hosts: &[String],
) -> Result<&'h [u8], Refusal> {
    let mut given = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else {
        return Err(Refusal::Host);
    };
    let host = host.as_bytes();
    // A tunnel may begin at any port, so the port of a listed host does not count.
    let name = http_strict::without_port(host);
    let is_listed = hosts
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    match is_listed || names_us(own, host) {
        true => Ok(host),
        false => Err(Refusal::ForeignHost),
    }
}

/// Whether one of our pages sent it. A browser adds both fields, and no page can change them; a client that sends none is
/// no browser, has no session of one, and loses nothing by being refused.
fn is_own(headers: &HeaderMap, host: &[u8]) -> bool {
    let origin = headers.get(ORIGIN).map(http::HeaderValue::as_bytes);
    let from = origin.and_then(|origin| {
        let plain = origin.strip_prefix(b"http://");
        // A reverse proxy or a tunnel may add TLS.
        plain.or_else(|| origin.strip_prefix(b"https://"))
    });
    let site = headers
        .get("sec-fetch-site")
        .map(http::HeaderValue::as_bytes);
    // The port counts here: another program on this machine is another origin. And browsers
    // leave the second field out where they do not trust the transport.
    from.is_some_and(|from| from.eq_ignore_ascii_case(host))
        && site.is_none_or(|site| site == b"same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, fields: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut request = http::Request::builder().method(method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(
            &head,
            [127, 0, 0, 1].into(),
            &["console.example".to_owned()],
        )
    }

    const OWN: (&str, &str) = ("host", "127.0.0.1:9901");

    #[test]
    fn only_our_hosts_are_answered() {
        for host in [
            "127.0.0.1:9901",
            "localhost",
            "LOCALHOST:1",
            "console.example:80",
        ] {
            assert_eq!(ask("GET", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "127.0.0.2", ""] {
            assert_eq!(
                ask("GET", &[("host", host)]),
                Err(Refusal::ForeignHost),
                "{host}"
            );
        }
        assert_eq!(ask("GET", &[]), Err(Refusal::Host));
        assert_eq!(ask("GET", &[OWN, OWN]), Err(Refusal::Host));
    }

    #[test]
    fn a_change_comes_from_our_own_pages() {
        let own = ("origin", "http://127.0.0.1:9901");
        let same = ("sec-fetch-site", "same-origin");
        assert_eq!(ask("POST", &[OWN, own, same]), Ok(()));
        assert_eq!(ask("POST", &[OWN, own]), Ok(()));
        for fields in [
            vec![OWN],
            vec![OWN, same],
            vec![OWN, ("origin", "null")],
            vec![OWN, ("origin", "http://evil.example"), same],
            vec![OWN, ("origin", "http://127.0.0.1:9902")],
            vec![OWN, own, ("sec-fetch-site", "same-site")],
            vec![OWN, own, ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(
                ask("POST", &fields),
                Err(Refusal::ForeignOrigin),
                "{fields:?}"
            );
        }
        assert_eq!(ask("DELETE", &[OWN, own]), Err(Refusal::Method));
    }
}
