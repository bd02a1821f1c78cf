//! Persistent collections (`IP`, `GLOBAL`, `RESOURCE`, `SESSION`, `USER`), in memory.
//!
//! Keys and values come from clients, so everything is bounded: if the store is full, the least recently used
//! collections go. One lock covers the store; what runs under it takes a time that these bounds limit.
//!
//! Source: ModSecurity v2 Reference Manual, "Persistent Storage".

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::variables::{Variable, atoi};

/// Collections kept at once; the least recently used go first.
const MOST_COLLECTIONS: usize = 65_536;
/// Variables one collection may hold.
const MOST_VARIABLES: usize = 128;
/// Bytes of one name or value.
const MOST_BYTES: usize = 4096;
/// Bytes of all names, values and keys; beyond them the least recently used collections go.
const MOST_TOTAL: usize = 64 << 20;
/// Estimated bytes of a collection or a variable besides its texts.
const OVERHEAD: usize = 128;

/// All persistent collections of a front door. Shared by policies and kept over reloads.
#[derive(Debug, Default)]
pub struct Store {
    held: Mutex<Held>,
}

type Key = (Variable, Vec<u8>);

#[derive(Debug, Default)]
struct Held {
    collections: HashMap<Key, Collection>,
    /// Of all collections.
    bytes: usize,
}

#[derive(Debug)]
struct Collection {
    /// Bytes with its key, as last counted.
    bytes: usize,
    variables: Vec<Entry>,
    used: Instant,
    timeout: Duration,
}

#[derive(Debug)]
struct Entry {
    /// As first written; compared without regard to case.
    name: Vec<u8>,
    value: Vec<u8>,
    expires: Option<Instant>,
    changed: Instant,
}

impl Store {
    /// Makes the collection if it is not there.
    pub(super) fn open(&self, kind: Variable, key: &[u8], timeout: u64) {
        let now = Instant::now();
        let mut held = self.lock();
        let held = &mut *held;
        // Before the insertion, which would otherwise be among what is dropped.
        if held.collections.len() >= MOST_COLLECTIONS {
            held.forget(now);
        }
        let timeout = Duration::from_secs(timeout);
        let key = (kind, kept(key).to_vec());
        let length = key.1.len();
        let collection = held.collections.entry(key).or_insert_with(|| Collection {
            bytes: 0,
            variables: Vec::new(),
            used: now,
            timeout,
        });
        // Timed-out collections are only removed when room is needed, so an old one may still be here.
        if now.duration_since(collection.used) > collection.timeout {
            collection.variables.clear();
        }
        collection.used = now;
        let bytes = collection.recount(length);
        // Added before it is subtracted: a collection may have shrunk.
        held.bytes = held.bytes + bytes - collection.bytes;
        collection.bytes = bytes;
        held.shrink(now);
    }

    /// Every live variable's name and value.
    pub(super) fn variables(&self, kind: Variable, key: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.with(kind, key, |c| {
            c.variables
                .iter()
                .map(|e| (e.name.clone(), e.value.clone()))
                .collect()
        })
        .unwrap_or_default()
    }

    /// Changes one variable; `change` gets its value and returns the new one, None to remove it.
    pub(super) fn update(
        &self,
        kind: Variable,
        key: &[u8],
        name: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) {
        let name = kept(name);
        self.with(kind, key, |c| {
            let now = Instant::now();
            let at = c
                .variables
                .iter()
                .position(|e| e.name.eq_ignore_ascii_case(name));
            let value = change(at.map(|i| c.variables[i].value.as_slice()));
            match (at, value) {
                (Some(at), Some(mut value)) => {
                    value.truncate(MOST_BYTES);
                    c.variables[at].value = value;
                    c.variables[at].changed = now;
                }
                (Some(at), None) => {
                    c.variables.remove(at);
                }
                (None, Some(mut value)) if c.variables.len() < MOST_VARIABLES => {
                    value.truncate(MOST_BYTES);
                    c.variables.push(Entry {
                        name: name.to_vec(),
                        value,
                        expires: None,
                        changed: now,
                    });
                }
                // A full collection keeps what it has.
                (None, _) => {}
            }
        });
    }

    /// Removes the variable after this many seconds.
    pub(super) fn expire(&self, kind: Variable, key: &[u8], name: &[u8], seconds: u64) {
        let name = kept(name);
        self.with(kind, key, |c| {
            // A time that the clock cannot hold never comes.
            let at = Instant::now().checked_add(Duration::from_secs(seconds));
            for entry in c
                .variables
                .iter_mut()
                .filter(|e| e.name.eq_ignore_ascii_case(name))
            {
                entry.expires = at;
            }
        });
    }

    /// Lowers a counter by `amount` for every `seconds` since it last changed.
    pub(super) fn deprecate(
        &self,
        kind: Variable,
        key: &[u8],
        name: &[u8],
        amount: i64,
        seconds: u64,
    ) {
        let name = kept(name);
        self.with(kind, key, |c| {
            let now = Instant::now();
            for entry in c
                .variables
                .iter_mut()
                .filter(|e| e.name.eq_ignore_ascii_case(name))
            {
                let steps = now.duration_since(entry.changed).as_secs() / seconds.max(1);
                if steps == 0 {
                    continue;
                }
                let steps = i64::try_from(steps).unwrap_or(i64::MAX);
                let value = atoi(&entry.value).saturating_sub(amount.saturating_mul(steps));
                // As in ModSecurity, not below 0.
                entry.value = value.max(0).to_string().into_bytes();
                entry.changed = now;
            }
        });
    }

