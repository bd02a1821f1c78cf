//! Which fields of a request do not go to the gateway as they came, and why. This is the only table of them; a client
//! could otherwise claim an address, a login or a certificate that it does not have.
//!
//! Gateways that hand fields on as CGI variables (WSGI, PHP, Rack) make one name of `X-Real-IP`, `X_Real_IP`
//! and `X.Real.IP`. So names are compared in one form: in lower case, and whatever is no letter and no digit
//! is a dash.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::sync::LazyLock;

use http_strict::{field_name_byte, field_name_form};
use serde::Serialize;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FieldRule {
    /// A name; with a star at the end all names that begin so, with one at the beginning all that end so.
    pub name: &'static str,
    /// From whom it is dropped.
    pub dropped: Dropped,
    /// Why, as the end of a sentence about the field.
    pub why: &'static str,
}

/// From whom a field is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// From everyone, in every spelling.
    Always,
    /// From all but trusted proxies; from these in every other spelling.
    UnlessTrusted,
    /// From everyone, in every spelling but its own.
    OtherSpellings,
}

impl Dropped {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Always => "everyone",
            Self::UnlessTrusted => "all but trusted proxies",
            Self::OtherSpellings => "everyone, in other spellings",
        }
    }
}

const HOP: &str = "is for the hop to us (RFC 9110, 7.6.1); we write our own where one is needed";
const OURS: &str = "is ours to say";
const HEARD: &str = "is ours to say; a trusted proxy's is taken over into it";
const ADDRESS: &str = "states the client's address";
const PROXIED: &str = "states what a proxy saw of the client's request";
const TARGET: &str = "names another target than the one that was routed and inspected";
const CERTIFICATE: &str = "states the client's certificate or its TLS";
const LOGIN: &str = "states who is logged in, as an authenticating proxy does";
const VENDOR: &str = "states what a vendor's front end knows of the client";
const FRAMES: &str = "frames, types or identifies a request";

const fn row(name: &'static str, dropped: Dropped, why: &'static str) -> FieldRule {
    FieldRule { name, dropped, why }
}

const fn always(name: &'static str, why: &'static str) -> FieldRule {
    row(name, Dropped::Always, why)
}

const fn identity(name: &'static str, why: &'static str) -> FieldRule {
    row(name, Dropped::UnlessTrusted, why)
}

const fn one_spelling(name: &'static str) -> FieldRule {
    row(name, Dropped::OtherSpellings, FRAMES)
}

