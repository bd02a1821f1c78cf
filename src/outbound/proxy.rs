//! An HTTP proxy that somebody wrote down. `https` goes through a tunnel (CONNECT), so the proxy sees no content.

use std::fmt;

use openssl::base64::encode_block;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::Fault;
use super::url::{Scheme, Url, UrlError};

/// The most bytes of a proxy's answer to CONNECT.
const MOST_HEAD: usize = 8 * 1024;

/// A proxy. It is spoken to without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(super) url: Url,
    credentials: Option<ProxyCredentials>,
}

/// A user and a password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyCredentials(String);

impl fmt::Debug for ProxyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyCredentials(..)")
    }
}

impl ProxyCredentials {
    /// From `user:password`. None if it is not that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (user, _) = text.split_once(':')?;
        // A colon in a password is fine (RFC 7617, 2), a control character is not.
        let fits = !user.is_empty() && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// The value of Proxy-Authorization (RFC 7617).
    fn field(&self) -> String {
        format!("Basic {}", encode_block(self.0.as_bytes()))
    }
}

impl Proxy {
    /// From `http://HOST:PORT`.
    ///
    /// # Errors
    /// It is something else.
    pub fn new(url: &str, credentials: Option<ProxyCredentials>) -> Result<Self, UrlError> {
        let url: Url = url.parse()?;
        match (url.scheme, url.target.as_str()) {
            // Whoever writes a path here means something else than a proxy.
            (Scheme::Http, "/") => Ok(Self { url, credentials }),
            _ => Err(UrlError::Malformed),
        }
    }

    pub(super) fn authorization(&self) -> Option<String> {
        self.credentials.as_ref().map(ProxyCredentials::field)
    }

    /// Asks for a tunnel to the server of this URL.
    pub(super) async fn tunnel(&self, tcp: &mut TcpStream, to: &Url) -> Result<(), Fault> {
        // CONNECT names the port in any case (RFC 9112, 3.2.3).
        let target = to.host_and_port();
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = self.authorization() {
            head += &format!("Proxy-Authorization: {authorization}\r\n");
        }
        head += "\r\n";
        let broken = |error: std::io::Error| Fault::Proxy(format!("it broke off: {error}"));
        tcp.write_all(head.as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= MOST_HEAD {
                let words = format!("its answer to CONNECT is longer than {MOST_HEAD} bytes");
                return Err(Fault::Proxy(words));
            }
            // Byte by byte, so that nothing of what follows is taken: it belongs to the server's handshake.
            let byte = tcp.read_u8().await.map_err(broken)?;
            answer.push(byte);
        }
        match status(&answer) {
            // Each of them opens the tunnel (RFC 9110, 9.3.6).
            Some(200..=299) => Ok(()),
            Some(407) => Err(Fault::Proxy("it wants other credentials (407)".to_owned())),
            Some(status) => Err(Fault::Proxy(format!("it answered CONNECT with {status}"))),
            None => Err(Fault::Proxy("its answer to CONNECT is not HTTP".to_owned())),
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?.get(1..)?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let credentials = ProxyCredentials::parse("me:se:cret").unwrap();
        assert_eq!(credentials.field(), "Basic bWU6c2U6Y3JldA==");
        let proxy = Proxy::new("http://proxy.test:3128", Some(credentials)).unwrap();
        assert!(!format!("{proxy:?}").contains("cret"), "{proxy:?}");
        for text in ["", "me", ":secret", "me:se\ncret"] {
            assert_eq!(ProxyCredentials::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for text in [
            "https://proxy.test:3128",
            "http://proxy.test/path",
            "http://proxy.test?q",
        ] {
            assert_eq!(Proxy::new(text, None), Err(UrlError::Malformed), "{text}");
        }
    }
}
