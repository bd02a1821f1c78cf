//! One issuer, with its keys and what it must say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use identity::{
    CacheKey, Claims, Expectations, KeySet, Reason, Token, TokenCache, verify_signature,
};

use super::certificate::{CertificateFault, CertificateRule};
use crate::tls::ClientFields;

/// Verified tokens that an issuer's cache holds.
const CACHED: usize = 16 * 1024;

/// An issuer whose tokens are taken.
#[derive(Debug)]
pub struct Provider {
    /// The name of its table.
    pub name: String,
    /// What a token must be.
    pub expected: Expectations,
    /// Where a client puts the token.
    pub place: TokenPlace,
    /// Whether a token must be bound to the client's certificate (RFC 8705). One that is bound is always checked.
    pub bound: bool,
    /// The claims behind the words of `require` and of rules, by these words.
    pub claims: BTreeMap<String, String>,
    /// The header fields that gateways get under `forward_identity = "claims"`, and the claim of each.
    pub fields: Vec<(String, String)>,
    /// Whether logs show a hash of the subject.
    pub hides_subject: bool,
    /// Values of `jti` and `sub` that are refused.
    pub denied: BTreeSet<String>,
    /// None if its files are broken and no version of them ran: then no token is taken.
    pub keys: Option<KeySet>,
    cache: TokenCache,
}

/// Where a client puts its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// `Authorization: Bearer`
    Authorization,
    /// A field of this name, in lower case, whose whole value is the token.
    Field(String),
    /// A cookie of this name.
    Cookie(String),
    /// Nowhere: the client certificate of the connection says who is calling.
    ClientCertificate(CertificateRule),
}

/// Everything of a [`Provider`] but its cache.
#[derive(Debug)]
pub(crate) struct ProviderSettings {
    pub(crate) name: String,
    pub(crate) expected: Expectations,
    pub(crate) place: TokenPlace,
    pub(crate) bound: bool,
    pub(crate) claims: BTreeMap<String, String>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) hides_subject: bool,
    pub(crate) denied: BTreeSet<String>,
    pub(crate) keys: Option<KeySet>,
}

impl Provider {
    pub(crate) fn new(settings: ProviderSettings) -> Self {
        Self {
            name: settings.name,
            expected: settings.expected,
            place: settings.place,
            bound: settings.bound,
            claims: settings.claims,
            fields: settings.fields,
            hides_subject: settings.hides_subject,
            denied: settings.denied,
            keys: settings.keys,
            cache: TokenCache::new(CACHED),
        }
    }

    /// What it demands and by which keys, as text for comparison. Never a secret.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self {
            expected,
            place,
            bound,
            claims,
            fields,
            denied,
            keys,
            ..
        } = self;
        format!("{expected:?} {place:?} {bound} {claims:?} {fields:?} {denied:?} {keys:?}")
    }

    /// Which client certificates stand for its callers; None of an issuer of tokens.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateRule> {
        match &self.place {
            TokenPlace::ClientCertificate(rule) => Some(rule),
            _ => None,
        }
    }

    /// The claims of a certificate that is not denied and valid now. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it names no caller.
    pub fn judge_certificate(
        &self,
        rule: &CertificateRule,
        fields: &ClientFields,
        sha256: &[u8; 32],
        now: u64,
    ) -> Result<Claims, CertificateFault> {
        let claims = rule.claims(fields, sha256)?;
        // The handshake looked at the time too, but a connection may outlive the certificate.
        let checked = self.check_again(&claims, None, now);
        checked.map_err(CertificateFault::Refused)?;
        Ok(claims)
    }

    /// What the cache knows of a token's signature.
    pub(super) fn cached(&self, key: &CacheKey) -> Option<Result<Arc<Claims>, Reason>> {
        self.cache.find(key, GENERATION)
    }

    /// Verifies a token that is not cached.
    pub(super) fn verify(
        &self,
        key: CacheKey,
        token: Token<'_>,
        now: u64,
    ) -> Result<Arc<Claims>, Reason> {
        // First, because it is cheap: most tokens that are refused are old.
        self.expected.check(&token, now)?;
        let keys = self.keys.as_ref().ok_or(Reason::KeysUnavailable)?;
        let verified = verify_signature(&token, keys);
        let outcome = verified.map(|()| Arc::new(token.into_claims()));
        // The others cost little, and most of them depend on more than the token.
        if !matches!(outcome, Err(reason) if reason != Reason::Signature) {
            self.cache.keep(key, GENERATION, outcome.clone());
        }
        outcome
    }

    /// What this provider makes of a token, without a request and without the cache.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn judge(&self, text: &[u8], now: u64) -> Result<Claims, Reason> {
        let token = Token::parse(text)?;
        self.expected.check(&token, now)?;
        verify_signature(&token, self.keys.as_ref().ok_or(Reason::KeysUnavailable)?)?;
        let claims = token.into_claims();
        match self.denies(&claims) {
            true => Err(Reason::Denied),
            false => Ok(claims),
        }
    }

    fn denies(&self, claims: &Claims) -> bool {
        let mut ids = claims.id().into_iter().chain(claims.subject());
        ids.any(|id| self.denied.contains(id))
    }

    /// What must hold at each request, also for a token that was verified before.
    pub(super) fn check_again(
        &self,
        claims: &Claims,
        client: Option<&[u8; 32]>,
        now: u64,
    ) -> Result<(), Reason> {
        claims.check_times(now, self.expected.clock_skew)?;
        if self.denies(claims) {
            return Err(Reason::Denied);
        }
        claims.check_binding(client, self.bound)
    }

    /// The words of a claim by the name that `require` and rules have for it.
    #[must_use]
    pub fn words<'c>(&self, claims: &'c Claims, name: &str) -> Vec<&'c str> {
        claims.words(self.path_of(claims, name))
    }

    pub(super) fn path_of<'n>(&'n self, claims: &Claims, name: &'n str) -> &'n str {
        match self.claims.get(name) {
            Some(path) => path,
            // Entra ID calls it `scp`, and writes it like `scope`.
            None if name == "scope" && claims.find("scope").is_none() => "scp",
            None => name,
        }
    }
}

/// A provider's keys never change: new files make a new provider, with an empty cache.
const GENERATION: u64 = 1;
