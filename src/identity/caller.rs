//! A caller whose token or certificate was verified, for rules, logs and gateways.

use std::sync::Arc;

use identity::Claims;
use serde_json::Value;
use waf::Transaction;

use super::provider::Provider;
use crate::hex::hex;

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

    /// Gives the claims to rules as the collection `IDENTITY`: each claim by its name, each element of a list as a value of
    /// its own, and the names that the provider has for claims.
    pub fn tell(&self, transaction: &mut Transaction) {
        transaction.identity(b"provider", self.provider.name.as_bytes());
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
                    Value::String(text) => transaction.identity(name.as_bytes(), text.as_bytes()),
                    Value::Number(_) | Value::Bool(_) => {
                        transaction.identity(name.as_bytes(), element.to_string().as_bytes());
                    }
                    Value::Null | Value::Array(_) | Value::Object(_) => {}
                }
            }
        }
    }

    /// The subject as logs show it.
    #[must_use]
    pub fn logged_subject(&self) -> Option<String> {
        let subject = self.claims.subject()?;
        if !self.provider.hides_subject {
            return Some(subject.to_owned());
        }
        // With the issuer: equal names of two issuers are two people.
        let named = format!("{}\n{subject}", self.issuer());
        let mut digest = hex(&openssl::sha::sha256(named.as_bytes()));
        digest.truncate(32);
        Some(format!("sha256:{digest}"))
    }
}
