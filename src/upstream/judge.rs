//! Puts the refusal of a server's certificate into an operator's words.

use std::cmp::Ordering;

use openssl::x509::X509;

use super::{Failure, Upstream};
use crate::tls::reason::{self, CertificateFault};
use crate::tls::verify::{Verdict, signed};
use crate::tls::{CertifiedKey, TrustBundle};

/// What is needed to explain why a certificate was refused.
pub(super) struct Judge {
    name: String,
    bundle: String,
    authorities: Vec<X509>,
    /// Other certificates that we know, which may be the missing intermediate.
    at_hand: Vec<X509>,
}

impl Judge {
    pub(super) fn new(upstream: &Upstream, trust: &TrustBundle) -> Self {
        let tls = &upstream.tls;
        Self {
            name: tls.server_name.clone(),
            bundle: trust.name.clone(),
            authorities: trust.certificates.clone(),
            at_hand: at_hand(tls.client_certificate.as_deref()),
        }
    }

    pub(super) fn refused(&self, verdict: &Verdict) -> Failure {
        let result = verdict.result;
        let Some(certificate) = &verdict.refused else {
            let words = format!("certificate not trusted: {}", result.error_string());
            return Failure::new(CertificateFault::of(result).into(), words);
        };
        let fault = CertificateFault::judge(result, certificate, &self.authorities, &self.at_hand);
        let issuer = reason::name_text(certificate.issuer_name());
        let subject = reason::name_text(certificate.subject_name());
        let words = match fault {
            CertificateFault::Untrusted if self.has_name_of_issuer(certificate) => format!(
                "certificate not trusted: another key than that of \"{issuer}\" in trust bundle \"{}\" signed it (subject \"{subject}\")",
                self.bundle
            ),
            CertificateFault::Untrusted => format!(
                "certificate not trusted: {} (issuer \"{issuer}\"; trust bundle \"{}\" has {})",
                result.error_string(),
                self.bundle,
                self.trusted()
            ),
            CertificateFault::MissingIntermediate => format!(
                "chain is incomplete: the intermediate \"{issuer}\" that signed \"{subject}\" is missing (trust bundle \"{}\" has {})",
                self.bundle,
                self.trusted()
            ),
            CertificateFault::NameMismatch
            | CertificateFault::CommonNameOnly
            | CertificateFault::AddressOnly => reason::name_words(certificate, &self.name),
            CertificateFault::Expired => format!(
                "certificate expired at {} (subject \"{subject}\")",
                reason::time_text(certificate.not_after())
            ),
            CertificateFault::NotYetValid => format!(
                "certificate is not valid before {} (subject \"{subject}\")",
                reason::time_text(certificate.not_before())
            ),
            CertificateFault::Weak => format!(
                "certificate is too weak: {}, {} (subject \"{subject}\")",
                result.error_string(),
                reason::key_text(certificate)
            ),
            CertificateFault::WrongUsage => format!(
                "certificate is not for a server: {} (subject \"{subject}\")",
                reason::usage_text(certificate)
            ),
        };
        Failure::new(fault.into(), words)
    }

    /// Whether the bundle has a CA with the issuer's name, and none of that name signed the certificate.
    fn has_name_of_issuer(&self, certificate: &X509) -> bool {
        let issuer = certificate.issuer_name();
        let named = |ca: &&X509| ca.subject_name().try_cmp(issuer).is_ok_and(Ordering::is_eq);
        let mut named = self.authorities.iter().filter(named).peekable();
        named.peek().is_some() && named.all(|ca| !signed(ca, certificate))
    }

    fn trusted(&self) -> String {
        let names: Vec<String> = self
            .authorities
            .iter()
            .map(|ca| reason::name_text(ca.subject_name()))
            .collect();
        reason::list(&names)
    }
}

/// The intermediates of our client certificate: the same private CA often signed the gateways' certificates.
fn at_hand(certified: Option<&CertifiedKey>) -> Vec<X509> {
    let chain = certified.map_or(&[][..], |certified| &certified.chain);
    chain.iter().skip(1).cloned().collect()
}
