//! A caller whose token or certificate was verified, for rules, logs and gateways.

use std::sync::Arc;

use identity::Claims;
use serde_json::Value;
use waf::Transaction;

use super::provider::Provider;
use crate::hex::hex;

/// Claims that many callers share, or that name the token and not the person.
const IMPERSONAL: [&str; 20] = [
    "provider", "iss", "aud", "jti", "iat", "nbf", "exp", "typ", "acr", "amr", "scope", "scp",
    "role", "roles", "group", "groups", "o", "ou", "c", "tid",
];

/// A caller whose token or certificate was verified.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who vouches for it.
    pub provider: Arc<Provider>,
    /// What it says.
    pub claims: Arc<Claims>,
}

impl Caller {
    /// A claim by the name that `require`, rules and header fields have for it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.claims.find(self.provider.path_of(&self.claims, name))
    }

    /// Who vouches for it: `iss` of the token, or the issuer of the certificate.
    #[must_use]
    pub fn issuer(&self) -> &str {
        // A token has the issuer that is expected, and a certificate has one.
        self.claims
            .issuer()
            .unwrap_or(&self.provider.expected.issuer)
    }

    /// Gives the claims to rules as the collection `IDENTITY`. What may not be kept is masked where they log it.
    pub fn tell(&self, transaction: &mut Transaction) {
        self.each_variable(|name, value| {
            let (is_shown, name, value) = (
                self.may_keep(name, value),
                name.as_bytes(),
                value.as_bytes(),
            );
            match is_shown {
                true => transaction.identity(name, value),
                false => transaction.secret_identity(name, value),
            }
        });
    }

    /// Calls `give` with each claim by its name, each element of a list as a value of its own, and the names that the
    /// provider has for claims.
    pub fn each_variable(&self, mut give: impl FnMut(&str, &str)) {
        give("provider", &self.provider.name);
        // What the configuration names is meant; a claim that only happens to have the same name is not.
        let is_own = |name: &str| name == "provider" || self.provider.claims.contains_key(name);
        let own = self
            .claims
            .all()
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        let own = own.filter(|(name, _)| !is_own(name));
        let mapped = self.provider.claims.keys();
        let mapped = mapped.filter_map(|name| Some((name.as_str(), self.value(name)?)));
        for (name, value) in own.chain(mapped) {
            let elements = match value {
                Value::Array(list) => list.as_slice(),
                value => std::slice::from_ref(value),
            };
            for element in elements {
                match element {
                    Value::String(text) => give(name, text),
                    Value::Number(_) | Value::Bool(_) => give(name, &element.to_string()),
                    Value::Null | Value::Array(_) | Value::Object(_) => {}
                }
            }
        }
    }

    /// Whether a variable of [`Self::each_variable`] may be written to a disk. Where the subject is hashed, only claims
    /// that say nothing about one person may.
    #[must_use]
    pub fn may_keep(&self, name: &str, value: &str) -> bool {
        // A claim is named by whoever issues it, so a secret may have a harmless name.
        if waf::is_secret_field(name.as_bytes()) || has_token(value) {
            return false;
        }
        if !self.provider.hides_subject {
            return true;
        }
        let path = self.provider.path_of(&self.claims, name);
        let last = path.rsplit('.').next().unwrap_or(path);
        IMPERSONAL.contains(&last) && self.claims.subject() != Some(value)
    }

    /// The subject as logs show it.
    #[must_use]
    pub fn logged_subject(&self) -> Option<String> {
        let subject = self.claims.subject()?;
        if !self.provider.hides_subject {
            return Some(subject.to_owned());
        }
        Some(hashed_subject(self.issuer(), subject))
    }
}

/// The subject as logs show it where it is hashed.
#[must_use]
pub fn hashed_subject(issuer: &str, subject: &str) -> String {
    // With the issuer: equal names of two issuers are two people.
    let named = format!("{issuer}\n{subject}");
    let mut digest = hex(&openssl::sha::sha256(named.as_bytes()));
    digest.truncate(32);
    format!("sha256:{digest}")
}

/// Whether a signed token stands in the text: its header is a JSON object, which in base64url begins with `eyJ`.
fn has_token(text: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .any(|word| word.starts_with("eyJ") && word.matches('.').count() >= 2)
}
