//! The buckets of a limit, by the hash of their key: a table of fixed size.
//!
//! A bucket that is full again says nothing, so its slot is free. A set of slots without a free one forgets the bucket that
//! owes least. So whoever wants the debt of a key forgotten must have run up at least as much with every other key of its
//! set; which keys those are depends on a random number of this process, so in practice with every key of the whole table.
//! Each unit of that debt was a request that a limit let pass, so there is nothing to win over asking with those keys.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::telemetry::Counter;

/// Slots of a set: two cache lines.
const WAYS: usize = 8;
/// Slots for each of `max_keys`. Keys spread unevenly over the sets, and a set must not overflow long before the table is
/// full.
const SLOTS_PER_KEY: usize = 2;
/// Threads that ask for different keys seldom meet.
const MOST_SHARDS: usize = 64;

/// A hash, and the time at which the bucket is full again. Arrays, so that an empty table is memory that was never touched.
type Slot = [u64; 2];
type Set = [Slot; WAYS];

#[derive(Debug)]
pub(super) struct Table {
    shards: Vec<Mutex<Vec<Set>>>,
    sets_per_shard: usize,
    /// Buckets that were forgotten before they were full.
    pub(super) evicted: Counter,
}

impl Table {
    pub(super) fn new(max_keys: usize) -> Self {
        let sets = (max_keys.saturating_mul(SLOTS_PER_KEY))
            .div_ceil(WAYS)
            .max(1);
        let shards = sets.min(MOST_SHARDS);
        let sets_per_shard = sets.div_ceil(shards);
        let shard = || Mutex::new(vec![[[0; 2]; WAYS]; sets_per_shard]);
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            sets_per_shard,
            evicted: Counter::default(),
        }
    }

    /// Shows `change` when the bucket is full again, and keeps what it says, if it says something. Allocates nothing.
    pub(super) fn update<R>(
        &self,
        key: u64,
        now: u64,
        change: impl FnOnce(u64) -> (Option<u64>, R),
    ) -> R {
        let sets = self.shards.len() * self.sets_per_shard;
        // The high bits of a product spread a hash evenly over any number of sets.
        let at = (u128::from(key) * sets as u128) >> 64;
        // Cannot fail: the product is below the number of sets.
        let at = usize::try_from(at).unwrap_or(0);
        let shard = self.shards.get(at / self.sets_per_shard);
        let mut shard = shard.map(lock);
        let set = shard
            .as_mut()
            .and_then(|shard| shard.get_mut(at % self.sets_per_shard));
        let Some(set) = set else {
            // Cannot happen, for the same reason.
            return change(0).1;
        };
        let known = set.iter().position(|slot| slot[0] == key && slot[1] > now);
        let full = known.and_then(|at| set.get(at)).map_or(0, |slot| slot[1]);
        let (changed, result) = change(full);
        let Some(changed) = changed else {
            return result;
        };
        let least = || set.iter().enumerate().min_by_key(|(_, slot)| slot[1]);
        let place = known.or_else(|| least().map(|(place, _)| place));
        if let Some(slot) = place.and_then(|place| set.get_mut(place)) {
            if known.is_none() && slot[1] > now {
                self.evicted.count();
            }
            *slot = [key, changed];
        }
        result
    }

    /// Shows every bucket that is not full: its key, and when it is full again.
    pub(super) fn each(&self, now: u64, mut see: impl FnMut(u64, u64)) {
        for shard in &self.shards {
            let shard = lock(shard);
            let slots = shard.iter().flatten();
            slots
                .filter(|slot| slot[1] > now)
                .for_each(|slot| see(slot[0], slot[1]));
        }
    }
}

/// A panic while it was held left whole slots, so the lock is as good as before.
fn lock(shard: &Mutex<Vec<Set>>) -> MutexGuard<'_, Vec<Set>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    fn put(table: &Table, key: u64, now: u64, full: u64) {
        table.update(key, now, |_| (Some(full), ()));
    }

    fn look(table: &Table, key: u64, now: u64) -> u64 {
        table.update(key, now, |full| (None, full))
    }

    #[test]
    fn a_key_keeps_its_bucket_until_it_is_full() {
        let table = Table::new(1000);
        put(&table, 7, 10, 20);
        put(&table, 8, 10, 30);
        assert_eq!((look(&table, 7, 10), look(&table, 8, 10)), (20, 30));
        assert_eq!(look(&table, 7, 20), 0, "full");
        put(&table, 7, 20, 25);
        assert_eq!(look(&table, 7, 20), 25);
        let mut seen = Vec::new();
        table.each(22, |key, full| seen.push((key, full)));
        seen.sort_unstable();
        assert_eq!(seen, [(7, 25), (8, 30)]);
        assert_eq!(table.evicted.value(), 0);
    }

    #[test]
    fn buckets_that_are_full_make_room_without_an_eviction() {
        let table = Table::new(4);
        for key in 0..1000_u64 {
            put(&table, key << 32, key * 10, key * 10 + 5);
        }
        assert_eq!(table.evicted.value(), 0);
    }

    /// A million keys that nobody saw before, each with one request, do not make the table forget a key that owes a burst;
    /// and what they make it forget is counted.
    #[test]
    fn new_keys_do_not_reset_a_key_that_owes_more() {
        const ONE: u64 = 1_000_000;
        let hasher = RandomState::new();
        let table = Table::new(10_000);
        let mut now = 1_000 * ONE;
        let offenders: Vec<u64> = (0..50_u64)
            .map(|n| hasher.hash_one(("offender", n)))
            .collect();
        for &key in &offenders {
            put(&table, key, now, now + 5_000 * ONE);
        }
        for n in 0..1_000_000_u64 {
            now += 1;
            put(&table, hasher.hash_one(("new", n)), now, now + ONE);
        }
        let kept = offenders
            .iter()
            .filter(|&&key| look(&table, key, now) > now);
        assert_eq!(kept.count(), offenders.len());
        assert!(table.evicted.value() > 900_000, "{}", table.evicted.value());
    }

    /// What an attacker must spend to have a key forgotten: as much as the key owes, with each other key of its set.
    #[test]
    fn a_key_is_forgotten_only_for_keys_that_owe_more() {
        let table = Table::new(4);
        assert_eq!((table.shards.len(), table.sets_per_shard), (1, 1));
        put(&table, 1, 0, 100);
        for key in 2..=8 {
            put(&table, key, 0, 99);
        }
        put(&table, 9, 0, 1);
        assert_eq!(look(&table, 1, 0), 100, "another owes less");
        for key in 2..=9 {
            put(&table, key, 0, 101);
        }
        assert_eq!(look(&table, 1, 0), 0, "all others owe more");
    }

    #[test]
    fn room_is_bounded_for_any_number_of_keys() {
        for (max_keys, bytes) in [
            (1000, 32_000),
            (100_000, 3_200_000),
            (1_000_000, 32_000_000),
        ] {
            let table = Table::new(max_keys);
            let size = table.shards.len() * table.sets_per_shard * size_of::<Set>();
            assert!(
                (bytes..=bytes + 64 * size_of::<Set>()).contains(&size),
                "{size}"
            );
        }
    }
}
