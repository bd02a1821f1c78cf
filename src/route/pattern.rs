//! Host and path patterns as text: parsing them from a configuration, and showing them.
//!
//! A pattern that could never match is an error here, with the way to write it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::claim::{HostPattern, PathPattern};
use super::host::normalize;
use super::path::{PathRefusal, check};

/// Why a host pattern or path pattern is invalid. The configuration erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// The pattern as it was written.
    pub text: String,
    /// What is wrong with it.
    pub fault: PatternFault,
}

/// What is wrong with a host pattern or path pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFault {
    /// A host has a star in another place than a wildcard's.
    HostStar,
    /// A host is not ASCII.
    HostNotAscii,
    /// A host is an IPv6 address without brackets.
    HostWithoutBrackets(Ipv6Addr),
    /// A host has a scheme or a port.
    HostWithPort,
    /// A host has characters, labels or a length that no host name has.
    HostInvalid,
    /// A wildcard stands before an IP address.
    WildcardAddress,
    /// A path does not begin with a slash.
    PathWithoutSlash,
    /// A path has a star.
    PathStar,
    /// A path has a query.
    PathQuery,
    /// A path is not ASCII.
    PathNotAscii,
    /// A path has an empty segment.
    PathEmptySegment,
    /// We refuse every request for this path.
    PathRefused(PathRefusal),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.text)?;
        match self.fault {
            PatternFault::HostStar => f.write_str(
                " is not a host: a star stands for all hosts (\"*\") or for the labels before a name (\"*.example.com\")",
            ),
            PatternFault::HostNotAscii => {
                f.write_str(" is not a host name: write it in its ASCII form (xn--...)")
            }
            PatternFault::HostWithoutBrackets(address) => {
                write!(f, " is not a host: write it as \"[{address}]\"")
            }
            PatternFault::HostWithPort => f.write_str(
                " is not a host: leave out scheme and port, which belong to the listener",
            ),
            PatternFault::HostInvalid => f.write_str(" is not a host name"),
            PatternFault::WildcardAddress => {
                f.write_str(": an IP address has no labels before it")
            }
            PatternFault::PathWithoutSlash => {
                f.write_str(" is not a path: a path begins with a slash")
            }
            PatternFault::PathStar => f.write_str(
                ": a path has no stars; a slash at its end includes every path below it",
            ),
            PatternFault::PathQuery => f.write_str(": a path has no query"),
            PatternFault::PathNotAscii => {
                f.write_str(": percent-encode what is not ASCII, as clients send it")
            }
            PatternFault::PathEmptySegment => {
                f.write_str(" has an empty segment, which many servers drop")
            }
            PatternFault::PathRefused(refusal) => {
                write!(f, " could never be reached: {refusal} is refused")
            }
        }
    }
}

impl std::error::Error for PatternError {}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let invalid = |fault| {
            let text = text.to_owned();
            Err(PatternError { text, fault })
        };
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if name.contains('*') {
            return invalid(PatternFault::HostStar);
        }
        if !name.is_ascii() {
            return invalid(PatternFault::HostNotAscii);
        }
        // Only an IPv6 address in brackets may have a colon.
        let has_port = match name.strip_prefix('[') {
            Some(rest) => !rest.ends_with(']'),
            None => name.contains(':'),
        };
        if has_port {
            return invalid(match name.parse() {
                Ok(address) => PatternFault::HostWithoutBrackets(address),
                Err(_) => PatternFault::HostWithPort,
            });
        }
        // In the form that the host of a request gets, because the table compares bytes.
        let Some(name) = normalize(name.as_bytes()) else {
            return invalid(PatternFault::HostInvalid);
        };
        if wildcard && (name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok()) {
            return invalid(PatternFault::WildcardAddress);
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

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let invalid = |fault| {
            let text = text.to_owned();
            Err(PatternError { text, fault })
        };
        if !text.starts_with('/') {
            return invalid(PatternFault::PathWithoutSlash);
        }
        if text.contains('*') {
            return invalid(PatternFault::PathStar);
        }
        if text.contains('?') {
            return invalid(PatternFault::PathQuery);
        }
        if !text.is_ascii() {
            return invalid(PatternFault::PathNotAscii);
        }
        if text.contains("//") {
            return invalid(PatternFault::PathEmptySegment);
        }
        if let Err(refusal) = check(text.as_bytes(), false) {
            return invalid(PatternFault::PathRefused(refusal));
        }
        let path = text.to_owned();
        Ok(match text.ends_with('/') {
            true => Self::Prefix(path),
            false => Self::Exact(path),
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) | Self::Prefix(path) => f.write_str(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_pattern_parses_or_says_what_is_wrong() {
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
            ("api.test:443", Err("leave out scheme and port")),
            ("https://api.test", Err("leave out scheme and port")),
            ("::1", Err("\"[::1]\"")),
            ("[::1]:443", Err("leave out scheme and port")),
            ("a b", Err("is not a host name")),
            ("", Err("is not a host name")),
            ("*.10.0.0.1", Err("no labels before it")),
        ] {
            match (text.parse::<HostPattern>(), expected) {
                (Ok(pattern), Ok(expected)) => assert_eq!(pattern, expected, "{text}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_path_pattern_parses_or_says_what_is_wrong() {
        for (text, expected) in [
            ("/", Ok(PathPattern::Prefix("/".into()))),
            ("/orders/", Ok(PathPattern::Prefix("/orders/".into()))),
            ("/orders", Ok(PathPattern::Exact("/orders".into()))),
            ("/caf%c3%a9", Ok(PathPattern::Exact("/caf%c3%a9".into()))),
            ("", Err("begins with a slash")),
            ("orders/", Err("begins with a slash")),
            ("/orders/*", Err("has no stars")),
            ("/orders?x", Err("no query")),
            ("/café", Err("percent-encode what")),
            ("/a//b", Err("empty segment")),
            ("/a/../b", Err("a dot segment in the path is refused")),
            ("/a%2fb", Err("an encoded slash")),
            ("/a b", Err("a blank")),
        ] {
            match (text.parse::<PathPattern>(), expected) {
                (Ok(pattern), Ok(expected)) => assert_eq!(pattern, expected, "{text}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
