//! What requests are told apart by.
//!
//! A part that a request lacks, or has more than once, is the empty value, which all such requests share: a gateway may read
//! another one of two than we do, so whoever sends two must not get a bucket of its own.

use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::str::FromStr;

use http_strict::is_token;

use super::error::SettingsError;
use crate::client_site::client_site;
use crate::hex::hex;
use crate::identity::Caller;

const KNOWN: &str = "\"client\", \"route\", \"host\", \"header:NAME\", \"cookie:NAME\", \"query:NAME\" or \"identity:CLAIM\"";
/// Bytes of a name that are shown.
const MOST_SHOWN: usize = 64;

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// The client's address; of IPv6 its /64.
    Client,
    /// The route that takes the request.
    Route,
    /// The host that is asked for.
    Host,
    /// The value of a header field; the name is in lower case.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The value of an argument in the query.
    Query(String),
    /// A claim of the caller.
    Identity(String),
}

/// What is known of a request.
pub struct Facts<'r> {
    /// The client, as a trusted proxy reports it, otherwise the peer.
    pub client: IpAddr,
    /// None if no route takes it.
    pub route: Option<&'r str>,
    /// In lower case, without a port.
    pub host: Option<&'r str>,
    /// Its head.
    pub head: &'r dyn Head,
    /// None if nobody asked, or before it was verified.
    pub caller: Option<&'r Caller>,
}

/// The head of a request.
pub trait Head {
    /// Shows the name and the value of each header field.
    fn each_field(&self, see: &mut dyn FnMut(&[u8], &[u8]));
    /// The text after `?`.
    fn query(&self) -> Option<&[u8]>;
}

impl KeyPart {
    /// Whether it is known only once the caller is.
    #[must_use]
    pub fn needs_caller(&self) -> bool {
        matches!(self, Self::Identity(_))
    }

    /// Shows the value; the empty one if the request lacks it or has it twice.
    fn value<R>(&self, facts: &Facts<'_>, mut see: impl FnMut(&[u8]) -> R) -> R {
        let mut count = 0;
        self.each(facts, &mut |_| count += 1);
        if count != 1 {
            return see(&[]);
        }
        // Looked up twice, since keeping the value would need memory.
        let mut shown = None;
        self.each(facts, &mut |value| shown = Some(see(value)));
        shown.unwrap_or_else(|| see(&[]))
    }

    /// Shows each value.
    fn each(&self, facts: &Facts<'_>, see: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Client => match client_site(facts.client) {
                IpAddr::V4(address) => see(&address.octets()),
                IpAddr::V6(address) => see(&address.octets()),
            },
            Self::Route => see(facts.route.unwrap_or_default().as_bytes()),
            Self::Host => see(facts.host.unwrap_or_default().as_bytes()),
            Self::Header(name) => facts.head.each_field(&mut |field, value| {
                if field.eq_ignore_ascii_case(name.as_bytes()) {
                    see(value);
                }
            }),
            Self::Cookie(name) => facts.head.each_field(&mut |field, value| {
                if field.eq_ignore_ascii_case(b"cookie") {
                    let cookies = http_strict::cookies(value);
                    let named = cookies.filter(|(cookie, _)| *cookie == name.as_bytes());
                    named.for_each(|(_, value)| see(value));
                }
            }),
            Self::Query(name) => {
                let pairs = form_urlencoded::parse(facts.head.query().unwrap_or_default());
                let named = pairs.filter(|(argument, _)| argument == name);
                named.for_each(|(_, value)| see(value.as_bytes()));
            }
            Self::Identity(claim) => {
                let claimed = facts
                    .caller
                    .and_then(|caller| Some((caller, caller.value(claim)?)));
                let Some((caller, value)) = claimed else {
                    return;
                };
                let issuer = caller.issuer();
                // Equal names of two issuers are two people.
                let text = match value {
                    serde_json::Value::String(text) => format!("{issuer}\n{text}"),
                    value => format!("{issuer}\n{value}"),
                };
                see(text.as_bytes());
            }
        }
    }

    fn show(&self, facts: &Facts<'_>) -> String {
        match self {
            Self::Client => match client_site(facts.client) {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(network) => format!("{network}/64"),
            },
            Self::Route => format!("route {}", facts.route.unwrap_or("-")),
            Self::Host => {
                let host = facts.host.unwrap_or("-");
                format!("host {}", host.get(..MOST_SHOWN).unwrap_or(host))
            }
            // Most of these are secrets. Whoever has one in mind can find it by its digest.
            _ => self.value(facts, |value| match value {
                [] => format!("{self} -"),
                value => {
                    let mut digest = hex(&openssl::sha::sha256(value));
                    digest.truncate(12);
                    format!("{self} sha256:{digest}")
                }
            }),
        }
    }
}

