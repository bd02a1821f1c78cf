//! How a configuration names one client certificate: by a name in it, or by its fingerprint.
//!
//! A whole subject is no name here: as text it is ambiguous, since a value may hold what separates two.

use std::fmt;
use std::str::FromStr;

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::x509::X509Ref;

/// What a certificate must have to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientName {
    /// The common name of the subject, if it has one alone.
    Cn(String),
    /// A DNS name in the subjectAltName, in lower case.
    Dns(String),
    /// A mail address in the subjectAltName.
    Email(String),
    /// SHA-256 of the certificate.
    Sha256([u8; 32]),
}

/// A text names no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoClientName(String);

impl ClientName {
    /// Whether the certificate, which somebody has verified, has it.
    #[must_use]
    pub fn is_of(&self, certificate: &X509Ref) -> bool {
        let names = certificate.subject_alt_names();
        let mut names = names.iter().flatten();
        match self {
            Self::Cn(name) => is_common_name(name, certificate),
            Self::Dns(name) => names.any(|given| {
                let given = given.dnsname();
                given.is_some_and(|given| given.eq_ignore_ascii_case(name))
            }),
            Self::Email(address) => names.any(|given| given.email() == Some(address.as_str())),
            Self::Sha256(digest) => fingerprint(certificate) == Some(*digest),
        }
    }
}

fn is_common_name(name: &str, certificate: &X509Ref) -> bool {
    let subject = certificate.subject_name();
    let mut given = subject.entries_by_nid(Nid::COMMONNAME);
    let (Some(only), None) = (given.next(), given.next()) else {
        return false;
    };
    only.data().to_string().is_ok_and(|given| given == *name)
}

/// SHA-256 of the certificate.
#[must_use]
pub fn fingerprint(certificate: &X509Ref) -> Option<[u8; 32]> {
    let digest = certificate.digest(MessageDigest::sha256()).ok()?;
    digest.as_ref().try_into().ok()
}

impl FromStr for ClientName {
    type Err = NoClientName;

    fn from_str(text: &str) -> Result<Self, NoClientName> {
        let wrong = || NoClientName(text.to_owned());
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        match (kind, name.trim()) {
            (_, "") => Err(wrong()),
            ("cn", name) => Ok(Self::Cn(name.to_owned())),
            ("dns", name) => Ok(Self::Dns(name.to_ascii_lowercase())),
            ("email", name) => Ok(Self::Email(name.to_owned())),
            ("sha256", digits) => digest(digits).map(Self::Sha256).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

/// As `openssl x509 -fingerprint -sha256` prints it, with colons, or without.
fn digest(digits: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = digits.bytes().filter(|b| *b != b':').collect();
    let bytes = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        // `from_str_radix` takes a sign.
        let fits = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        u8::from_str_radix(pair, 16).ok().filter(|_| fits)
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes?.try_into().ok()
}

impl fmt::Display for NoClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" names no certificate: write \"cn:NAME\", \"dns:NAME\", \"email:ADDRESS\" or \"sha256:\" and 64 hexadecimal digits",
            self.0
        )
    }
}

impl std::error::Error for NoClientName {}

#[cfg(test)]
mod tests {
    use dev_pki::{Authority, LeafOptions};
    use openssl::x509::X509;

    use super::*;

    #[test]
    fn a_certificate_is_known_by_each_of_its_names() {
        let authority = Authority::new("root", 10).unwrap();
        let leaf = authority.leaf(&["alice.test"], &LeafOptions::default());
        let leaf = X509::from_pem(&leaf.unwrap().chain_pem).unwrap();
        let digest = fingerprint(&leaf).unwrap();
        let plain: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        let colons: Vec<String> = digest.iter().map(|b| format!("{b:02X}")).collect();
        let subject = leaf.subject_name().entries_by_nid(Nid::COMMONNAME).next();
        let subject = subject.unwrap().data().to_string().unwrap();
        for name in [
            "dns:alice.test".to_owned(),
            "dns:Alice.TEST".to_owned(),
            format!("cn:{subject}"),
            format!("sha256:{plain}"),
            format!("sha256:{}", colons.join(":")),
        ] {
            let parsed: ClientName = name.parse().unwrap();
            assert!(parsed.is_of(&leaf), "{name}");
        }
        for name in ["dns:bob.test", "dns:test", "cn:bob", "email:alice.test"] {
            assert!(!name.parse::<ClientName>().unwrap().is_of(&leaf), "{name}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let short = format!("sha256:{}", "0".repeat(62));
        let signed = format!("sha256:{}", "+0".repeat(32));
        for text in [
            "",
            "alice",
            "subject:alice",
            "dns:",
            "cn: ",
            &short,
            &signed,
        ] {
            assert!(text.parse::<ClientName>().is_err(), "{text}");
        }
    }
}
