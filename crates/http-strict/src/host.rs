//! What a `Host` or an `:authority` may be.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

/// Whether `bytes` is `host` or `host:port` (RFC 9110, section 7.2) with a name that DNS or an address can have:
/// letters, digits, `-`, `.`, `_`, or an IPv6 address in brackets. The generic URI syntax would also allow percent
/// signs, sub-delimiters and userinfo; they have no use in a host, and attacks use them.
#[must_use]
pub fn valid_authority(bytes: &[u8]) -> bool {
    let Some((host, port)) = split_port(bytes) else {
        return false;
    };
    valid_host(host) && port.is_none_or(valid_port)
}

/// Splits `host` or `host:port`, also with an IPv6 address in brackets, at the colon of the port. Neither part is
/// checked. None means that something other than a colon follows the closing bracket, or that there is no such bracket.
#[must_use]
pub fn split_port(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if bytes.first() == Some(&b'[') {
        let end = bytes.iter().position(|&b| b == b']')?;
        let (host, rest) = bytes.split_at(end + 1);
        return match rest.split_first() {
            None => Some((host, None)),
            Some((b':', port)) => Some((host, Some(port))),
            Some(_) => None,
        };
    }
    match bytes.iter().position(|&b| b == b':') {
        None => Some((bytes, None)),
        Some(at) => Some((&bytes[..at], Some(&bytes[at + 1..]))),
    }
}

/// The host of `host` or `host:port`; all of it if it is neither.
#[must_use]
pub fn without_port(bytes: &[u8]) -> &[u8] {
    split_port(bytes).map_or(bytes, |(host, _)| host)
}

fn valid_host(host: &[u8]) -> bool {
    if let Some(inner) = host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")) {
        return std::str::from_utf8(inner)
            .is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        // The longest name of DNS (RFC 1035, 2.3.4).
        && host.len() <= 255
        && host
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b))
        // Only the root of DNS is an empty label, and it comes last.
        && !host.starts_with(b".")
        && !host.windows(2).any(|pair| pair == b"..")
}

fn valid_port(port: &[u8]) -> bool {
    // An empty port is allowed (RFC 3986, 3.2.3). With five digits the sum below cannot overflow.
    port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0u32, |n, &b| n * 10 + u32::from(b - b'0')) <= 65_535
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in [
            "localhost",
            "a.example.com",
            "a.example.com.",
            "a_b.test:8443",
            "127.0.0.1",
            "[::1]",
            "[::1]:80",
            "example.com:",
            "example.com:65535",
            "X-1.test",
        ] {
            assert!(valid_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a%1f",
            "a,b",
            "a/b",
            "a@b",
            "u:p@b",
            "[::1",
            "[::1]x",
            "[x]",
            "::1",
            "a:80:80",
            "a:65536",
            "a:+80",
            "a:8o",
            ".a",
            "a..b",
            "a\u{e9}",
            "a?b",
            "a#b",
            "a\\b",
            "[127.0.0.1]",
            "*",
        ] {
            assert!(!valid_authority(bad.as_bytes()), "{bad}");
        }
    }
}
