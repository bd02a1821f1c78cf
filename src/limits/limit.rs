//! A limit that runs: its settings, and the buckets of its keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::RandomState;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use super::gcra::{Gcra, Standing};
use super::key::{self, Facts, KeyPart};
use super::near::Near;
use super::settings::{Action, Count, LimitSettings};
use super::table::Table;
use crate::telemetry::Counter;

/// A limit. Reloads that do not change what its buckets mean keep them.
#[derive(Debug)]
pub struct Limit {
    /// The name of its table.
    pub name: String,
    /// What it decides by.
    pub settings: LimitSettings,
    gcra: Gcra,
    state: Arc<State>,
}

/// What outlives a reload.
#[derive(Debug)]
struct State {
    hasher: RandomState,
    table: Table,
    near: Near,
    counts: Counts,
}

/// What a limit said so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests for which there was room.
    pub passed: Counter,
    /// Requests that it refused.
    pub refused: Counter,
    /// Requests that it would refuse with another action than `log`.
    pub would_refuse: Counter,
}

/// A key, and how near it is to its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketReport {
    /// The key without secrets; None if it has not come near yet.
    pub key: Option<String>,
    /// For how many more there is room.
    pub remaining: u64,
    /// How much of a burst is used up, in percent; more than 100 if more is owed than a burst.
    pub used_percent: u64,
    /// Seconds until nothing is used up.
    pub full_in_seconds: u64,
}

/// The nanoseconds of a clock that only goes forward. It begins at 1, because 0 stands for a bucket that is full.
#[must_use]
pub fn now() -> u64 {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = BEGUN.elapsed().as_nanos();
    u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
}

impl Limit {
    /// A limit with the buckets of `previous`, if they mean the same.
    #[must_use]
    pub fn new(name: &str, settings: LimitSettings, previous: Option<&Self>) -> Self {
        let kept = previous.filter(|previous| {
            let old = &previous.settings;
            // A bucket is the time at which it is full again, which another rate or burst changes only from now on.
            old.key == settings.key
                && old.count == settings.count
                && old.max_keys == settings.max_keys
        });
        let state = kept.map_or_else(
            || Arc::new(State::new(settings.max_keys)),
            |previous| Arc::clone(&previous.state),
        );
        Self {
            name: name.to_owned(),
            gcra: Gcra::new(settings.rate, settings.burst),
            settings,
            state,
        }
    }

    /// What it said so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.state.counts
    }

    /// Keys that it forgot because there was no room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.state.table.evicted.value()
    }

    /// Whether its key is known only once the caller is.
    #[must_use]
    pub fn needs_caller(&self) -> bool {
        self.settings.key.iter().any(KeyPart::needs_caller)
    }

    pub(super) fn gcra(&self) -> &Gcra {
        &self.gcra
    }

    pub(super) fn key(&self, facts: &Facts<'_>) -> u64 {
        key::hash(&self.state.hasher, &self.settings.key, facts)
    }

    /// Takes room for one request, if there is room; a limit that counts something else only looks. Returns how it stood
    /// before.
    pub(super) fn take(&self, key: u64, now: u64, facts: &Facts<'_>) -> Standing {
        let counts_requests = self.settings.count == Count::Requests;
        let (before, full) = self.state.table.update(key, now, |full| {
            let standing = self.gcra.standing(full, now);
            let taken = self.gcra.take(full, now).filter(|_| counts_requests);
            (taken, (standing, taken.unwrap_or(full)))
        });
        if full.saturating_sub(now) > self.gcra.window() / 2 {
            let words = || key::show(&self.settings.key, facts);
            self.state.near.note(key, now, full, words);
        }
        let counts = &self.state.counts;
        match (before.has_room, self.settings.action) {
            (true, _) => counts.passed.count(),
            (false, Action::Log) => counts.would_refuse.count(),
            (false, _) => counts.refused.count(),
        }
        before
    }

    /// Gives back what [`Limit::take`] took for a request that another limit refused.
    pub(super) fn give_back(&self, key: u64, now: u64) {
        let one = self.gcra.one();
        let table = &self.state.table;
        table.update(key, now, |full| {
            ((full > now).then(|| full.saturating_sub(one)), ())
        });
    }

    /// Counts what a request turned out to be, room or not.
    pub(super) fn charge(&self, key: u64, now: u64, amount: u64) {
        let table = &self.state.table;
        table.update(key, now, |full| {
            (Some(self.gcra.charge(full, now, amount)), ())
        });
    }

    /// The keys that have used up most, and how many are not full again.
    #[must_use]
    pub fn report(&self, most: usize, now: u64) -> (Vec<BucketReport>, usize) {
        let mut top = BinaryHeap::with_capacity(most + 1);
        let mut known = 0;
        self.state.table.each(now, |key, full| {
            known += 1;
            top.push(Reverse((full, key)));
            if top.len() > most {
                top.pop();
            }
        });
        let rows = top.into_sorted_vec().into_iter();
        let rows = rows.map(|Reverse((full, key))| {
            let standing = self.gcra.standing(full, now);
            let window = u128::from(self.gcra.window().max(1));
            let used = (u128::from(standing.owed) * 100).div_ceil(window);
            BucketReport {
                key: self.state.near.words(key),
                remaining: standing.remaining,
                used_percent: u64::try_from(used).unwrap_or(u64::MAX),
                full_in_seconds: seconds(standing.owed),
            }
        });
        (rows.collect(), known)
    }
}

impl State {
    fn new(max_keys: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            table: Table::new(max_keys),
            near: Near::default(),
            counts: Counts::default(),
        }
    }
}

/// Rounded up, so that whoever comes back then is not too early.
pub(super) fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(1_000_000_000)
}
