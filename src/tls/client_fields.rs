//! What a client certificate says of its owner, as texts that decide who is calling.
//!
//! Invariant: two certificates with different names never have the same text. So names have the form of RFC 4514 with its
//! escapes, and not the one for people, in which a common name may look like several attributes.

use std::fmt::Write;

use openssl::asn1::{Asn1StringRef, Asn1TimeRef};
use openssl::nid::Nid;
use openssl::x509::{X509NameEntryRef, X509NameRef, X509Ref};

use super::reason;
use crate::hex::hex;

/// The names, the number and the time of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientFields {
    /// The subject (RFC 4514); empty if the certificate has none.
    pub subject: String,
    /// The issuer (RFC 4514).
    pub issuer: String,
    /// The serial number in lower-case hexadecimal digits.
    pub serial: String,
    /// Common names of the subject.
    pub common_names: Vec<String>,
    /// Organizations of the subject.
    pub organizations: Vec<String>,
    /// Organizational units of the subject.
    pub units: Vec<String>,
    /// Countries of the subject.
    pub countries: Vec<String>,
    /// Alternative names with their kind: `DNS:`, `URI:`, `email:` or `IP:`.
    pub alternatives: Vec<String>,
    /// When it begins to be valid, in seconds since 1970.
    pub begins: u64,
    /// When it ends; 0 if that cannot be read, so that it has ended.
    pub ends: u64,
}

impl ClientFields {
    /// The fields of a certificate. Nothing here verifies it.
    #[must_use]
    pub fn of(certificate: &X509Ref) -> Self {
        let subject = certificate.subject_name();
        let number = certificate.serial_number().to_bn();
        let digits = number.and_then(|number| Ok(number.to_hex_str()?.to_ascii_lowercase()));
        Self {
            subject: name(subject),
            issuer: name(certificate.issuer_name()),
            serial: digits.unwrap_or_default(),
            common_names: values(subject, Nid::COMMONNAME),
            organizations: values(subject, Nid::ORGANIZATIONNAME),
            units: values(subject, Nid::ORGANIZATIONALUNITNAME),
            countries: values(subject, Nid::COUNTRYNAME),
            alternatives: alternatives(certificate),
            begins: seconds(certificate.not_before()),
            ends: seconds(certificate.not_after()),
        }
    }

    /// The alternative names of this kind, such as `DNS`.
    pub fn alternatives_of<'f>(&'f self, kind: &'f str) -> impl Iterator<Item = &'f str> {
        let names = self.alternatives.iter();
        names.filter_map(move |name| name.strip_prefix(kind)?.strip_prefix(':'))
    }
}

fn seconds(time: &Asn1TimeRef) -> u64 {
    let seconds = reason::unix_time(time);
    seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(0)
}

fn alternatives(certificate: &X509Ref) -> Vec<String> {
    let names = certificate.subject_alt_names();
    let names = names.iter().flatten().filter_map(|name| {
        let named = |kind: &str, value: &str| format!("{kind}:{value}");
        let dns = name.dnsname().map(|value| named("DNS", value));
        let uri = || name.uri().map(|value| named("URI", value));
        let email = || name.email().map(|value| named("email", value));
        let address = || reason::address(name.ipaddress()?);
        dns.or_else(uri)
            .or_else(email)
            .or_else(|| address().map(|ip| format!("IP:{ip}")))
    });
    names.collect()
}

fn values(name: &X509NameRef, kind: Nid) -> Vec<String> {
    let entries = name.entries_by_nid(kind);
    entries
        .filter_map(|entry| text(entry.data()).ok())
        .collect()
}

/// A name in the form of RFC 4514: the last part first, and `+` between the attributes of one part.
fn name(name: &X509NameRef) -> String {
    let mut attributes = name.entries().map(attribute);
    let der = name.to_der().unwrap_or_default();
    let mut parts: Vec<String> = part_sizes(&der)
        .map(|size| attributes.by_ref().take(size).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

/// How many attributes each part of a name has: a name is a sequence of sets of attributes (RFC 5280, 4.1.2.4).
fn part_sizes(der: &[u8]) -> impl Iterator<Item = usize> {
    let (content, _) = element(der).unwrap_or_default();
    elements(content).map(|part| elements(part).count())
}

/// The contents of the DER elements that stand here one after the other.
fn elements(mut der: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (content, rest) = element(der)?;
        der = rest;
        Some(content)
    })
}

