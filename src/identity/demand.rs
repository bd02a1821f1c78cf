//! What a route demands of its callers, and what one request proves.

use std::sync::Arc;

use identity::{CacheKey, Claims, Reason, Token};

use super::caller::Caller;
use super::certificate::{CertificateFault, ShownCertificate};
use super::forward::ForwardIdentity;
use super::issuer::Exchanger;
use super::provider::Provider;
use super::tokens;
use crate::tls::ClientIdentity;

/// What a route demands.
#[derive(Debug)]
pub struct RouteIdentity {
    /// The issuers; at least one. The issuer that a token names selects among them, and without a token the bundle of the
    /// client's certificate.
    pub providers: Vec<Arc<Provider>>,
    /// Whether a request that proves nothing is refused.
    pub required: bool,
    /// Each name of a claim, and its words: a caller must have all of `scope`, and one of any other.
    pub require: Vec<(String, Vec<String>)>,
    /// What the gateway gets.
    pub forward: ForwardIdentity,
    /// Who exchanges tokens, for [`ForwardIdentity::Exchanged`].
    pub exchanger: Option<Arc<Exchanger>>,
    /// The listener says so, and the route has no `identity` of its own.
    pub is_default: bool,
}

/// What a request says of its caller.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// Its header fields.
    pub fields: &'r [(&'r [u8], &'r [u8])],
    /// Its query.
    pub query: Option<&'r [u8]>,
    /// The client certificate of its connection.
    pub shown: Option<ShownCertificate<'r>>,
}

/// What a request proves.
#[derive(Debug, Clone)]
pub enum Identified {
    /// Nothing, and nothing is demanded.
    Anonymous,
    /// Who is calling.
    Caller(Caller),
}

/// Why a request is refused.
#[derive(Debug, Clone)]
pub enum Unauthenticated {
    /// There is no token that is taken: 401.
    Token(Reason),
    /// The route takes certificates, and none that the client showed is taken: 403, for no field of another request helps.
    Certificate(CertificateFault),
    /// The caller is known, but lacks the words of this claim: 403.
    Insufficient {
        /// Who it is.
        caller: Caller,
        /// The name in `require`.
        claim: String,
        /// What was demanded.
        words: Vec<String>,
    },
}

impl Unauthenticated {
    /// A stable code, for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Token(reason) => reason.name(),
            Self::Certificate(fault) => fault.name(),
            Self::Insufficient { .. } => "insufficient_scope",
        }
    }
}

impl RouteIdentity {
    /// What it demands, as text for comparison.
    #[must_use]
    pub fn describe(&self) -> String {
        let providers: Vec<&str> = self.providers.iter().map(|p| p.name.as_str()).collect();
        let exchange = self.exchanger.as_ref().map(|to| to.endpoint().describe());
        format!(
            "{providers:?} {} {:?} {:?} {exchange:?}",
            self.required, self.require, self.forward
        )
    }

    /// Finds out who is calling. A token decides where there is one: a certificate beside it does not make a bad token
    /// good. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why the request is refused.
    pub fn identify(&self, request: &Request<'_>, now: u64) -> Result<Identified, Unauthenticated> {
        let found = self.find_token(request).map_err(Unauthenticated::Token)?;
        let caller = match found {
            Some(found) => {
                let client = request.shown.map(|shown| &shown.certificate.sha256);
                let verified = self.verify(&found, client, now);
                Some(verified.map_err(Unauthenticated::Token)?)
            }
            None => self
                .by_certificate(request.shown, now)
                .map_err(Unauthenticated::Certificate)?,
        };
        let Some(caller) = caller else {
            return match self.required {
                true => Err(self.nothing_proven()),
                false => Ok(Identified::Anonymous),
            };
        };
        match self.missing(&caller) {
            None => Ok(Identified::Caller(caller)),
            Some((claim, words)) => Err(Unauthenticated::Insufficient {
                claim: claim.clone(),
                words: words.clone(),
                caller,
            }),
        }
    }

    /// The token of a request whose caller is known; None if a certificate says who it is.
    #[must_use]
    pub fn token_of<'r>(&'r self, request: &Request<'r>) -> Option<&'r [u8]> {
        Some(self.find_token(request).ok()??.token)
    }

