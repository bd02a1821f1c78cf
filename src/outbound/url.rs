//! An absolute URL of a server, as somebody wrote it or as a document of a server names it.
//!
//! Invariant: the host is a DNS name in lower case or an address, and the text that is shown has no query, which may hold
//! a secret.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

/// The most bytes of a URL.
const MOST: usize = 2048;
/// The most bytes of a DNS name.
const MOST_HOST: usize = 253;

/// A URL with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    pub(super) target: String,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// Why a text is no URL that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlError {
    /// It is longer than 2048 bytes.
    TooLong,
    /// It is no absolute URL with `http` or `https`.
    Malformed,
    /// It holds a user or a password.
    UserInfo,
    /// It has a part after `#`.
    Fragment,
    /// Its host is neither a DNS name nor an address.
    Host,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "is longer than 2048 bytes",
            Self::Malformed => "must be a URL like \"https://host.example/path\"",
            Self::UserInfo => "must hold no user and no password: a URL is shown in logs",
            Self::Fragment => "must have no \"#\"",
            Self::Host => "must have a host that is a DNS name or an address",
        })
    }
}

impl std::error::Error for UrlError {}

impl Scheme {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > MOST {
            return Err(UrlError::TooLong);
        }
        // `Uri` would drop it.
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            _ => return Err(UrlError::Malformed),
        };
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInfo);
        }
        // Not `Authority::port`, which takes a wrong port for none.
        let port = authority.as_str().strip_prefix(authority.host());
        let port = match port.ok_or(UrlError::Malformed)? {
            "" => scheme.port(),
            port => number(port).ok_or(UrlError::Malformed)?,
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self {
            scheme,
            host: host(authority.host()).ok_or(UrlError::Host)?,
            port,
            // A query alone has no path before it.
            target: match target.starts_with('/') {
                true => target.to_owned(),
                false => format!("/{target}"),
            },
        })
    }
}

/// `:443`
fn number(port: &str) -> Option<u16> {
    let digits = port.strip_prefix(':')?;
    // `parse` would take `+443` too.
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    let port = digits.parse().ok().filter(|_| is_number);
    port.filter(|port| *port != 0)
}

/// IPv6 without its brackets.
fn host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']')?.parse::<std::net::Ipv6Addr>();
        return Some(address.ok()?.to_string());
    }
    // In one case, so that the same server is the same destination after a reload.
    let host = text.to_ascii_lowercase();
    if host.parse::<IpAddr>().is_ok() {
        return Some(host);
    }
    let label = |label: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !label.is_empty() && label.len() <= 63 && label.bytes().all(fits)
    };
    // `1.2.3` and `0x7f.1` are addresses for some resolvers and names for nobody.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_numeric = last.starts_with(|c: char| c.is_ascii_digit());
    let fits = host.len() <= MOST_HOST && !is_numeric && host.split('.').all(label);
    fits.then_some(host)
}

impl Url {
    /// What it speaks.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// A DNS name in lower case, or an address (IPv6 without brackets).
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, also where it is the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its path, without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Its query, if it has one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The same server with this path (and query) instead.
    ///
    /// # Errors
    /// It is no path.
    pub fn with_path(&self, path: &str) -> Result<Self, UrlError> {
        if !path.starts_with('/') {
            return Err(UrlError::Malformed);
        }
        // Through the parser again, which refuses a fragment or a space in the path.
        let authority = self.host_and_port();
        format!("{}://{authority}{path}", self.scheme.word()).parse()
    }

    /// As the Host field has it: without the scheme's own port.
    pub(super) fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.bracketed(),
            false => self.host_and_port(),
        }
    }

    pub(super) fn host_and_port(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    fn bracketed(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }
}

impl fmt::Display for Url {
    /// Without the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.word();
        write!(f, "{scheme}://{}{}", self.authority(), self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_shown_without_its_query() {
        for (text, host, port, target, shown) in [
            (
                "https://IdP.test",
                "idp.test",
                443,
                "/",
                "https://idp.test/",
            ),
            (
                "https://idp.test:8443/keys?a=b",
                "idp.test",
                8443,
                "/keys?a=b",
                "https://idp.test:8443/keys",
            ),
            (
                "https://idp.test:443?q",
                "idp.test",
                443,
                "/?q",
                "https://idp.test/",
            ),
            (
                "http://[::1]:4318/v1",
                "::1",
                4318,
                "/v1",
                "http://[::1]:4318/v1",
            ),
            ("http://10.0.0.1", "10.0.0.1", 80, "/", "http://10.0.0.1/"),
        ] {
            let url: Url = text.parse().unwrap_or_else(|e| panic!("{text} {e}"));
            assert_eq!((url.host(), url.port()), (host, port), "{text}");
            assert_eq!(url.target, target, "{text}");
            assert_eq!(url.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused() {
        for (text, expected) in [
            ("", UrlError::Malformed),
            ("/keys", UrlError::Malformed),
            ("idp.test:443", UrlError::Malformed),
            ("ftp://idp.test/", UrlError::Malformed),
            ("https://idp.test:0/", UrlError::Malformed),
            ("https://idp.test:/", UrlError::Malformed),
            ("https://idp.test:65536/", UrlError::Malformed),
            ("https://idp.test:+80/", UrlError::Malformed),
            ("https://idp.test/a b", UrlError::Malformed),
            ("https://me:secret@idp.test/", UrlError::UserInfo),
            ("https://idp.test/#me", UrlError::Fragment),
            ("https://idp..test/", UrlError::Host),
            ("https://idp.test./", UrlError::Host),
            ("https://1.2.3/", UrlError::Host),
            ("https://0x7f000001/", UrlError::Host),
            ("https://id%70.test/", UrlError::Malformed),
        ] {
            assert_eq!(text.parse::<Url>(), Err(expected), "{text}");
        }
        let long = format!("https://idp.test/{}", "a".repeat(MOST));
        assert_eq!(long.parse::<Url>(), Err(UrlError::TooLong));
    }

    #[test]
    fn a_path_stays_on_its_server() {
        let url: Url = "https://[::1]:4318/base".parse().unwrap();
        assert_eq!(
            url.with_path("/v1/logs").unwrap().to_string(),
            "https://[::1]:4318/v1/logs"
        );
        for path in ["", "v1", "@evil.test/", ".evil.test/"] {
            assert_eq!(url.with_path(path), Err(UrlError::Malformed), "{path}");
        }
    }
}
