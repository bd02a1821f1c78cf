//! Parts that rule sets with the same rules share, such as compiled patterns.
//!
//! Most policies run the same rules with a few exclusions. A part is found by all that it is made of, so that an equal
//! part is as good as a new one. It lives as long as a rule set holds it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// How many keys there are at least before those without a part are removed.
const FEWEST: usize = 1024;

/// The parts of one kind that are in use, by what they are made of.
#[derive(Debug)]
pub(crate) struct Kept<K, V>(LazyLock<Mutex<Parts<K, V>>>);

#[derive(Debug)]
struct Parts<K, V> {
    by_key: HashMap<K, Weak<V>>,
    /// The number of keys at which those without a part are removed.
    most: usize,
}

impl<K: Hash + Eq, V> Kept<K, V> {
    pub(crate) const fn new() -> Self {
        Self(LazyLock::new(|| {
            Mutex::new(Parts {
                by_key: HashMap::new(),
                most: FEWEST,
            })
        }))
    }

    /// The part of this key: one that is in use, or a new one.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn get<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let known = self.with(|parts| parts.by_key.get(&key).and_then(Weak::upgrade));
        if let Some(known) = known {
            return Ok(known);
        }
        // Made without the lock, so that several threads can compile. Two may make the same part; the first is kept.
        let made = Arc::new(make()?);
        Ok(self.with(|parts| parts.add(key, made)))
    }

    fn with<R>(&self, work: impl FnOnce(&mut Parts<K, V>) -> R) -> R {
        // The map is whole after every step, so a panic elsewhere does no harm.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Hash + Eq, V> Parts<K, V> {
    fn add(&mut self, key: K, made: Arc<V>) -> Arc<V> {
        if let Some(first) = self.by_key.get(&key).and_then(Weak::upgrade) {
            return first;
        }
        if self.by_key.len() >= self.most {
            self.by_key.retain(|_, part| part.strong_count() > 0);
            // Twice what is left, so that the cost of looking through all keys is spread over as many insertions.
            self.most = FEWEST.max(2 * self.by_key.len());
        }
        self.by_key.insert(key, Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_made_once_and_goes_with_its_last_user() {
        let kept = Kept::<usize, usize>::new();
        let get = |key| kept.get(key, || Ok::<_, ()>(key));
        let first = get(1).unwrap();
        assert!(Arc::ptr_eq(&first, &get(1).unwrap()));
        assert!(!Arc::ptr_eq(&first, &get(2).unwrap()));
        assert_eq!(kept.get(3, || Err("no")).unwrap_err(), "no");
        for key in 4..10 * FEWEST {
            assert_eq!(*get(key).unwrap(), key);
        }
        assert!(kept.with(|parts| parts.by_key.len()) <= FEWEST);
        assert!(Arc::ptr_eq(&first, &get(1).unwrap()));
        drop(first);
        assert_eq!(*kept.get(1, || Ok::<_, ()>(7)).unwrap(), 7);
    }
}