    pub(super) fn find_token<'r>(
        &'r self,
        request: &Request<'r>,
    ) -> Result<Option<tokens::Found<'r>>, Reason> {
        if !self.takes_tokens() {
            return Ok(None);
        }
        let issuers = self.providers.iter().filter(|p| p.certificate().is_none());
        let places = issuers.map(|provider| &provider.place);
        tokens::find(places, request.fields, request.query)
    }

    fn takes_tokens(&self) -> bool {
        self.providers.iter().any(|p| p.certificate().is_none())
    }

    fn nothing_proven(&self) -> Unauthenticated {
        match self.takes_tokens() {
            true => Unauthenticated::Token(Reason::Missing),
            false => Unauthenticated::Certificate(CertificateFault::Missing),
        }
    }

    /// Who the client certificate stands for; None if there is none that an identity of the route takes.
    fn by_certificate(
        &self,
        shown: Option<ShownCertificate<'_>>,
        now: u64,
    ) -> Result<Option<Caller>, CertificateFault> {
        let Some(shown) = shown else {
            return Ok(None);
        };
        let mut rules = self
            .providers
            .iter()
            .filter_map(|provider| Some((provider, provider.certificate()?)));
        let Some((provider, rule)) = rules.find(|(_, rule)| rule.takes(&shown)) else {
            return Ok(None);
        };
        let ClientIdentity { fields, sha256, .. } = shown.certificate;
        let claims = provider.judge_certificate(rule, fields, sha256, now)?;
        Ok(Some(Caller {
            provider: Arc::clone(provider),
            claims: Arc::new(claims),
        }))
    }

    fn verify(
        &self,
        found: &tokens::Found<'_>,
        client: Option<&[u8; 32]>,
        now: u64,
    ) -> Result<Caller, Reason> {
        // Before it is hashed: what is too long is never cached.
        if found.token.len() > identity::LONGEST_TOKEN {
            return Err(Reason::TooLong);
        }
        let key = CacheKey::of(found.token);
        let cached = self
            .here(found)
            .find_map(|provider| Some((provider, provider.cached(&key)?)));
        let (provider, claims) = match cached {
            Some((provider, claims)) => (provider, claims?),
            None => {
                let (provider, token) = self.named_by(found)?;
                match token {
                    Some(token) => (provider, provider.verify(key, token, now)?),
                    None => {
                        let claims = provider.judge_opaque(&key, now)?;
                        return Self::taken(provider, claims, client, now);
                    }
                }
            }
        };
        let caller = Self::taken(provider, claims, client, now)?;
        // Last, so that only a token that is good otherwise is asked about.
        provider.check_active(&key, client, now)?;
        Ok(caller)
    }

    /// The issuer that a token names, and the token as it is read; or the one that knows what a token means that says
    /// nothing itself.
    pub(super) fn named_by<'r>(
        &'r self,
        found: &tokens::Found<'r>,
    ) -> Result<(&'r Arc<Provider>, Option<Token<'r>>), Reason> {
        let mut here = self.here(found);
        match Token::parse(found.token) {
            // Not three parts: it may be a name that only its issuer knows.
            Err(Reason::Malformed) => {
                let provider = here.find(|provider| provider.takes_opaque(found.token));
                Ok((provider.ok_or(Reason::Malformed)?, None))
            }
            parsed => {
                let token = parsed?;
                let names = |provider: &&Arc<Provider>| {
                    token.claimed_issuer() == Some(&provider.expected.issuer)
                };
                let provider = here.find(names).ok_or(Reason::Issuer)?;
                Ok((provider, Some(token)))
            }
        }
    }

    /// The issuers whose tokens stand where this one was found.
    fn here<'r>(
        &'r self,
        found: &tokens::Found<'r>,
    ) -> impl Iterator<Item = &'r Arc<Provider>> + use<'r> {
        let place = found.place;
        self.providers
            .iter()
            .filter(move |provider| provider.place == *place)
    }

    fn taken(
        provider: &Arc<Provider>,
        claims: Arc<Claims>,
        client: Option<&[u8; 32]>,
        now: u64,
    ) -> Result<Caller, Reason> {
        provider.check_again(&claims, client, now)?;
        Ok(Caller {
            provider: Arc::clone(provider),
            claims,
        })
    }

    /// The first demand that the caller does not meet.
    fn missing(&self, caller: &Caller) -> Option<&(String, Vec<String>)> {
        self.require.iter().find(|(name, words)| {
            if name == "scope" {
                let has = caller.provider.words(&caller.claims, name);
                return !words.iter().all(|word| has.contains(&word.as_str()));
            }
            let path = caller.provider.path_of(&caller.claims, name);
            !words.iter().any(|word| caller.claims.has(path, word))
        })
    }
}
