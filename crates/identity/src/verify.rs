//! From a token whose form is right to claims that can be believed.

use crate::algorithm::Algorithm;
use crate::claims::Claims;
use crate::key_set::KeySet;
use crate::reason::Reason;
use crate::token::{Token, same_type};

/// What a token must be to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    /// `iss`, compared exactly.
    pub issuer: String,
    /// One of them must be in `aud`.
    pub audiences: Vec<String>,
    /// What `alg` may be.
    pub algorithms: Vec<Algorithm>,
    /// What `typ` must be; empty: `JWT`, `at+jwt` or none.
    pub types: Vec<String>,
    /// What the clocks of issuer and verifier may differ by, in seconds.
    pub clock_skew: u64,
}

impl Expectations {
    /// Asymmetric algorithms and 30 seconds of skew.
    pub fn new<'a>(issuer: &str, audiences: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: audiences.into_iter().map(str::to_owned).collect(),
            algorithms: Algorithm::asymmetric(),
            types: Vec::new(),
            clock_skew: 30,
        }
    }

    /// Everything but the signature. It goes first, because it costs a hundredth.
    ///
    /// # Errors
    /// What is not as expected.
    pub fn check(&self, token: &Token<'_>, now: u64) -> Result<(), Reason> {
        if !self.algorithms.contains(&token.algorithm) {
            return Err(Reason::Algorithm);
        }
        if !self.takes_type(token.kind.as_deref()) {
            return Err(Reason::Type);
        }
        if token.claims.issuer() != Some(&self.issuer) {
            return Err(Reason::Issuer);
        }
        if !token.claims.is_for(&self.audiences) {
            return Err(Reason::Audience);
        }
        token.claims.check_times(now, self.clock_skew)
    }

    /// The claims of an issuer's answer about a token. Where they stand `alone`, because the token itself says nothing,
    /// `iss`, `aud` and `exp` must be there; else only what is there must fit.
    ///
    /// # Errors
    /// What is not as expected.
    pub fn check_answer(&self, claims: &Claims, alone: bool, now: u64) -> Result<(), Reason> {
        let says = |name: &str| alone || claims.all().contains_key(name);
        if says("iss") && claims.issuer() != Some(&self.issuer) {
            return Err(Reason::Issuer);
        }
        if says("aud") && !claims.is_for(&self.audiences) {
            return Err(Reason::Audience);
        }
        // Issuers also answer about refresh tokens, which no client may call us with.
        let kind = claims.all().get("token_type");
        let is_bearer = |kind: &str| kind.eq_ignore_ascii_case("bearer");
        if kind.is_some_and(|kind| !kind.as_str().is_some_and(is_bearer)) {
            return Err(Reason::Type);
        }
        match says("exp") {
            true => claims.check_times(now, self.clock_skew),
            false => Ok(()),
        }
    }

    fn takes_type(&self, kind: Option<&str>) -> bool {
        match (kind, self.types.is_empty()) {
            (None, true) => true,
            (None, false) => false,
            (Some(kind), true) => ["JWT", "at+jwt"].iter().any(|t| same_type(kind, t)),
            (Some(kind), false) => self.types.iter().any(|t| same_type(kind, t)),
        }
    }
}

/// The claims of a token that is as expected and was signed by one of the keys. `now` is in seconds since 1970.
///
/// # Errors
/// Why the token is not taken.
pub fn verify(
    token: &Token<'_>,
    keys: &KeySet,
    expected: &Expectations,
    now: u64,
) -> Result<Claims, Reason> {
    expected.check(token, now)?;
    verify_signature(token, keys)?;
    Ok(token.claims.clone())
}

/// The signature alone.
///
/// # Errors
/// No key fits, or it is wrong.
pub fn verify_signature(token: &Token<'_>, keys: &KeySet) -> Result<(), Reason> {
    let key = keys.pick(token.key_id.as_deref(), token.algorithm)?;
    key.verify(token.algorithm, token.signed, &token.signature)
}
