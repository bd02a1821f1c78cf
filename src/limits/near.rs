//! Which keys are near their limit, in words: the table knows only hashes.
//!
//! A key gets its words when it has used up half of a burst. Only so many have words at a time, so that nobody can fill the
//! memory with names.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const MOST_NAMED: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Near(Mutex<HashMap<u64, Named>>);

#[derive(Debug)]
struct Named {
    words: String,
    /// When its bucket is full again.
    full: u64,
}

impl Near {
    /// Notes a key, whose words `name` makes if it has none yet.
    pub(super) fn note(&self, key: u64, now: u64, full: u64, name: impl FnOnce() -> String) {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = named.get_mut(&key) {
            known.full = full;
            return;
        }
        if named.len() >= MOST_NAMED {
            named.retain(|_, known| known.full > now);
        }
        if named.len() < MOST_NAMED {
            let words = name();
            named.insert(key, Named { words, full });
        }
    }

    pub(super) fn words(&self, key: u64) -> Option<String> {
        let named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        named.get(&key).map(|named| named.words.clone())
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
        assert_eq!(near.0.lock().unwrap().len(), MOST_NAMED);
        assert_eq!(near.words(1).as_deref(), Some("1"));
        assert_eq!(near.words(4999), None);
        near.note(4999, 10, 20, || "later".to_owned());
        assert_eq!(near.words(4999).as_deref(), Some("later"));
        assert_eq!(near.words(1), None);
    }
}
