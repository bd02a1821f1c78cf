//! A token by keys that we do not have yet: the request waits for one fetch, which all such requests share.

use identity::{CacheKey, Reason, Token};

use super::demand::{Request, RouteIdentity, Unauthenticated};
use super::issuer::Asked;
use super::provider::{Denied, Keys, Provider};

impl RouteIdentity {
    /// How many fetches of its issuers ended so far. One that ended since may have brought what a token needs.
    #[must_use]
    pub fn fetches(&self) -> u64 {
        let ended = self.providers.iter().map(|provider| {
            let keys = match &provider.keys {
                Keys::Fetched(live) => live.fetches(),
                Keys::None | Keys::Given(_) => 0,
            };
            let denied = match &provider.denied {
                Denied::Fetched(live) => live.fetches(),
                Denied::Given(_) => 0,
            };
            keys + denied
        });
        ended.sum()
    }

    /// Waits for what a refused token may need. False if there is nothing to wait for, or not now.
    pub async fn renewed(&self, why: &Unauthenticated, request: &Request<'_>) -> bool {
        let Unauthenticated::Token(reason) = why else {
            return false;
        };
        if !is_for_want_of_news(*reason) {
            return false;
        }
        let Some((provider, token, asked)) = self.named_by(request) else {
            return false;
        };
        if let (Reason::IntrospectionUnavailable, Some(issuer)) = (reason, &provider.introspector) {
            return issuer.learn(CacheKey::of(token), token, asked).await;
        }
        match (reason, &provider.keys, &provider.denied) {
            (Reason::DeniedUnavailable, _, Denied::Fetched(live)) => live.renewed().await,
            (Reason::KeyUnknown | Reason::KeysUnavailable, Keys::Fetched(live), _) => {
                live.renewed().await
            }
            _ => false,
        }
    }

    /// The issuer that the token of a request names, or the one that knows what the token means.
    fn named_by<'r>(&'r self, request: &Request<'r>) -> Option<(&'r Provider, &'r [u8], Asked)> {
        let found = self.find_token(request).ok()??;
        let Ok(token) = Token::parse(found.token) else {
            let knows = |provider: &&std::sync::Arc<Provider>| {
                provider.place == *found.place && provider.takes_opaque(found.token)
            };
            let provider = self.providers.iter().find(knows)?;
            return Some((provider, found.token, Asked::Opaque));
        };
        let names = |provider: &&std::sync::Arc<Provider>| {
            provider.place == *found.place
                && token.claimed_issuer() == Some(&provider.expected.issuer)
        };
        let provider = self.providers.iter().find(names)?;
        Some((provider, found.token, Asked::Verified))
    }
}

fn is_for_want_of_news(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::KeyUnknown
            | Reason::KeysUnavailable
            | Reason::DeniedUnavailable
            | Reason::IntrospectionUnavailable
    )
}
