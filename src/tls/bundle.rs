//! Reads trust bundles: CA certificates and nothing else.
//!
//! A bundle with one bad certificate is refused, so that no CA is lost silently.

use std::path::{Path, PathBuf};

use openssl::x509::{X509, X509Ref};

use super::TrustBundle;
use super::candidate::PASTED;
use super::finding::{Finding, Part};
use super::materials::{check_validity, digest, keep, parse_chain, read, subject};
use super::verify::is_plain;
use seclang::diagnostic::Severity;

impl TrustBundle {
    /// A bundle without a certificate: nothing can be verified under it.
    #[must_use]
    pub fn of_nobody(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            certificates: Vec::new(),
            files: Vec::new(),
            plain: true,
            digest: [0; 32],
        }
    }

    /// Reads PEM files of CA certificates. Each finding has the index of its file.
    #[must_use]
    pub fn load<P: AsRef<Path>>(
        name: &str,
        files: &[P],
        findings: &mut Vec<(usize, Finding)>,
    ) -> Option<Self> {
        let mut certificates = Vec::new();
        let mut origins: Vec<PathBuf> = Vec::new();
        let mut whole = true;
        for (index, path) in files.iter().enumerate() {
            let mut found = Vec::new();
            let authorities = load_authorities(path.as_ref(), &mut found);
            whole &= authorities.is_some();
            certificates.extend(authorities.unwrap_or_default());
            // One path for each certificate, so that both lists have the same indexes.
            origins.resize(certificates.len(), path.as_ref().to_owned());
            findings.extend(found.into_iter().map(|finding| (index, finding)));
        }
        if !whole || certificates.is_empty() {
            return None;
        }
        let mut found = Vec::new();
        let digest = keep(digest(&certificates, None), &mut found);
        findings.extend(found.into_iter().map(|finding| (0, finding)));
        let digest = digest?;
        Some(Self {
            name: name.to_owned(),
            plain: is_plain(&certificates),
            certificates,
            files: origins,
            digest,
        })
    }

    /// Like [`TrustBundle::load`], from memory.
    #[must_use]
    pub fn from_pem(name: &str, pem: &[u8], findings: &mut Vec<Finding>) -> Option<Self> {
        let certificates = authorities(pem, Path::new(PASTED), findings)?;
        let digest = keep(digest(&certificates, None), findings)?;
        Some(Self {
            name: name.to_owned(),
            plain: is_plain(&certificates),
            files: vec![PathBuf::from(PASTED); certificates.len()],
            certificates,
            digest,
        })
    }
}

fn load_authorities(path: &Path, findings: &mut Vec<Finding>) -> Option<Vec<X509>> {
    let pem = read(path, Part::Chain, findings)?;
    authorities(&pem, path, findings)
}

/// The CA certificates in a PEM text; `path` is what messages call it.
fn authorities(pem: &[u8], path: &Path, findings: &mut Vec<Finding>) -> Option<Vec<X509>> {
    let certificates = parse_chain(pem, path, findings)?;
    let mut authorities = Vec::new();
    for certificate in certificates {
        if is_authority(&certificate) {
            findings.extend(check_validity(&certificate, Part::Chain));
            authorities.push(certificate);
            continue;
        }
        findings.push(Finding::error(
            Part::Chain,
            format!(
                "{}: the certificate of {} is no CA certificate",
                path.display(),
                subject(&certificate)
            ),
            Some("a trust bundle holds the CAs that sign the servers' certificates, not those certificates"),
        ));
    }
    let none_refused = findings.iter().all(|f| f.severity == Severity::Warning);
    none_refused.then_some(authorities)
}

/// Whether basicConstraints says `CA:TRUE` (RFC 5280, 4.2.1.9); the openssl crate cannot tell.
fn is_authority(certificate: &X509Ref) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let Ok(der) = certificate.to_der() else {
        return false;
    };
    X509Certificate::from_der(&der).is_ok_and(|(_, parsed)| {
        parsed
            .basic_constraints()
            .is_ok_and(|found| found.is_some_and(|constraints| constraints.value.ca))
    })
}
