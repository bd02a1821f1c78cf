//! Tokens whose signatures were verified, good and bad ones, so that the next request with the same token costs a hash.
//!
//! Only what the bytes and the keys decide is kept: times, bindings and denials are checked at each request. Good and bad
//! tokens have rooms of their own, so that a flood of bad ones forgets no good one. A new generation of keys empties both.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::claims::Claims;
use crate::reason::Reason;

/// Locks that requests share. Each holds its part of the tokens.
const PARTS: usize = 16;

/// SHA-256 of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of a token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(openssl::sha::sha256(token))
    }
}

/// A bounded cache of verified tokens.
#[derive(Debug)]
pub struct TokenCache {
    parts: Vec<Mutex<Part>>,
}

#[derive(Debug)]
struct Part {
    generation: u64,
    good: Recent<Arc<Claims>>,
    bad: Recent<Reason>,
}

impl TokenCache {
    /// Holds about this many good and a quarter as many bad tokens.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let part = |_| {
            Mutex::new(Part {
                generation: 0,
                good: Recent::new(entries / PARTS),
                bad: Recent::new(entries / PARTS / 4),
            })
        };
        Self {
            parts: (0..PARTS).map(part).collect(),
        }
    }

    /// What these keys made of the token, if it is known.
    #[must_use]
    pub fn find(&self, key: &CacheKey, generation: u64) -> Option<Result<Arc<Claims>, Reason>> {
        self.with(key, |part| {
            if part.generation != generation {
                return None;
            }
            let good = part.good.find(key).map(Ok);
            good.or_else(|| part.bad.find(key).map(Err))
        })
    }

    /// Keeps what the keys of this generation made of a token.
    pub fn keep(&self, key: CacheKey, generation: u64, outcome: Result<Arc<Claims>, Reason>) {
        self.with(&key, |part| {
            // A request that began with older keys must not empty the cache for those with the new ones.
            if generation < part.generation {
                return;
            }
            if generation > part.generation {
                part.generation = generation;
                part.good.clear();
                part.bad.clear();
            }
            match outcome {
                Ok(claims) => part.good.keep(key, claims),
                Err(reason) => part.bad.keep(key, reason),
            }
        });
    }

    /// How many good and bad tokens it holds.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        let parts = self.parts.iter();
        parts.fold((0, 0), |(good, bad), part| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            (good + part.good.len(), bad + part.bad.len())
        })
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder is below PARTS, and a hash is not empty"
    )]
    fn with<T>(&self, key: &CacheKey, act: impl FnOnce(&mut Part) -> T) -> T {
        let part = &self.parts[usize::from(key.0[0]) % PARTS];
        // Nothing in here panics between two changes that belong together.
        act(&mut part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The entries that were used last, in two halves: when the young half is full, it becomes the old one, and what nobody
/// asked for since is forgotten.
#[derive(Debug)]
pub struct Recent<T> {
    young: HashMap<CacheKey, T>,
    old: HashMap<CacheKey, T>,
    half: usize,
}

impl<T: Clone> Recent<T> {
    /// Of at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (most / 2).max(1),
        }
    }

    /// The value of this key. It counts as used.
    pub fn find(&mut self, key: &CacheKey) -> Option<T> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.keep(*key, value.clone());
        Some(value)
    }

    /// Keeps a value.
    pub fn keep(&mut self, key: CacheKey, value: T) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Arc<Claims> {
        Arc::new(Claims::of(serde_json::Map::new()).unwrap())
    }

    fn key(n: usize) -> CacheKey {
        CacheKey::of(&n.to_be_bytes())
    }

    #[test]
    fn bad_tokens_forget_no_good_one_and_both_are_bounded() {
        let cache = TokenCache::new(1024);
        for n in 0..100 {
            cache.keep(key(n), 1, Ok(claims()));
        }
        for n in 1000..50_000 {
            cache.keep(key(n), 1, Err(Reason::Signature));
        }
        assert!((0..100).all(|n| cache.find(&key(n), 1) == Some(Ok(claims()))));
        let (good, bad) = cache.len();
        assert!(good == 100 && (1..=1024 / 4).contains(&bad), "{good} {bad}");
        for n in 0..50_000 {
            cache.keep(key(n), 1, Ok(claims()));
        }
        assert!(cache.len().0 <= 1024);
        // What was used last is still there.
        assert!(cache.find(&key(49_999), 1).is_some());
    }

    #[test]
    fn new_keys_empty_it_and_older_requests_do_not() {
        let cache = TokenCache::new(1024);
        cache.keep(key(1), 1, Ok(claims()));
        assert!(cache.find(&key(1), 2).is_none() && cache.find(&key(1), 1).is_some());
        cache.keep(key(1), 2, Err(Reason::KeyUnknown));
        assert_eq!(cache.find(&key(1), 2), Some(Err(Reason::KeyUnknown)));
        cache.keep(key(1), 1, Ok(claims()));
        assert_eq!(cache.find(&key(1), 1), None);
        assert_eq!(cache.find(&key(1), 2), Some(Err(Reason::KeyUnknown)));
        assert_eq!(cache.len(), (0, 1));
    }
}
