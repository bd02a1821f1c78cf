//! Who may ask the admin API.
//!
//! A browser must not reach it, not even through a page that makes it connect to loopback.

use std::net::IpAddr;

use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN};

use super::router::{Method, Request, Response};
use crate::config::Token;
use http_strict::{only_bearer, split_port, valid_authority};

/// The field in which browsers say where a request comes from.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Who may send a request.
#[derive(Debug, Clone)]
pub(super) enum Access {
    /// The owner of the unix socket: its mode lets nobody else connect.
    Owner,
    /// Over TCP, the Host field must name our address or localhost. Otherwise a web page could make its own name
    /// resolve to loopback (DNS rebinding) and read our answers. A POST needs the token; without a configured token
    /// every POST is refused.
    Tcp { token: Option<Token>, own: IpAddr },
}

impl Access {
    /// The request without its body, if its sender may send it. Only the head decides, so that a stranger cannot make us
    /// hold a body.
    pub(super) fn admit(
        &self,
        head: &http::request::Parts,
        caller: &str,
    ) -> Result<Request, Response> {
        let method = match head.method {
            http::Method::GET => Method::Get,
            http::Method::POST => Method::Post,
            _ => return Err(Response::error(405, "use GET or POST")),
        };
        // A browser adds one of these if a page makes it connect here, and the page cannot remove it. Our tools send
        // none.
        if head.headers.contains_key(ORIGIN) || head.headers.contains_key(SEC_FETCH_SITE) {
            return Err(Response::error(403, "this API does not answer browsers"));
        }
        self.check_host(&head.headers)?;
        // A GET goes on all the same: only the router knows whether its answer is secret.
        let denial = self.authorize(&head.headers).err();
        if let (Method::Post, Some(denial)) = (method, &denial) {
            return Err(denial.clone());
        }
        // The absolute form is for proxies.
        if head.uri.scheme().is_some() || !head.uri.path().starts_with('/') {
            return Err(Response::error(400, "the target is not a path"));
        }
        Ok(Request {
            method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            accept: accepted(&head.headers),
            rest: String::new(),
            body: Vec::new(),
            caller: caller.to_owned(),
            denial,
        })
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), Response> {
        let mut hosts = headers.get_all(HOST).iter();
        // RFC 9112, 3.2: a request without a Host field, or with several, is answered 400.
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Response::error(400, "send one Host field"));
        };
        if !valid_authority(host.as_bytes()) {
            return Err(Response::error(400, "the Host field is not valid"));
        }
        match self {
            // No host name leads to a unix socket.
            Self::Owner => Ok(()),
            Self::Tcp { own, .. } if names_us(*own, host.as_bytes()) => Ok(()),
            Self::Tcp { own, .. } => {
                let words = format!("this API answers only for the host localhost or {own}");
                Err(Response::error(421, &words))
            }
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Response> {
        match (self, bearer_token(headers)) {
            (Self::Owner, _) => Ok(()),
            // `Token::is` compares in constant time, so the answers do not reveal how much of a guess is right.
            (
                Self::Tcp {
                    token: Some(token), ..
                },
                Some(given),
            ) if token.is(given) => Ok(()),
            (Self::Tcp { token: Some(_), .. }, _) => {
                let words = "send the token of admin_token_file: Authorization: Bearer TOKEN";
                Err(Response::error(401, words))
            }
            (Self::Tcp { token: None, .. }, _) => {
                let words = "over TCP, requests that change something or show what clients sent need an admin_token_file in the configuration";
                Err(Response::error(403, words))
            }
        }
    }
}

/// The token of the only `Authorization: Bearer`.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let fields = headers.get_all(AUTHORIZATION).iter();
    only_bearer(fields.map(HeaderValue::as_bytes))
}

/// The values of the Accept fields, as a list.
fn accepted(headers: &HeaderMap) -> String {
    let values = headers.get_all(ACCEPT).iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.collect::<Vec<_>>().join(",")
}

/// Whether the Host field names this machine. The port does not matter: it differs if a tunnel forwards to us.
pub(crate) fn names_us(own: IpAddr, host: &[u8]) -> bool {
    let Some((name, _)) = split_port(host) else {
        return false;
    };
    if name.eq_ignore_ascii_case(b"localhost") {
        return true;
    }
    let text = std::str::from_utf8(name).unwrap_or_default();
    let literal = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = literal.unwrap_or(text).parse::<IpAddr>();
    // `[::ffff:127.0.0.1]` is the same address as `127.0.0.1`.
    address.is_ok_and(|address| address.to_canonical() == own)
}