/// Ordered by topic.
pub static FIELD_RULES: &[FieldRule] = &[
    always("connection", HOP),
    always("keep-alive", HOP),
    always("proxy-connection", HOP),
    always("proxy-authorization", HOP),
    always("te", HOP),
    always("trailer", HOP),
    always("transfer-encoding", HOP),
    always("upgrade", HOP),
    always("http2-settings", HOP),
    always("expect", HOP),
    always("content-length", HOP),
    always("host", HOP),
    always("x-request-id", OURS),
    always("client-cert", OURS),
    always("client-cert-chain", OURS),
    always("x-forwarded-for", HEARD),
    always("x-forwarded-host", HEARD),
    always("x-forwarded-proto", HEARD),
    always("forwarded", HEARD),
    always(
        "proxy",
        "becomes the variable HTTP_PROXY of CGI programs (CVE-2016-5385)",
    ),
    identity("x-forwarded", PROXIED),
    identity("x-forwarded-*", PROXIED),
    identity("forwarded-*", PROXIED),
    identity("x-forward-for", ADDRESS),
    identity("x-forwarder-for", ADDRESS),
    identity("*-forwarded-for", ADDRESS),
    identity("x-real-*", ADDRESS),
    identity("x-realip", ADDRESS),
    identity("client-ip", ADDRESS),
    identity("*-client-ip", ADDRESS),
    identity("*-clientip", ADDRESS),
    identity("*-real-ip", ADDRESS),
    identity("*-connecting-ip", ADDRESS),
    identity("*-connection-ip", ADDRESS),
    identity("*-socketip", ADDRESS),
    identity("*-src-ip", ADDRESS),
    identity("x-client-addr", ADDRESS),
    identity("x-client-address", ADDRESS),
    identity("x-client-port", ADDRESS),
    identity("x-origin-ip", ADDRESS),
    identity("x-originating-*", ADDRESS),
    identity("x-proxyuser-ip", ADDRESS),
    identity("x-coming-from", ADDRESS),
    identity("x-cluster-client-*", ADDRESS),
    identity("x-custom-ip-authorization", ADDRESS),
    identity("x-original-*", TARGET),
    identity("x-rewrite-*", TARGET),
    identity("x-host", TARGET),
    identity("x-http-host-override", TARGET),
    identity("x-http-destinationurl", TARGET),
    identity("x-backend-host", TARGET),
    identity("x-override-url", TARGET),
    identity("x-script-name", TARGET),
    identity("x-scheme", PROXIED),
    identity("x-proto", PROXIED),
    identity("x-protocol", PROXIED),
    identity("x-https", PROXIED),
    identity("https", PROXIED),
    identity("x-url-scheme", PROXIED),
    identity("front-end-https", PROXIED),
    identity("x-front-end-https", PROXIED),
    identity("x-nginx-proxy", PROXIED),
    identity("x-proxy-*", PROXIED),
    identity("x-ssl", CERTIFICATE),
    identity("x-ssl-*", CERTIFICATE),
    identity("ssl", CERTIFICATE),
    identity("ssl-*", CERTIFICATE),
    identity("x-tls-*", CERTIFICATE),
    identity("tls-*", CERTIFICATE),
    identity("x-mtls-*", CERTIFICATE),
    identity("client-cert-*", CERTIFICATE),
    identity("x-client-cert", CERTIFICATE),
    identity("x-client-cert-*", CERTIFICATE),
    identity("x-client-certificate", CERTIFICATE),
    identity("x-client-certificate-*", CERTIFICATE),
    identity("x-client-dn", CERTIFICATE),
    identity("x-client-s-dn", CERTIFICATE),
    identity("x-client-i-dn", CERTIFICATE),
    identity("x-client-cn", CERTIFICATE),
    identity("x-client-san", CERTIFICATE),
    identity("x-client-serial", CERTIFICATE),
    identity("x-client-fingerprint", CERTIFICATE),
    identity("x-client-verify", CERTIFICATE),
    identity("x-client-verified", CERTIFICATE),
    identity("*-clientcert", CERTIFICATE),
    identity("*-client-cert", CERTIFICATE),
    identity("*-client-verify", CERTIFICATE),
    identity("remote-*", LOGIN),
    identity("x-remote-*", LOGIN),
    identity("*-remote-user", LOGIN),
    identity("*-remote-addr", ADDRESS),
    identity("*-remote-ip", ADDRESS),
    identity("auth-user", LOGIN),
    identity("x-auth-user", LOGIN),
    identity("x-auth-username", LOGIN),
    identity("x-auth-email", LOGIN),
    identity("x-auth-groups", LOGIN),
    identity("x-auth-roles", LOGIN),
    identity("x-auth-request-*", LOGIN),
    identity("x-authenticated-*", LOGIN),
    identity("x-webauth-*", LOGIN),
    identity("x-userinfo", LOGIN),
    identity("x-authentik-*", LOGIN),
    identity("x-authelia-*", LOGIN),
    identity("x-vouch-*", LOGIN),
    identity("x-pomerium-*", LOGIN),
    identity("x-oidc-*", LOGIN),
    identity("oidc_*", LOGIN),
    identity("x-jwt-claim-*", LOGIN),
    identity("x-shib-*", LOGIN),
    identity("shib-*", LOGIN),
    identity("x-consumer-*", LOGIN),
    identity("x-credential-*", LOGIN),
    identity("x-anonymous-consumer", LOGIN),
    identity("x-iisnode-*", LOGIN),
    identity("iv-*", LOGIN),
    identity("sm_*", LOGIN),
    identity("oam_*", LOGIN),
    identity("osso-*", LOGIN),
    identity("teleport-*", LOGIN),
    identity("x-teleport-*", LOGIN),
    identity("tailscale-*", LOGIN),
    identity("x-arr-*", VENDOR),
    identity("x-ms-client-principal", LOGIN),
    identity("x-ms-client-principal-*", LOGIN),
    identity("x-ms-token-*", LOGIN),
    identity("x-azure-*", VENDOR),
    identity("x-appgw-*", VENDOR),
    identity("x-appengine-*", VENDOR),
    identity("x-goog-iap-*", LOGIN),
    identity("x-goog-authenticated-*", LOGIN),
    identity("x-serverless-authorization", LOGIN),
    identity("x-amzn-oidc-*", LOGIN),
    identity("x-amzn-mtls-*", CERTIFICATE),
    identity("x-amzn-tls-*", CERTIFICATE),
    identity("x-apigateway-*", VENDOR),
    identity("cloudfront-*", VENDOR),
    identity("cf-*", VENDOR),
    identity("fastly-*", VENDOR),
    identity("fly-*", VENDOR),
    identity("incap-*", VENDOR),
    identity("x-sucuri-*", VENDOR),
    identity("x-vercel-*", VENDOR),
    identity("x-nf-*", VENDOR),
    identity("x-envoy-*", VENDOR),
    identity("wl-proxy-*", VENDOR),
    identity("proxy-client-*", VENDOR),
    one_spelling("content-*"),
    one_spelling("user-agent"),
    one_spelling("sec-*"),
];

