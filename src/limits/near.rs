//! Which keys are near their limit, in words: the table knows only hashes.
//!
//! A key gets its words when it has used up half of a burst. Only so many have words at a time, so that nobody can fill the
//! memory with names.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const MOST_NAMED: usize = 1000;
/// Looking for names that are no longer needed takes microseconds, which a flood must not cost each of its requests.
const SWEEP_EVERY: u64 = 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Near(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    by_key: HashMap<u64, Named>,
    next_sweep: u64,
}

#[derive(Debug)]
struct Named {
    words: String,
    /// When its bucket is full again.
    full: u64,
}

impl Near {
    /// Notes a key, whose words `name` makes if it has none yet.
    pub(super) fn note(&self, key: u64, now: u64, full: u64, name: impl FnOnce() -> String) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.by_key.get_mut(&key) {
            known.full = full;
            return;
        }
        if names.by_key.len() >= MOST_NAMED && now >= names.next_sweep {
            names.by_key.retain(|_, known| known.full > now);
            names.next_sweep = now.saturating_add(SWEEP_EVERY);
        }
        if names.by_key.len() < MOST_NAMED {
            let words = name();
            names.by_key.insert(key, Named { words, full });
        }
    }

    pub(super) fn words(&self, key: u64) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.by_key.get(&key).map(|named| named.words.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_those_of_full_buckets_make_room() {
        let near = Near::default();
        for key in 0..5000 {
            near.note(key, 0, 10, || key.to_string());
        }
        assert_eq!(near.0.lock().unwrap().by_key.len(), MOST_NAMED);
        assert_eq!(near.words(1).as_deref(), Some("1"));
        assert_eq!(near.words(4999), None);
        near.note(4999, SWEEP_EVERY, 2 * SWEEP_EVERY, || "later".to_owned());
        assert_eq!(near.words(4999).as_deref(), Some("later"));
        assert_eq!(near.words(1), None);
    }
}
