//! A client certificate as proof of who is calling: its fields are claims like those of a token, so that one rule of a route
//! serves both.
//!
//! The handshake verified the certificate. Here it is decided whether it is one of this identity, and how it is called.

use identity::{Claims, Reason};
use serde_json::{Map, Value, json};

use crate::hex::hex;
use crate::tls::{ClientFields, ClientIdentity};

/// Which client certificates stand for callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRule {
    /// The trust bundle under which the handshake must have verified it.
    pub trust: String,
    /// What the caller is called.
    pub subject: SubjectName,
}

/// The part of a certificate that is `sub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectName {
    /// The whole subject (RFC 4514).
    Distinguished,
    /// The one common name.
    Common,
    /// The one alternative name of this kind: `DNS`, `URI` or `email`.
    Alternative(&'static str),
}

/// The certificate that a client showed on a connection, and the trust bundle that it was verified under.
#[derive(Debug, Clone, Copy)]
pub struct ShownCertificate<'c> {
    /// The certificate.
    pub certificate: &'c ClientIdentity,
    /// The name of the bundle.
    pub trust: &'c str,
}

/// Why a client certificate names no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// The client showed none that any identity of the route takes.
    Missing,
    /// It does not have exactly one name of the kind that is `sub`.
    Subject,
    /// It has ended, or is denied.
    Refused(Reason),
}

impl CertificateFault {
    /// A stable code, for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "certificate_missing",
            Self::Subject => "certificate_subject",
            Self::Refused(reason) => reason.name(),
        }
    }

    /// A sentence for the log.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing => "the client showed no certificate that the route takes",
            Self::Subject => {
                "the client certificate does not have exactly one name of the kind that is its subject"
            }
            Self::Refused(Reason::Denied) => "the client certificate or its subject is denied",
            Self::Refused(_) => "the client certificate is not valid now",
        }
    }
}

impl CertificateRule {
    /// Whether a certificate of this bundle is one of this identity.
    #[must_use]
    pub fn takes(&self, shown: &ShownCertificate<'_>) -> bool {
        self.trust == shown.trust
    }

    /// The fields of a certificate as claims. Names are lists, so that a name with a blank is one word. `jti` is the
    /// fingerprint: it names this one certificate, in logs and in lists of the denied.
    ///
    /// # Errors
    /// It has no name of the chosen kind, or a name with control characters.
    pub(super) fn claims(
        &self,
        fields: &ClientFields,
        sha256: &[u8; 32],
    ) -> Result<Claims, CertificateFault> {
        let subject = self.subject.of(fields).ok_or(CertificateFault::Subject)?;
        let fingerprint = hex(sha256);
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", json!(fields.issuer));
        put("sub", json!(subject));
        put("jti", json!(fingerprint));
        put("nbf", json!(fields.begins));
        put("exp", json!(fields.ends));
        put("serial", json!(fields.serial));
        put("fingerprint", json!(fingerprint));
        for (name, values) in [
            ("cn", &fields.common_names),
            ("o", &fields.organizations),
            ("ou", &fields.units),
            ("c", &fields.countries),
            ("san", &fields.alternatives),
        ] {
            if !values.is_empty() {
                put(name, json!(values));
            }
        }
        Claims::of(claims).map_err(|_| CertificateFault::Subject)
    }
}

impl SubjectName {
    fn of(self, fields: &ClientFields) -> Option<&str> {
        let name = match self {
            Self::Distinguished => Some(fields.subject.as_str()),
            Self::Common => only(fields.common_names.iter().map(String::as_str)),
            Self::Alternative(kind) => only(fields.alternatives_of(kind)),
        };
        name.filter(|name| !name.is_empty())
    }
}

/// The one item; None of several: whoever reads another one than we do would see another caller.
fn only<'f>(mut names: impl Iterator<Item = &'f str>) -> Option<&'f str> {
    let first = names.next();
    first.filter(|_| names.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(subject: SubjectName) -> CertificateRule {
        let trust = "partners".to_owned();
        CertificateRule { trust, subject }
    }

    fn fields() -> ClientFields {
        ClientFields {
            subject: "O=Partner Ltd,CN=partner-7".to_owned(),
            issuer: "CN=CA".to_owned(),
            serial: "0a".to_owned(),
            common_names: vec!["partner-7".to_owned()],
            organizations: vec!["Partner Ltd".to_owned()],
            alternatives: vec![
                "DNS:a.test".to_owned(),
                "DNS:b.test".to_owned(),
                "URI:spiffe://a/b".to_owned(),
            ],
            begins: 1,
            ends: 9,
            ..ClientFields::default()
        }
    }

    #[test]
    fn fields_become_claims() {
        let claims = rule(SubjectName::Common)
            .claims(&fields(), &[7; 32])
            .unwrap();
        assert_eq!(claims.subject(), Some("partner-7"));
        assert_eq!(claims.issuer(), Some("CN=CA"));
        assert_eq!(claims.id(), Some("07".repeat(32).as_str()));
        assert_eq!(claims.words("o"), ["Partner Ltd"]);
        assert_eq!(claims.expires(), Some(9));
        assert_eq!(claims.find("ou"), None);
    }

    #[test]
    fn a_subject_is_one_name() {
        for (subject, expected) in [
            (
                SubjectName::Distinguished,
                Some("O=Partner Ltd,CN=partner-7"),
            ),
            (SubjectName::Alternative("URI"), Some("spiffe://a/b")),
            (SubjectName::Alternative("DNS"), None),
            (SubjectName::Alternative("email"), None),
        ] {
            let claims = rule(subject).claims(&fields(), &[7; 32]);
            let found = claims.as_ref().map(|claims| claims.subject().unwrap());
            assert_eq!(found.ok(), expected, "{subject:?}");
        }
        let nobody = ClientFields::default();
        let refused = rule(SubjectName::Distinguished).claims(&nobody, &[7; 32]);
        assert_eq!(refused, Err(CertificateFault::Subject));
        let odd = ClientFields {
            common_names: vec!["a\nb".to_owned()],
            ..fields()
        };
        assert_eq!(
            rule(SubjectName::Common).claims(&odd, &[7; 32]),
            Err(CertificateFault::Subject)
        );
    }
}
