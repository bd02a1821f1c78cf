//! Host names as clients send them and as routes name them.
//!
//! Both come to one normal form here, so that the table compares bytes. A name that no route could have has no normal
//! form; such a request can only reach a route for any host.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::net::Ipv6Addr;

/// RFC 1035, 2.3.4: no name is longer.
const MAX_NAME: usize = 253;

/// The normal form of a host: lower case, no port, no trailing dot, an IPv6 address in canonical form in brackets.
///
/// `raw` is the value of a Host header field or an authority as received. None if no route could name it.
#[must_use]
pub fn normalize(raw: &[u8]) -> Option<String> {
    let mut buffer = [0; MAX_NAME];
    let name = normalize_into(raw, &mut buffer)?;
    std::str::from_utf8(name).ok().map(str::to_owned)
}

/// Like [`normalize`], without allocating.
pub(super) fn normalize_into<'b>(raw: &[u8], buffer: &'b mut [u8; MAX_NAME]) -> Option<&'b [u8]> {
    // Only an IPv6 address may have colons of its own, and its bracket says that it is one.
    if raw.first() == Some(&b'[') {
        return normalize_ipv6(raw, buffer);
    }
    // Behind the first colon there are only digits, so `a:1:2` is no host.
    let name = match raw.iter().position(|&b| b == b':') {
        Some(colon) => {
            let (name, port) = raw.split_at(colon);
            is_port(&port[1..]).then_some(name)?
        }
        None => raw,
    };
    // The dot stands for the root of DNS; with and without it the name is the same.
    let name = name.strip_suffix(b".").unwrap_or(name);
    // None also if the name is longer than any name may be.
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
    // A zone (`%eth0`) does not parse: it has a meaning on the sender's machine alone.
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

/// Host names have no underscores by the standard, but people use them.
fn is_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len())
        && label
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
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
}
