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

/// A name in the form of RFC 4514: the last attribute first.
fn name(name: &X509NameRef) -> String {
    let mut attributes: Vec<String> = name.entries().map(attribute).collect();
    attributes.reverse();
    attributes.join(",")
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
