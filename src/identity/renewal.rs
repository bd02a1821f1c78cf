//! A token by keys that we do not have yet: the request waits for one fetch, which all such requests share.

use identity::{CacheKey, Reason};

use super::demand::{Request, RouteIdentity, Unauthenticated};
use super::issuer::Asked;
use super::provider::{Denied, Keys};

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
        let Ok(Some(found)) = self.find_token(request) else {
            return false;
        };
        let Ok((provider, token)) = self.named_by(&found) else {
            return false;
        };
        if let (Reason::IntrospectionUnavailable, Some(issuer)) = (reason, &provider.introspector) {
            let asked = match token {
                Some(_) => Asked::Verified,
                None => Asked::Opaque,
            };
            let Ok(question) = String::from_utf8(found.token.to_vec()) else {
                return false;
            };
            let key = CacheKey::of(found.token);
            return issuer.learn(key, question, asked).await;
        }
        match (reason, &provider.keys, &provider.denied) {
            (Reason::DeniedUnavailable, _, Denied::Fetched(live)) => live.renewed().await,
            (Reason::KeyUnknown | Reason::KeysUnavailable, Keys::Fetched(live), _) => {
                live.renewed().await
            }
            _ => false,
        }
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
