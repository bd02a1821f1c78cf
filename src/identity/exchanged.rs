//! The token that a gateway takes, for one caller: exchanged once for all requests that prove the same.
//!
//! Invariant: two requests share a token only if their callers' tokens say the same of them, so that nobody gets through
//! the exchange what the token of another request would have given.

use std::sync::Arc;

use identity::CacheKey;
use serde_json::Value;

use super::caller::Caller;
use super::issuer::{Asked, ExchangeQuestion, Exchanger, Known};

/// Claims that differ between tokens that say the same of a caller.
const OF_ONE_TOKEN: [&str; 4] = ["exp", "iat", "jti", "nbf"];

/// Why there is no token for a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotExchanged {
    /// The gateways' issuer does not take the caller's token, by this code (RFC 6749, 5.2).
    Refused(&'static str),
    /// There is no answer of the issuer.
    Unavailable,
}

impl NotExchanged {
    /// A stable code, for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused(_) => "exchange_refused",
            Self::Unavailable => "exchange_unavailable",
        }
    }
}

impl Caller {
    /// A token for the gateways of this upstream, in exchange for the caller's own.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn exchanged(
        &self,
        exchanger: &Exchanger,
        token: &[u8],
        upstream: &str,
    ) -> Result<Arc<str>, NotExchanged> {
        let audience = exchanger.endpoint().audience_for(upstream);
        let key = self.exchange_key(token, audience);
        let known = || match exchanger.known(&key) {
            Known::Good(exchanged) => Some(Ok(exchanged.token)),
            Known::Refused(why) => Some(Err(NotExchanged::Refused(why))),
            Known::Nothing => None,
        };
        if let Some(known) = known() {
            return known;
        }
        // A token that was verified is ASCII.
        let token = String::from_utf8(token.to_vec()).map_err(|_| NotExchanged::Unavailable)?;
        let question = ExchangeQuestion {
            token,
            audience: audience.to_owned(),
        };
        exchanger.learn(key, question, Asked::Verified).await;
        known().unwrap_or(Err(NotExchanged::Unavailable))
    }

    fn exchange_key(&self, token: &[u8], audience: &str) -> CacheKey {
        let claims = self.claims.all().iter();
        let stated: Vec<(&String, &Value)> = claims
            .filter(|(name, _)| !OF_ONE_TOKEN.contains(&name.as_str()))
            .collect();
        let key = (&self.provider.name, audience, stated);
        // Values of JSON become JSON; if not, the token is exchanged for itself alone.
        serde_json::to_vec(&key).map_or_else(|_| CacheKey::of(token), |key| CacheKey::of(&key))
    }
}