/// The content of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der {
        [_, length, rest @ ..] if *length < 0x80 => (usize::from(*length), rest),
        [_, 0x81, length, rest @ ..] => (usize::from(*length), rest),
        [_, 0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [_, 0x83, high, middle, low, rest @ ..] => {
            let length = u32::from_be_bytes([0, *high, *middle, *low]);
            (usize::try_from(length).ok()?, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn attribute(entry: &X509NameEntryRef) -> String {
    let object = entry.object();
    let kind = match object.nid().short_name() {
        Ok(kind) if object.nid() != Nid::UNDEF => kind.to_owned(),
        // The number: two unknown attributes must not look alike.
        _ => object.to_string(),
    };
    match text(entry.data()) {
        Ok(text) => format!("{kind}={}", escaped(&text)),
        Err(bytes) => format!("{kind}=#{}", hex(bytes)),
    }
}

/// The text of a value; its bytes if it is none.
fn text(data: &Asn1StringRef) -> Result<String, &[u8]> {
    data.to_string().map_err(|_| data.as_slice())
}

/// RFC 4514, 2.4.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, character) in text.chars().enumerate() {
        let at_an_end =
            (at == 0 && matches!(character, ' ' | '#')) || (at == last && character == ' ');
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => out.extend(['\\', character]),
            _ if at_an_end => out.extend(['\\', character]),
            _ if character.is_control() => {
                for byte in character.to_string().bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\{byte:02X}");
                }
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_certificate() {
        let authority = dev_pki::Authority::new("A CA", 10).unwrap();
        let options = dev_pki::LeafOptions {
            common_name: Some("a,O=b".to_owned()),
            addresses: vec!["192.0.2.1".parse().unwrap()],
            ..dev_pki::LeafOptions::default()
        };
        let issued = authority.leaf(&["a.test"], &options).unwrap();
        let certificate = openssl::x509::X509::from_pem(&issued.chain_pem).unwrap();
        let fields = ClientFields::of(&certificate);
        assert_eq!(fields.subject, "CN=a\\,O\\=b");
        assert_eq!(fields.issuer, "CN=A CA");
        assert_eq!(fields.common_names, ["a,O=b"]);
        assert_eq!(fields.alternatives, ["DNS:a.test", "IP:192.0.2.1"]);
        assert_eq!(
            fields.alternatives_of("DNS").collect::<Vec<_>>(),
            ["a.test"]
        );
        assert!(fields.begins < fields.ends && !fields.serial.is_empty());
    }

    /// A name whose parts have these attributes: a number of X.520 and a value.
    fn name_of(parts: &[&[(u8, &str)]]) -> openssl::x509::X509Name {
        fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            let head = match content.len() {
                0..0x80 => vec![tag, length[1]],
                0x80..0x100 => vec![tag, 0x81, length[1]],
                _ => vec![tag, 0x82, length[0], length[1]],
            };
            [&head, content].concat()
        }
        let part = |attributes: &&[(u8, &str)]| {
            let attributes = attributes.iter().map(|(number, value)| {
                let kind = wrap(6, &[0x55, 4, *number]);
                wrap(0x30, &[kind, wrap(12, value.as_bytes())].concat())
            });
            wrap(0x31, &attributes.collect::<Vec<_>>().concat())
        };
        let parts: Vec<_> = parts.iter().map(part).collect();
        openssl::x509::X509Name::from_der(&wrap(0x30, &parts.concat())).unwrap()
    }

    #[test]
    fn attributes_of_one_part_are_not_parts_of_their_own() {
        let long = "a".repeat(300);
        for (parts, expected) in [
            (&[][..], String::new()),
            (&[&[(10, "b"), (3, "a")][..]][..], "O=b+CN=a".to_owned()),
            (&[&[(10, "b")], &[(3, "a")]], "CN=a,O=b".to_owned()),
            (&[&[(3, &long)], &[(3, "a")]], format!("CN=a,CN={long}")),
            (
                &[&[(6, "DE")], &[(10, "b"), (11, "c")], &[(3, "a")]],
                "CN=a,O=b+OU=c,C=DE".to_owned(),
            ),
        ] {
            assert_eq!(name(&name_of(parts)), expected);
        }
    }

    #[test]
    fn a_value_cannot_look_like_two_attributes() {
        for (text, expected) in [
            ("partner", "partner"),
            ("a,O=b", "a\\,O\\=b"),
            (" a ", "\\ a\\ "),
            ("#1", "\\#1"),
            ("a\\\"b", "a\\\\\\\"b"),
            ("a\n", "a\\0A"),
            ("M\u{fc}ller", "M\u{fc}ller"),
        ] {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }
}
