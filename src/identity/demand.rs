//! What a route demands of its callers, and what one request proves.

use std::sync::Arc;

use identity::{CacheKey, Reason, Token};

use super::caller::Caller;
use super::forward::ForwardIdentity;
use super::provider::Provider;
use super::tokens;

/// What a route demands.
#[derive(Debug)]
pub struct RouteIdentity {
    /// The issuers; at least one. The issuer that a token names selects among them.
    pub providers: Vec<Arc<Provider>>,
    /// Whether a request without a token is refused.
    pub required: bool,
    /// Each name of a claim, and its words: a token must have all of `scope`, and one of any other.
    pub require: Vec<(String, Vec<String>)>,
    /// What the gateway gets.
    pub forward: ForwardIdentity,
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
    /// The token is good, but lacks the words of this claim: 403.
    Insufficient {
        /// Whose token it is.
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
            Self::Insufficient { .. } => "insufficient_scope",
        }
    }
}

impl RouteIdentity {
    /// What it demands, as text for comparison.
    #[must_use]
    pub fn describe(&self) -> String {
        let providers: Vec<&str> = self.providers.iter().map(|p| p.name.as_str()).collect();
        format!(
            "{providers:?} {} {:?} {:?}",
            self.required, self.require, self.forward
        )
    }

    /// Finds out who is calling. `client` is the SHA-256 of the client's certificate, `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why the request is refused.
    pub fn identify(
        &self,
        fields: &[(&[u8], &[u8])],
        query: Option<&[u8]>,
        client: Option<&[u8; 32]>,
        now: u64,
    ) -> Result<Identified, Unauthenticated> {
        let places = self.providers.iter().map(|provider| &provider.place);
        let found = tokens::find(places, fields, query).map_err(Unauthenticated::Token)?;
        let Some(found) = found else {
            return match self.required {
                true => Err(Unauthenticated::Token(Reason::Missing)),
                false => Ok(Identified::Anonymous),
            };
        };
        let caller = self
            .verify(&found, client, now)
            .map_err(Unauthenticated::Token)?;
        match self.missing(&caller) {
            None => Ok(Identified::Caller(caller)),
            Some((claim, words)) => Err(Unauthenticated::Insufficient {
                claim: claim.clone(),
                words: words.clone(),
                caller,
            }),
        }
    }

    fn verify(
        &self,
        found: &tokens::Found<'_>,
        client: Option<&[u8; 32]>,
        now: u64,
    ) -> Result<Caller, Reason> {
        let mut here = self
            .providers
            .iter()
            .filter(|provider| provider.place == *found.place);
        // Before it is hashed: what is too long is never cached.
        if found.token.len() > identity::LONGEST_TOKEN {
            return Err(Reason::TooLong);
        }
        let key = CacheKey::of(found.token);
        let cached = here
            .clone()
            .find_map(|provider| Some((provider, provider.cached(&key)?)));
        let (provider, claims) = match cached {
            Some((provider, claims)) => (provider, claims?),
            None => {
                let token = Token::parse(found.token)?;
                let names = |provider: &&Arc<Provider>| {
                    token.claimed_issuer() == Some(&provider.expected.issuer)
                };
                let provider = here.find(names).ok_or(Reason::Issuer)?;
                (provider, provider.verify(key, token, now)?)
            }
        };
        provider.check_again(&claims, client, now)?;
        Ok(Caller {
            provider: Arc::clone(provider),
            claims,
        })
    }

    /// The first demand that the caller does not meet.
    fn missing(&self, caller: &Caller) -> Option<&(String, Vec<String>)> {
        self.require.iter().find(|(name, words)| {
            let has = caller.provider.words(&caller.claims, name);
            let has = |word: &String| has.contains(&word.as_str());
            match name.as_str() {
                "scope" => !words.iter().all(has),
                _ => !words.iter().any(has),
            }
        })
    }
}
