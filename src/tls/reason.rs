//! x509 reasons in words: what a certificate is, and why it was not taken.

use std::fmt::Write as _;

use openssl::nid::Nid;
use openssl::x509::{X509Ref, X509VerifyResult};

pub use super::materials::{name_text, time_text};

/// X509_V_ERR_HOSTNAME_MISMATCH
const HOSTNAME_MISMATCH: i32 = 62;
/// X509_V_ERR_IP_ADDRESS_MISMATCH
const IP_ADDRESS_MISMATCH: i32 = 64;
/// X509_V_ERR_CERT_NOT_YET_VALID
const NOT_YET_VALID: i32 = 9;
/// X509_V_ERR_CERT_HAS_EXPIRED
const HAS_EXPIRED: i32 = 10;
/// X509_V_ERR_EE_KEY_TOO_SMALL, _CA_KEY_TOO_SMALL, _CA_MD_TOO_WEAK
const WEAK: [i32; 3] = [66, 67, 68];

/// The classes of a refused certificate that somebody would mend differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    Untrusted,
    NameMismatch,
    Expired,
    NotYetValid,
    Weak,
}

impl CertificateFault {
    #[must_use]
    pub fn of(result: X509VerifyResult) -> Self {
        match result.as_raw() {
            HOSTNAME_MISMATCH | IP_ADDRESS_MISMATCH => Self::NameMismatch,
            HAS_EXPIRED => Self::Expired,
            NOT_YET_VALID => Self::NotYetValid,
            code if WEAK.contains(&code) => Self::Weak,
            _ => Self::Untrusted,
        }
    }
}

/// What a certificate may be used for: DNS names, then `IP:` addresses; the common name, marked
/// so, where it has neither.
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

/// An address of a certificate's alternative names.
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
