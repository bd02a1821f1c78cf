//! Host names as clients write them and as routes name them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::HostPattern;

/// RFC 1035, 2.3.4; what is longer is no name that a route could have.
const MAX_NAME: usize = 253;

/// A host as it is compared: lower case, no port, no trailing dot, IPv6 in its canonical brackets.
///
/// `raw` is a Host header's or an authority's value as received. None where it is no host that a
/// route could name.
#[must_use]
pub fn normalize(raw: &[u8]) -> Option<String> {
    let mut buffer = [0; MAX_NAME];
    let name = normalize_into(raw, &mut buffer)?;
    std::str::from_utf8(name).ok().map(str::to_owned)
}

/// Like [`normalize`], without allocating.
pub(super) fn normalize_into<'b>(raw: &[u8], buffer: &'b mut [u8; MAX_NAME]) -> Option<&'b [u8]> {
    if raw.first() == Some(&b'[') {
        return normalize_ipv6(raw, buffer);
    }
    let name = match raw.iter().position(|&b| b == b':') {
        Some(colon) => {
            let (name, port) = raw.split_at(colon);
            is_port(&port[1..]).then_some(name)?
        }
        None => raw,
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    let target = buffer.get_mut(..name.len())?;
    if name.is_empty() || !name.split(|&b| b == b'.').all(is_label) {
        return None;
    }
    target.copy_from_slice(name);
    target.make_ascii_lowercase();
    Some(target)
}

fn normalize_ipv6<'b>(raw: &[u8], buffer: &'b mut [u8; MAX_NAME]) -> Option<&'b [u8]> {
    let close = raw.iter().position(|&b| b == b']')?;
    match &raw[close + 1..] {
        [] => {}
        [b':', port @ ..] if is_port(port) => {}
        _ => return None,
    }
    let address: Ipv6Addr = std::str::from_utf8(&raw[1..close]).ok()?.parse().ok()?;
    let text = format!("[{address}]");
    let target = buffer.get_mut(..text.len())?;
    target.copy_from_slice(text.as_bytes());
    Some(target)
}

/// `host:` with an empty port is allowed (RFC 3986, 3.2.3).
fn is_port(digits: &[u8]) -> bool {
    digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit)
}

/// Underscores are no part of host names, but people have them.
fn is_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len())
        && label
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl FromStr for HostPattern {
    /// What is wrong with it, in words.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(format!(
                "\"{text}\" is no host: a star stands for all (\"*\") or for the labels before a name (\"*.example.com\")"
            ));
        }
        if !name.is_ascii() {
            return Err(format!(
                "\"{text}\" is no host name: write it in its ASCII form (xn--...)"
            ));
        }
        let has_port = match name.strip_prefix('[') {
            Some(rest) => !rest.ends_with(']'),
            None => name.contains(':'),
        };
        if has_port {
            return Err(match name.parse::<Ipv6Addr>() {
                Ok(address) => format!("\"{text}\" is no host: write it as \"[{address}]\""),
                Err(_) => format!(
                    "\"{text}\" is no host: leave scheme and port out, they are the listener's"
                ),
            });
        }
        let Some(name) = normalize(name.as_bytes()) else {
            return Err(format!("\"{text}\" is no host name"));
        };
        if wildcard && (name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok()) {
            return Err(format!("\"{text}\": an address has no labels before it"));
        }
        Ok(if wildcard {
            Self::Wildcard(name)
        } else {
            Self::Exact(name)
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
            Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_many_spellings() {
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(128);
        for (raw, expected) in [
            ("api.test", Some("api.test")),
            ("API.Test", Some("api.test")),
            ("api.test.", Some("api.test")),
            ("api.test:8443", Some("api.test")),
            ("api.test.:8443", Some("api.test")),
            ("api.test:", Some("api.test")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:8443", Some("[::1]")),
            ("[0:0:0:0:0:0:0:1]", Some("[::1]")),
            ("[2001:DB8::A]", Some("[2001:db8::a]")),
            ("under_score.test", Some("under_score.test")),
            ("", None),
            (".", None),
            (":80", None),
            ("api..test", None),
            (".api.test", None),
            ("api.test..", None),
            ("api.test:80:80", None),
            ("api.test:8o", None),
            ("api.test:123456", None),
            ("api.test@evil.test", None),
            ("api.test/", None),
            ("api%2etest", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[fe80::1%25eth0]", None),
            (&*long_label, None),
            (&*long_name, None),
        ] {
            assert_eq!(normalize(raw.as_bytes()).as_deref(), expected, "{raw}");
        }
        assert_eq!(normalize(b"caf\xe9.test"), None);
        assert_eq!(normalize(b"a\0.test"), None);
    }

    #[test]
    fn patterns_are_hosts_or_say_why_not() {
        use HostPattern::{Any, Exact, Wildcard};
        for (text, expected) in [
            ("*", Ok(Any)),
            ("API.test.", Ok(Exact("api.test".into()))),
            ("*.Example.com", Ok(Wildcard("example.com".into()))),
            ("[::1]", Ok(Exact("[::1]".into()))),
            ("10.0.0.1", Ok(Exact("10.0.0.1".into()))),
            ("api.*.com", Err("a star stands for")),
            ("*api.com", Err("a star stands for")),
            ("bücher.test", Err("ASCII form")),
            ("api.test:443", Err("leave scheme and port out")),
            ("https://api.test", Err("leave scheme and port out")),
            ("::1", Err("\"[::1]\"")),
            ("[::1]:443", Err("leave scheme and port out")),
            ("a b", Err("is no host name")),
            ("", Err("is no host name")),
            ("*.10.0.0.1", Err("no labels before it")),
        ] {
            match (text.parse::<HostPattern>(), expected) {
                (Ok(pattern), Ok(expected)) => assert_eq!(pattern, expected, "{text}"),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{text}: {reason}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
