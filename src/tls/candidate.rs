//! Certificates that somebody wants to put in the place of those that serve, before they are in a file.

use std::path::Path;

use openssl::x509::X509;

use super::finding::Finding;
use super::materials::{check_order, check_validity, dns_names, keep, parse_chain};
use super::{CertifiedKey, Part};

/// What messages call it.
pub(super) const PASTED: &str = "this text";

/// A chain whose key is elsewhere.
#[derive(Debug)]
pub struct CandidateChain {
    /// The leaf first.
    pub chain: Vec<X509>,
    /// DNS names of the leaf, in lower case.
    pub names: Vec<String>,
}

impl CandidateChain {
    /// Reads a PEM chain. None if it cannot be used; the reason is in `findings`.
    #[must_use]
    pub fn from_pem(pem: &[u8], findings: &mut Vec<Finding>) -> Option<Self> {
        let chain = parse_chain(pem, Path::new(PASTED), findings)?;
        findings.extend(chain.iter().filter_map(|c| check_validity(c, Part::Chain)));
        keep(check_order(&chain), findings)?;
        let names = dns_names(chain.first()?);
        Some(Self { chain, names })
    }

    /// Whether the key of a certificate fits this one too.
    #[must_use]
    pub fn fits(&self, present: &CertifiedKey) -> bool {
        let public = self.chain.first().map(|leaf| leaf.public_key());
        public.is_some_and(|public| public.is_ok_and(|public| public.public_eq(&present.key)))
    }

    /// For comparison with others only: it has the key of the certificate that it would replace.
    #[must_use]
    pub fn in_place_of(self, present: &CertifiedKey) -> CertifiedKey {
        CertifiedKey {
            chain: self.chain,
            names: self.names,
            key: present.key.clone(),
            digest: [0; 32],
            ocsp: None,
            file: None,
            read: None,
        }
    }
}
