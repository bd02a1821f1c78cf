//! The `Cookie` header (`REQUEST_COOKIES`), read as `SecCookieFormat` says.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::urlencoded::split_once;
use super::{Sink, is_space};

/// `SecCookieFormat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// The Netscape format, which browsers send.
    #[default]
    V0,
    /// RFC 2109: quoted values, `,` as a separator too, and `$` attributes.
    V1,
}

/// Gives every cookie of one header's value to `sink`, undecoded, in order.
///
/// Cookies with an empty name are dropped.
pub fn parse(value: &[u8], version: Version, sink: &mut Sink<'_>) {
    match version {
        Version::V0 => parse_netscape(value, sink),
        Version::V1 => parse_rfc2109(value, sink),
    }
}

fn parse_netscape(value: &[u8], sink: &mut Sink<'_>) {
    for piece in value.split(|&b| b == b';') {
        // As v2, which trims no blank at the end; v3 does.
        let (name, value) = split_once(trim_start(piece), b'=');
        if !name.is_empty() {
            sink(name, value);
        }
    }
}

/// Bytes of a cookie's name that are repeated in the names of its `$` attributes. One long name before many attributes
/// would otherwise produce far more bytes than the header has.
const OWNER_LENGTH: usize = 64;

fn parse_rfc2109(value: &[u8], sink: &mut Sink<'_>) {
    let ends_cookie = |b: &u8| matches!(b, b';' | b',');
    // The cookie whose attributes follow. Attributes before the first cookie, such as `$Version`, have none.
    let mut owner: Option<&[u8]> = None;
    let mut qualified = Vec::new();
    let mut rest = value;
    loop {
        rest = trim_start_by(rest, |b| is_space(b) || ends_cookie(&b));
        if rest.is_empty() {
            return;
        }
        let name_end = rest
            .iter()
            .position(|b| *b == b'=' || ends_cookie(b))
            .unwrap_or(rest.len());
        let name = trim_end(&rest[..name_end]);
        let has_value = rest.get(name_end) == Some(&b'=');
        rest = rest.get(name_end + 1..).unwrap_or_default();
        let mut value: &[u8] = &[];
        if has_value {
            rest = trim_start(rest);
            // A separator within quotes is part of the value.
            if let Some(quoted) = rest.strip_prefix(b"\"") {
                (value, rest) = split_once(quoted, b'"');
            } else {
                let end = rest.iter().position(ends_cookie).unwrap_or(rest.len());
                value = trim_end(&rest[..end]);
                rest = rest.get(end + 1..).unwrap_or_default();
            }
        }
        match (name.strip_prefix(b"$"), owner) {
            _ if name.is_empty() => {}
            // As in ModSecurity v2, `$Path` of the cookie `a` is named `$a_Path`.
            (Some(attribute), Some(owner)) => {
                qualified.clear();
                qualified.push(b'$');
                qualified.extend_from_slice(&owner[..owner.len().min(OWNER_LENGTH)]);
                qualified.push(b'_');
                qualified.extend_from_slice(attribute);
                sink(&qualified, value);
            }
            // An attribute before the first cookie keeps its name, and owns no other.
            (attribute, _) => {
                sink(name, value);
                if attribute.is_none() {
                    owner = Some(name);
                }
            }
        }
    }
}

pub(super) fn trim_start(bytes: &[u8]) -> &[u8] {
    trim_start_by(bytes, is_space)
}

fn trim_start_by(bytes: &[u8], drop: impl Fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|&b| !drop(b)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|&b| !is_space(b))
        .map_or(0, |i| i + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::super::mutate::mutations;
    use super::*;

    fn collect(value: &str, version: Version) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        parse(value.as_bytes(), version, &mut |n, v| {
            let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
            pairs.push((text(n), text(v)));
        });
        pairs
    }

    #[test]
    fn reads_cookies_as_modsecurity_does() {
        type Case = (
            Version,
            &'static str,
            &'static [(&'static str, &'static str)],
        );
        let cases: &[Case] = &[
            (Version::V0, "", &[]),
            (Version::V0, "a=1; b=2", &[("a", "1"), ("b", "2")]),
            (Version::V0, "a", &[("a", "")]),
            (Version::V0, "a=b=c", &[("a", "b=c")]),
            (Version::V0, " \t a=1 ; =x;; ;b", &[("a", "1 "), ("b", "")]),
            (Version::V0, "a =%41+\"x\"", &[("a ", "%41+\"x\"")]),
            (Version::V0, "a=1,b=2", &[("a", "1,b=2")]),
            (
                Version::V1,
                "a=1, b=2;c",
                &[("a", "1"), ("b", "2"), ("c", "")],
            ),
            (
                Version::V1,
                "a = \"x;y\" ; b = z ",
                &[("a", "x;y"), ("b", "z")],
            ),
            (Version::V1, "a=\"open", &[("a", "open")]),
            (
                Version::V1,
                "$Version=1; a=1; $Path=/",
                &[("$Version", "1"), ("a", "1"), ("$a_Path", "/")],
            ),
            (Version::V1, "=x;a=", &[("a", "")]),
        ];
        for (version, value, expected) in cases {
            let expected: Vec<(String, String)> = expected
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect();
            assert_eq!(collect(value, *version), expected, "{version:?} {value}");
        }
    }

    #[test]
    fn a_long_name_is_not_repeated_in_full_for_every_attribute() {
        let header = format!("{}=1;{}", "a".repeat(30_000), "$b;".repeat(10_000));
        let mut bytes = 0;
        parse(header.as_bytes(), Version::V1, &mut |n, v| {
            bytes += n.len() + v.len();
        });
        assert!(bytes < 30_000 + 10_000 * (OWNER_LENGTH + 4), "{bytes}");
    }

    #[test]
    fn mutations_stay_in_bounds() {
        mutations(
            &[b"a=1; b=2;;c", b"$Version=1; a=\"x\"; $Path=/; b"],
            &[b";", b",", b"=", b"\"", b" ", b"$x"],
            10_000,
            |value| {
                for version in [Version::V0, Version::V1] {
                    let mut calls = 0;
                    parse(value, version, &mut |n, _| {
                        calls += 1;
                        assert!(!n.is_empty());
                    });
                    assert!(calls <= value.len());
                }
            },
        );
    }
}
