//! x509 reasons in words: what a certificate is, and why it was not taken.

use std::fmt::Write as _;

use openssl::nid::Nid;
use openssl::x509::{X509, X509Ref, X509VerifyResult};

pub use super::materials::{name_text, time_text, unix_time};

/// X509_V_ERR_HOSTNAME_MISMATCH
const HOSTNAME_MISMATCH: i32 = 62;
/// X509_V_ERR_IP_ADDRESS_MISMATCH
const IP_ADDRESS_MISMATCH: i32 = 64;
/// X509_V_ERR_CERT_NOT_YET_VALID
const NOT_YET_VALID: i32 = 9;
/// X509_V_ERR_CERT_HAS_EXPIRED
const HAS_EXPIRED: i32 = 10;
/// X509_V_ERR_INVALID_PURPOSE
const INVALID_PURPOSE: i32 = 26;
/// X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, _GET_ISSUER_CERT_LOCALLY, _VERIFY_LEAF_SIGNATURE
const NO_ISSUER: [i32; 3] = [2, 20, 21];
/// X509_V_ERR_EE_KEY_TOO_SMALL, _CA_KEY_TOO_SMALL, _CA_MD_TOO_WEAK
const WEAK: [i32; 3] = [66, 67, 68];

/// Why a certificate is refused, distinguished by what repairs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// Its issuer is not trusted.
    Untrusted,
    /// Its issuer was not sent, and is no CA that could be trusted directly.
    MissingIntermediate,
    /// It is for other names.
    NameMismatch,
    /// It has a common name and no DNS name, which is no name to compare with (RFC 9525, 2).
    CommonNameOnly,
    /// It names IP addresses and no DNS name.
    AddressOnly,
    /// It is past its end.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// Its key or signature is too weak.
    Weak,
    /// Its key usage or extended key usage is for something else.
    WrongUsage,
}

impl CertificateFault {
    /// Sorts OpenSSL's result.
    #[must_use]
    pub fn of(result: X509VerifyResult) -> Self {
        match result.as_raw() {
            HOSTNAME_MISMATCH | IP_ADDRESS_MISMATCH => Self::NameMismatch,
            HAS_EXPIRED => Self::Expired,
            NOT_YET_VALID => Self::NotYetValid,
            INVALID_PURPOSE => Self::WrongUsage,
            code if WEAK.contains(&code) => Self::Weak,
            _ => Self::Untrusted,
        }
    }

    /// Like [`CertificateFault::of`], but also looks at the certificate that was refused, the authorities that are
    /// trusted, and other certificates that are known.
    #[must_use]
    pub fn judge(
        result: X509VerifyResult,
        certificate: &X509Ref,
        authorities: &[X509],
        at_hand: &[X509],
    ) -> Self {
        match Self::of(result) {
            Self::NameMismatch => Self::of_names(certificate),
            Self::Untrusted if NO_ISSUER.contains(&result.as_raw()) => {
                match lacks_intermediate(certificate, authorities, at_hand) {
                    true => Self::MissingIntermediate,
                    false => Self::Untrusted,
                }
            }
            fault => fault,
        }
    }

    /// Why none of its names fits.
    #[must_use]
    pub fn of_names(certificate: &X509Ref) -> Self {
        let alternative = certificate.subject_alt_names();
        let mut names = alternative.iter().flatten();
        if names.any(|n| n.dnsname().is_some()) {
            return Self::NameMismatch;
        }
        let mut names = alternative.iter().flatten();
        match (names.any(|n| n.ipaddress().is_some()), alternative) {
            (true, _) => Self::AddressOnly,
            // It names a workload or a mailbox, for example.
            (false, Some(_)) => Self::NameMismatch,
            (false, None) => Self::CommonNameOnly,
        }
    }
}

/// Whether the certificate has a DNS name. If not, OpenSSL compared the common name.
#[must_use]
pub fn has_dns_name(certificate: &X509Ref) -> bool {
    let names = certificate.subject_alt_names();
    names.iter().flatten().any(|n| n.dnsname().is_some())
}

/// Why its names do not fit, in words.
#[must_use]
pub fn name_words(certificate: &X509Ref, wanted: &str) -> String {
    let has = list(&names(certificate));
    match CertificateFault::of_names(certificate) {
        CertificateFault::CommonNameOnly => format!(
            "certificate does not name {wanted}: it has no subjectAltName ({has}), and a common name does not count"
        ),
        CertificateFault::AddressOnly => {
            format!("certificate does not name {wanted}: it names addresses only ({has})")
        }
        _ => format!("certificate does not name {wanted} (it names {has})"),
    }
}

/// Whether the missing issuer is an intermediate. A certificate alone does not say so. It is one if we know the
/// issuer's certificate, if the certificate names a trusted authority as the issuer of its issuer (RFC 5280, 4.2.1.1),
/// or if the issuer is called so.
fn lacks_intermediate(certificate: &X509Ref, authorities: &[X509], at_hand: &[X509]) -> bool {
    const WORDS: [&str; 5] = ["intermediate", "issuing", "subordinate", "sub ca", "sub-ca"];
    if at_hand.iter().any(|other| signed(other, certificate)) {
        return true;
    }
    let above = certificate.authority_issuer();
    let names_one = above.iter().flat_map(|names| names.iter()).any(|name| {
        let name = name.directory_name();
        name.is_some_and(|name| {
            authorities.iter().any(|ca| {
                ca.subject_name()
                    .try_cmp(name)
                    .is_ok_and(std::cmp::Ordering::is_eq)
            })
        })
    });
    let issuer = name_text(certificate.issuer_name()).to_ascii_lowercase();
    names_one || WORDS.iter().any(|word| issuer.contains(word))
}

