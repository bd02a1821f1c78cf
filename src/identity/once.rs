//! Tokens that were used, of issuers whose tokens are taken once.
//!
//! Invariants: an id stays until its token has ended, and [`GRACE`] longer. When there is no room, the next token is
//! refused: an id that counts is never forgotten. The memory belongs to one process, and outlives reloads.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use identity::{Claims, Reason};

/// Seconds for requests that began before a token ended and come here later, and for small steps of the clock.
const GRACE: u64 = 60;

type Id = [u8; 32];

/// That tokens are taken once.
#[derive(Debug, Clone)]
pub struct Once {
    /// Those that were used.
    pub used: Arc<UsedTokens>,
    /// The most of them that are remembered.
    pub most: usize,
}

/// The ids of tokens that were used.
#[derive(Debug, Default)]
pub struct UsedTokens {
    inner: Mutex<Inner>,
    issuer: String,
}

#[derive(Debug, Default)]
struct Inner {
    ends: HashMap<Id, u64>,
    by_end: BTreeSet<(u64, Id)>,
}

impl UsedTokens {
    /// None yet, of this issuer.
    #[must_use]
    pub fn of(issuer: &str) -> Self {
        Self {
            inner: Mutex::default(),
            issuer: issuer.to_owned(),
        }
    }

    /// Whether these are tokens of this issuer.
    #[must_use]
    pub fn is_of(&self, issuer: &str) -> bool {
        self.issuer == issuer
    }

    /// How many are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ends.len()
    }
}

impl Once {
    /// Takes a token that was verified for the first time, and never again. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It was used before, has no id, or cannot be remembered.
    pub(super) fn take(&self, claims: &Claims, skew: u64, now: u64) -> Result<(), Reason> {
        let id = claims.id().ok_or(Reason::IdMissing)?;
        // Whoever verified the token knows that it ends. `expires` cuts a part of a second off.
        let expires = claims.expires().ok_or(Reason::ExpiryMissing)?;
        let end = expires.saturating_add(1 + skew + GRACE);
        let id = openssl::sha::sha256(id.as_bytes());
        let inner = self.used.inner.lock();
        // Nothing in here panics between two changes that belong together.
        let mut inner = inner.unwrap_or_else(PoisonError::into_inner);
        inner.take(id, end, self.most, now)
    }
}

impl Inner {
    fn take(&mut self, id: Id, end: u64, most: usize, now: u64) -> Result<(), Reason> {
        while let Some(first) = self.by_end.first().copied().filter(|(end, _)| *end <= now) {
            self.by_end.remove(&first);
            self.ends.remove(&first.1);
        }
        if let Some(before) = self.ends.get(&id).copied() {
            // Another token with the same id may end later, and must find it then too.
            if end > before {
                self.by_end.remove(&(before, id));
                self.by_end.insert((end, id));
                self.ends.insert(id, end);
            }
            return Err(Reason::Replayed);
        }
        if self.ends.len() >= most {
            return Err(Reason::ReplayMemoryFull);
        }
        self.ends.insert(id, end);
        self.by_end.insert((end, id));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(id: Option<&str>, exp: u64) -> Claims {
        let mut all = json!({ "exp": exp });
        if let Some(id) = id {
            all["jti"] = json!(id);
        }
        Claims::of(all.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_token_is_taken_once_and_no_id_is_forgotten_before_its_end() {
        let once = Once {
            used: Arc::new(UsedTokens::of("https://idp.test")),
            most: 2,
        };
        let take = |id, exp, now| once.take(&claims(id, exp), 30, now);
        assert_eq!(take(None, 1000, 500), Err(Reason::IdMissing));
        assert_eq!(take(Some("a"), 1000, 500), Ok(()));
        assert_eq!(take(Some("a"), 1000, 500), Err(Reason::Replayed));
        assert_eq!(take(Some("b"), 2000, 500), Ok(()));
        // Nothing goes for it, however often it comes.
        for _ in 0..10 {
            assert_eq!(take(Some("c"), 9000, 500), Err(Reason::ReplayMemoryFull));
        }
        assert_eq!(take(Some("a"), 1000, 1029), Err(Reason::Replayed));
        // The end, the skew, the second that was cut off, and the grace.
        assert_eq!(take(Some("c"), 9000, 1090), Err(Reason::ReplayMemoryFull));
        assert_eq!(take(Some("c"), 9000, 1091), Ok(()));
        assert_eq!(take(Some("b"), 2000, 1091), Err(Reason::Replayed));
        assert_eq!(once.used.count(), 2);
    }

    #[test]
    fn an_id_stays_for_the_longest_token_that_has_it() {
        let once = Once {
            used: Arc::new(UsedTokens::of("https://idp.test")),
            most: 2,
        };
        let take = |exp, now| once.take(&claims(Some("a"), exp), 0, now);
        assert_eq!(take(1000, 500), Ok(()));
        assert_eq!(take(3000, 500), Err(Reason::Replayed));
        assert_eq!(take(3000, 2000), Err(Reason::Replayed));
        assert_eq!(once.used.count(), 1);
    }
}