/// The rule for a name, in any spelling. An exact name goes before a pattern.
#[must_use]
pub fn field_rule(name: &[u8]) -> Option<&'static FieldRule> {
    static INDEX: LazyLock<Index> = LazyLock::new(Index::new);
    INDEX.find(name)
}

/// Whether a field of this name is dropped.
#[must_use]
pub(crate) fn is_dropped(name: &[u8], trusted: bool) -> bool {
    match field_rule(name) {
        None => false,
        Some(rule) => match rule.dropped {
            Dropped::Always => true,
            // Even a trusted proxy only removes the spelling that it knows; a client's other spelling passes through
            // it.
            Dropped::UnlessTrusted => !(trusted && rule.is_spelled(name)),
            Dropped::OtherSpellings => !rule.is_spelled(name),
        },
    }
}

impl FieldRule {
    /// Whether a name separates its words as the rule's own name does.
    fn is_spelled(&self, name: &[u8]) -> bool {
        let separator = match self.name.contains('_') {
            true => b'_',
            false => b'-',
        };
        name.iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == separator)
    }
}

/// The rules by a byte of their names, because every field of every request is looked up.
struct Index {
    /// By the first byte.
    exact: ByByte,
    /// By the first byte; without the star.
    beginnings: ByByte,
    /// By the last byte; without the star.
    ends: ByByte,
}