/// Whether `above`, which is not its own issuer, signed `below`.
fn signed(above: &X509Ref, below: &X509Ref) -> bool {
    above.issued(above) != X509VerifyResult::OK && super::verify::signed(above, below)
}

/// What it may be used for: `clientAuth`, or `digitalSignature` where it has no extended key usage.
#[must_use]
pub fn usage_text(certificate: &X509Ref) -> String {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let der = certificate.to_der().unwrap_or_default();
    let Ok((_, parsed)) = X509Certificate::from_der(&der) else {
        return "unreadable".to_owned();
    };
    let Ok(Some(usage)) = parsed.extended_key_usage() else {
        let usage = parsed.key_usage().ok().flatten();
        return usage.map_or_else(
            || "not limited".to_owned(),
            |usage| format!("key usage {}", usage.value),
        );
    };
    let usage = usage.value;
    let named = [
        (usage.any, "anyExtendedKeyUsage"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    let mut names: Vec<String> = named
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, name)| name.to_owned())
        .collect();
    names.extend(usage.other.iter().map(ToString::to_string));
    format!("extended key usage {}", names.join(", "))
}

/// `EC P-256`, `RSA 2048`, `Ed25519`.
#[must_use]
pub fn key_text(certificate: &X509Ref) -> String {
    use openssl::pkey::Id;
    let Ok(key) = certificate.public_key() else {
        return "unreadable".to_owned();
    };
    match key.id() {
        Id::RSA => format!("RSA {}", key.bits()),
        Id::RSA_PSS => format!("RSA-PSS {}", key.bits()),
        Id::EC => {
            let curve = key.ec_key().ok().and_then(|ec| ec.group().curve_name());
            match curve {
                Some(Nid::X9_62_PRIME256V1) => "EC P-256".to_owned(),
                Some(Nid::SECP384R1) => "EC P-384".to_owned(),
                Some(Nid::SECP521R1) => "EC P-521".to_owned(),
                Some(curve) => format!("EC {}", curve.short_name().unwrap_or("unknown curve")),
                None => format!("EC {}", key.bits()),
            }
        }
        Id::ED25519 => "Ed25519".to_owned(),
        Id::ED448 => "Ed448".to_owned(),
        _ => format!("{} bits", key.bits()),
    }
}

/// The names of a certificate: DNS names, then `IP:` addresses; if it has neither, the common name, marked as such.
#[must_use]
pub fn names(certificate: &X509Ref) -> Vec<String> {
    let alternative = certificate.subject_alt_names();
    let mut names: Vec<String> = alternative
        .iter()
        .flatten()
        .filter_map(|n| n.dnsname().map(str::to_owned))
        .collect();
    let addresses = alternative.iter().flatten().filter_map(|n| n.ipaddress());
    names.extend(addresses.filter_map(address).map(|ip| format!("IP:{ip}")));
    for name in alternative.iter().flatten() {
        names.extend(name.uri().map(|uri| format!("URI:{uri}")));
        names.extend(name.email().map(|email| format!("email:{email}")));
    }
    if names.is_empty() {
        let subject = certificate.subject_name();
        let common = subject.entries_by_nid(Nid::COMMONNAME).next();
        names.extend(common.map(|entry| {
            let value = String::from_utf8_lossy(entry.data().as_slice()).into_owned();
            format!("{value} (common name only)")
        }));
    }
    names
}

/// An IP address in the form that a certificate has it (RFC 5280, 4.2.1.6).
#[must_use]
pub fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(Into::into)
}

/// `"a", "b" and 3 more`; `nothing` for no names at all.
#[must_use]
pub fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|n| format!("\"{n}\""))
        .collect();
    let mut text = shown.join(", ");
    if names.len() > SHOWN {
        // Writing to a string cannot fail.
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::x509::X509Name;
    use openssl::x509::extension::SubjectAlternativeName;

    use super::*;

    #[test]
    fn names_of_another_kind_are_shown() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509Name::builder().unwrap();
        subject.append_entry_by_text("CN", "workload").unwrap();
        let subject = subject.build();
        let mut builder = X509::builder().unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(&subject).unwrap();
        builder.set_pubkey(&key).unwrap();
        let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(9));
        builder.set_not_before(&from.unwrap()).unwrap();
        builder.set_not_after(&to.unwrap()).unwrap();
        let mut san = SubjectAlternativeName::new();
        san.uri("spiffe://corp.test/orders").email("a@corp.test");
        let san = san.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(san).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = builder.build();
        assert_eq!(
            CertificateFault::of_names(&certificate),
            CertificateFault::NameMismatch
        );
        assert_eq!(
            name_words(&certificate, "orders.corp.test"),
            "certificate does not name orders.corp.test (it names \"URI:spiffe://corp.test/orders\", \"email:a@corp.test\")"
        );
    }
}