/// The hash of a key. The hasher's own keys are random, so that nobody outside can make two keys meet.
pub(super) fn hash(hasher: &RandomState, key: &[KeyPart], facts: &Facts<'_>) -> u64 {
    let mut hasher = hasher.build_hasher();
    for part in key {
        part.value(facts, |value| {
            // The length, so that no value can look like the end of one and the beginning of the next.
            hasher.write_usize(value.len());
            hasher.write(value);
        });
    }
    hasher.finish()
}

/// A key as a person may see it: without the values that may be secrets.
pub(super) fn show(key: &[KeyPart], facts: &Facts<'_>) -> String {
    let mut text = String::new();
    for part in key {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{}", part.show(facts));
    }
    text
}

impl FromStr for KeyPart {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let wrong = || SettingsError(format!("\"{text}\" is no part of a key: write {KNOWN}"));
        match text {
            "client" => return Ok(Self::Client),
            "route" => return Ok(Self::Route),
            "host" => return Ok(Self::Host),
            _ => {}
        }
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        let named = |is_fit: bool, part: Self| match is_fit {
            true => Ok(part),
            false => Err(SettingsError(format!("\"{name}\" is no name of a {kind}"))),
        };
        match kind {
            "header" => named(
                is_token(name.as_bytes()),
                Self::Header(name.to_ascii_lowercase()),
            ),
            "cookie" => named(is_token(name.as_bytes()), Self::Cookie(name.to_owned())),
            "query" => named(
                !name.contains(char::is_control),
                Self::Query(name.to_owned()),
            ),
            "identity" => named(
                !name.contains(char::is_control),
                Self::Identity(name.to_owned()),
            ),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Route => f.write_str("route"),
            Self::Host => f.write_str("host"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Identity(claim) => write!(f, "identity:{claim}"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Header fields, and a query.
    pub(in crate::limits) struct Plain(pub Vec<(&'static str, &'static str)>, pub &'static str);

    impl Head for Plain {
        fn each_field(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
            let fields = self.0.iter();
            fields.for_each(|(name, value)| see(name.as_bytes(), value.as_bytes()));
        }

        fn query(&self) -> Option<&[u8]> {
            Some(self.1.as_bytes())
        }
    }

    pub(in crate::limits) fn facts<'r>(client: &str, head: &'r Plain) -> Facts<'r> {
        Facts {
            client: client.parse().unwrap(),
            route: Some("orders"),
            host: Some("api.test"),
            head,
            caller: None,
        }
    }

    fn parts(texts: &[&str]) -> Vec<KeyPart> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn parts_are_written_as_they_are_shown() {
        for text in [
            "client",
            "route",
            "host",
            "header:x-api-key",
            "cookie:sid",
            "query:key",
            "identity:sub",
        ] {
            assert_eq!(text.parse::<KeyPart>().unwrap().to_string(), text);
        }
        assert_eq!(parts(&["header:X-Key"]), parts(&["header:x-key"]));
        for text in [
            "",
            "clients",
            "header:",
            "header:a b",
            "cookie:a;b",
            "body:x",
        ] {
            assert!(text.parse::<KeyPart>().is_err(), "{text}");
        }
    }

    /// Two requests, and whether they share a bucket.
    #[test]
    fn equal_parts_share_a_bucket() {
        let hasher = RandomState::new();
        type Sent = (
            &'static str,
            &'static [(&'static str, &'static str)],
            &'static str,
        );
        let plain: Sent = ("192.0.2.1", &[], "");
        for (key, one, two, shared) in [
            (&["client"][..], plain, plain, true),
            (&["client"], plain, ("192.0.2.2", &[], ""), false),
            (&["client"], plain, ("::ffff:192.0.2.1", &[], ""), true),
            (
                &["client"],
                ("2001:db8::1", &[], ""),
                ("2001:db8::2", &[], ""),
                true,
            ),
            (
                &["client"],
                ("2001:db8::1", &[], ""),
                ("2001:db8:0:1::1", &[], ""),
                false,
            ),
            (&["route", "host"], plain, ("192.0.2.2", &[], ""), true),
            (
                &["header:x-key"],
                ("::1", &[("X-Key", "a")], ""),
                ("::1", &[("x-key", "a")], ""),
                true,
            ),
            (
                &["header:x-key"],
                ("::1", &[("X-Key", "a")], ""),
                ("::1", &[("X-Key", "b")], ""),
                false,
            ),
            // Whoever sends none, an empty one or two of them is one of all who do.
            (
                &["header:x-key"],
                plain,
                ("::1", &[("X-Key", "")], ""),
                true,
            ),
            (
                &["header:x-key"],
                plain,
                ("::1", &[("X-Key", "a"), ("X-Key", "b")], ""),
                true,
            ),
            (
                &["header:x-key"],
                plain,
                ("::1", &[("X-Key", "a"), ("X-Key", "a")], ""),
                true,
            ),
            (
                &["cookie:sid"],
                ("::1", &[("Cookie", "a=1; sid=x")], ""),
                ("::1", &[("cookie", "sid=x")], ""),
                true,
            ),
            (
                &["cookie:sid"],
                ("::1", &[("Cookie", "sid=x")], ""),
                ("::1", &[("Cookie", "sid=y")], ""),
                false,
            ),
            (
                &["cookie:sid"],
                plain,
                ("::1", &[("Cookie", "sid=x; sid=y")], ""),
                true,
            ),
            (
                &["query:key"],
                ("::1", &[], "key=ab"),
                ("::1", &[], "x=1&%6bey=%61b"),
                true,
            ),
            (
                &["query:key"],
                ("::1", &[], "key=ab"),
                ("::1", &[], "key=ac"),
                false,
            ),
            (&["query:key"], plain, ("::1", &[], "key=ab&key=ac"), true),
            (&["identity:sub"], plain, ("::1", &[], ""), true),
            // The end of one part is no beginning of the next.
            (
                &["header:a", "header:b"],
                ("::1", &[("A", "xy"), ("B", "z")], ""),
                ("::1", &[("A", "x"), ("B", "yz")], ""),
                false,
            ),
        ] {
            let key = parts(key);
            let hash = |(client, fields, query): Sent| {
                let head = Plain(fields.to_vec(), query);
                hash(&hasher, &key, &facts(client, &head))
            };
            assert_eq!(hash(one) == hash(two), shared, "{key:?} {one:?} {two:?}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let head = Plain(
            vec![("X-Key", "hunter2"), ("Cookie", "sid=hunter2")],
            "key=hunter2",
        );
        let key = parts(&[
            "client",
            "host",
            "route",
            "header:x-key",
            "cookie:sid",
            "query:key",
            "header:none",
        ]);
        let shown = show(&key, &facts("2001:db8::1", &head));
        assert!(!shown.contains("hunter2"), "{shown}");
        let known =
            "2001:db8::/64, host api.test, route orders, header:x-key sha256:f52fbd32b2b3, ";
        assert!(shown.starts_with(known), "{shown}");
        assert!(shown.ends_with("header:none -"), "{shown}");
    }
}