/// Names in their one form, by a byte of them.
type ByByte = Vec<Vec<(Box<[u8]>, &'static FieldRule)>>;

impl Index {
    fn new() -> Self {
        let mut index = Self {
            exact: vec![Vec::new(); 256],
            beginnings: vec![Vec::new(); 256],
            ends: vec![Vec::new(); 256],
        };
        for rule in FIELD_RULES {
            let inner = field_name_form(rule.name.trim_matches('*').as_bytes()).into_boxed_slice();
            let (Some(&first), Some(&last)) = (inner.first(), inner.last()) else {
                continue;
            };
            // Filed under the end of the name that the star leaves fixed.
            let (list, byte) = match (rule.name.strip_suffix('*'), rule.name.strip_prefix('*')) {
                (Some(_), _) => (&mut index.beginnings, first),
                (None, Some(_)) => (&mut index.ends, last),
                (None, None) => (&mut index.exact, first),
            };
            list[usize::from(byte)].push((inner, rule));
        }
        index
    }

    fn find(&self, name: &[u8]) -> Option<&'static FieldRule> {
        let (first, last) = (
            field_name_byte(*name.first()?),
            field_name_byte(*name.last()?),
        );
        let in_list = |list: &ByByte, byte: u8, fits: &dyn Fn(&[u8]) -> bool| {
            let mut list = list[usize::from(byte)].iter();
            list.find(|(inner, _)| fits(inner)).map(|(_, rule)| *rule)
        };
        let is = |inner: &[u8]| name.len() == inner.len() && has_form(name, inner);
        // A star stands for one byte at least.
        let begins = |inner: &[u8]| name.len() > inner.len() && has_form(name, inner);
        let ends = |inner: &[u8]| {
            let start = name.len().checked_sub(inner.len());
            start.is_some_and(|start| start > 0 && has_form(&name[start..], inner))
        };
        // Of two rules that fit, the exact one was written for this name.
        in_list(&self.exact, first, &is)
            .or_else(|| in_list(&self.beginnings, first, &begins))
            .or_else(|| in_list(&self.ends, last, &ends))
    }
}

/// Whether the bytes in their one form begin with `start`, which is in that form and no longer than they are.
fn has_form(bytes: &[u8], start: &[u8]) -> bool {
    bytes
        .iter()
        .zip(start)
        .all(|(b, s)| field_name_byte(*b) == *s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_every_spelling() {
        for (name, from_strangers, from_proxies) in [
            ("X-Forwarded-For", true, true),
            ("x_forwarded_for", true, true),
            ("X.Forwarded.For", true, true),
            ("X-Forwarded_For", true, true),
            ("X-Forwarded-Port", true, false),
            ("X_Forwarded_Port", true, true),
            ("X-Forwarded-Some_Thing", true, true),
            ("X-Forwarded", true, false),
            ("X-Real-IP", true, false),
            ("x!real!ip", true, true),
            ("True-Client-IP", true, false),
            ("Fastly-Client-IP", true, false),
            ("Some-Vendors-Client-IP", true, false),
            ("CF-Connecting-IP", true, false),
            ("X-Original-URL", true, false),
            ("X_Original_URL", true, true),
            ("Remote-User", true, false),
            ("REMOTE_USER", true, true),
            ("X-SSL-Client-Cert", true, false),
            ("SSL_CLIENT_S_DN", true, true),
            ("SM_USER", true, false),
            ("sm-user", true, true),
            ("Client-Cert", true, true),
            ("Client_Cert", true, true),
            ("Content-Length", true, true),
            ("Content_Length", true, true),
            ("Transfer.Encoding", true, true),
            ("Content-Type", false, false),
            ("Content_Type", true, true),
            ("Content_Encoding", true, true),
            ("Proxy", true, true),
            ("Proxy_Authorization", true, true),
            ("X-Request_Id", true, true),
            ("Authorization", false, false),
            ("Cookie", false, false),
            ("X-Api_Key", false, false),
            ("X-Client-Version", false, false),
            ("X-User-Id", false, false),
            ("Accept", false, false),
            ("Sec-WebSocket-Key", false, false),
            ("Sec_WebSocket_Key", true, true),
            ("-client-ip", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_dropped(name.as_bytes(), false), from_strangers, "{name}");
            assert_eq!(
                is_dropped(name.as_bytes(), true),
                from_proxies,
                "{name} of a proxy"
            );
        }
    }

    #[test]
    fn rows_are_in_their_form_and_there_once() {
        let mut names: Vec<&str> = FIELD_RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        for rule in FIELD_RULES {
            let stars = rule.name.matches('*').count();
            let inner = rule.name.trim_matches('*');
            let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
            assert!(stars < 2 && inner.bytes().all(known), "{}", rule.name);
            let found = field_rule(inner.as_bytes());
            assert!(stars == 1 || found == Some(rule), "{}", rule.name);
        }
    }
}
