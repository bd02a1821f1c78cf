//! Puts the refusal of a server's certificate into an operator's words.

use std::cmp::Ordering;

use openssl::x509::X509;

use super::TrustBundle;
use super::reason::{self, CertificateFault};
use super::verify::{Verdict, signed};

/// Why the certificate of a server was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind.
    pub fault: CertificateFault,
    /// The reason in words, without the server's name.
    pub words: String,
}

/// What is needed to explain why a certificate was refused.
pub(crate) struct Judge {
    name: String,
    /// In words.
    bundle: String,
    is_system: bool,
    authorities: Vec<X509>,
    /// Other certificates that we know, which may be the missing intermediate.
    at_hand: Vec<X509>,
}

impl Judge {
    /// For a server of this name under this bundle. The certificates in `at_hand` are known beside those of the bundle.
    pub(crate) fn new(name: &str, trust: &TrustBundle, at_hand: Vec<X509>) -> Self {
        Self {
            name: name.to_owned(),
            bundle: trust.words(),
            is_system: trust.is_system(),
            authorities: trust.certificates.clone(),
            at_hand,
        }
    }

    pub(crate) fn refused(&self, verdict: &Verdict) -> Refusal {
        let result = verdict.result;
        let Some(certificate) = &verdict.refused else {
            return Refusal {
                fault: CertificateFault::of(result),
                words: format!("certificate not trusted: {}", result.error_string()),
            };
        };
        let fault = CertificateFault::judge(result, certificate, &self.authorities, &self.at_hand);
        let issuer = reason::name_text(certificate.issuer_name());
        let subject = reason::name_text(certificate.subject_name());
        let words = match fault {
            CertificateFault::Untrusted if self.has_name_of_issuer(certificate) => format!(
                "certificate not trusted: another key than that of \"{issuer}\" in {} signed it (subject \"{subject}\")",
                self.bundle
            ),
            CertificateFault::Untrusted => format!(
                "certificate not trusted: {} (issuer \"{issuer}\"; {})",
                result.error_string(),
                self.trusted()
            ),
            CertificateFault::MissingIntermediate => format!(
                "chain is incomplete: the intermediate \"{issuer}\" that signed \"{subject}\" is missing ({})",
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
        Refusal { fault, words }
    }

    /// Whether the bundle has a CA with the issuer's name, and none of that name signed the certificate.
    fn has_name_of_issuer(&self, certificate: &X509) -> bool {
        let issuer = certificate.issuer_name();
        let named = |ca: &&X509| ca.subject_name().try_cmp(issuer).is_ok_and(Ordering::is_eq);
        let mut named = self.authorities.iter().filter(named).peekable();
        named.peek().is_some() && named.all(|ca| !signed(ca, certificate))
    }

    /// Who is trusted, in words.
    fn trusted(&self) -> String {
        if self.is_system {
            return format!("{} are {}", self.bundle, self.authorities.len());
        }
        let names: Vec<String> = self
            .authorities
            .iter()
            .map(|ca| reason::name_text(ca.subject_name()))
            .collect();
        format!("{} has {}", self.bundle, reason::list(&names))
    }
}