    fn with<R>(
        &self,
        kind: Variable,
        key: &[u8],
        act: impl FnOnce(&mut Collection) -> R,
    ) -> Option<R> {
        let key = kept(key).to_vec();
        let length = key.len();
        let mut held = self.lock();
        let held = &mut *held;
        let collection = held.collections.get_mut(&(kind, key))?;
        let now = Instant::now();
        collection
            .variables
            .retain(|e| e.expires.is_none_or(|at| at > now));
        collection.used = now;
        let answer = act(collection);
        let bytes = collection.recount(length);
        held.bytes = held.bytes + bytes - collection.bytes;
        collection.bytes = bytes;
        held.shrink(now);
        Some(answer)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // A panic under the lock leaves counters inexact at worst. To refuse every later request would be worse.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is stored of a key or name. One that is longer must be looked up by the same bytes, or it is never found.
fn kept(name: &[u8]) -> &[u8] {
    &name[..name.len().min(MOST_BYTES)]
}

impl Collection {
    /// Its size in bytes, with a key of this length.
    fn recount(&self, key: usize) -> usize {
        let variables = self.variables.iter();
        let bytes: usize = variables
            .map(|entry| entry.name.len() + entry.value.len() + OVERHEAD)
            .sum();
        key + OVERHEAD + bytes
    }
}

impl Held {
    fn shrink(&mut self, now: Instant) {
        while self.bytes > MOST_TOTAL && !self.collections.is_empty() {
            self.forget(now);
        }
    }

    /// Drops what timed out, and if that is not enough, the less recently used half: so a full store is not searched
    /// again for each new collection.
    fn forget(&mut self, now: Instant) {
        let is_enough =
            |held: &Self| held.collections.len() < MOST_COLLECTIONS && held.bytes <= MOST_TOTAL;
        self.collections
            .retain(|_, c| now.duration_since(c.used) <= c.timeout);
        self.recount();
        if is_enough(self) {
            return;
        }
        let mut ages: Vec<Instant> = self.collections.values().map(|c| c.used).collect();
        if ages.is_empty() {
            return;
        }
        let middle = ages.len() / 2;
        let (_, &mut median, _) = ages.select_nth_unstable(middle);
        // The median goes too, so that at least one collection does.
        self.collections.retain(|_, c| c.used > median);
        self.recount();
    }

    fn recount(&mut self) {
        self.bytes = self.collections.values().map(|c| c.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_removes() {
        let store = Store::default();
        store.open(Variable::Ip, b"1.2.3.4", 60);
        let add =
            |old: Option<&[u8]>| Some((atoi(old.unwrap_or(b"0")) + 1).to_string().into_bytes());
        store.update(Variable::Ip, b"1.2.3.4", b"Hits", add);
        store.update(Variable::Ip, b"1.2.3.4", b"hits", add);
        assert_eq!(
            store.variables(Variable::Ip, b"1.2.3.4"),
            [(b"Hits".to_vec(), b"2".to_vec())]
        );
        store.expire(Variable::Ip, b"1.2.3.4", b"HITS", 0);
        assert!(store.variables(Variable::Ip, b"1.2.3.4").is_empty());
        assert!(store.variables(Variable::Ip, b"other").is_empty());
    }

    #[test]
    fn stays_bounded() {
        let store = Store::default();
        for n in 0..MOST_COLLECTIONS + 10 {
            store.open(Variable::Ip, n.to_string().as_bytes(), 600);
        }
        assert!(store.lock().collections.len() <= MOST_COLLECTIONS);
        store.open(Variable::User, b"u", 600);
        for n in 0..MOST_VARIABLES + 10 {
            store.update(Variable::User, b"u", n.to_string().as_bytes(), |_| {
                Some(vec![b'x'; MOST_BYTES * 2])
            });
        }
        let held = store.variables(Variable::User, b"u");
        assert_eq!(held.len(), MOST_VARIABLES);
        assert!(held.iter().all(|(_, v)| v.len() == MOST_BYTES));
    }

    #[test]
    fn all_bytes_together_are_bounded() {
        let store = Store::default();
        let counted = |store: &Store| {
            let held = store.lock();
            let sum: usize = held.collections.values().map(|c| c.bytes).sum();
            assert_eq!(held.bytes, sum);
            sum
        };
        for client in 0..200 {
            let key = client.to_string();
            store.open(Variable::Ip, key.as_bytes(), 600);
            for n in 0..MOST_VARIABLES {
                let name = n.to_string();
                store.update(Variable::Ip, key.as_bytes(), name.as_bytes(), |_| {
                    Some(vec![b'x'; MOST_BYTES])
                });
            }
            assert!(counted(&store) <= MOST_TOTAL);
        }
        let newest = store.variables(Variable::Ip, b"199");
        assert_eq!(newest.len(), MOST_VARIABLES, "the oldest go first");
    }
    #[test]
    fn a_long_name_is_one_variable() {
        let store = Store::default();
        let long = vec![b'n'; MOST_BYTES + 1];
        store.open(Variable::Ip, b"1.2.3.4", 60);
        for value in [b"1", b"2", b"3"] {
            store.update(Variable::Ip, b"1.2.3.4", &long, |_| Some(value.to_vec()));
        }
        let held = store.variables(Variable::Ip, b"1.2.3.4");
        assert_eq!(held, [(vec![b'n'; MOST_BYTES], b"3".to_vec())]);
        store.expire(Variable::Ip, b"1.2.3.4", &long, 0);
        assert!(store.variables(Variable::Ip, b"1.2.3.4").is_empty());
    }
}
