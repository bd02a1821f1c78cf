//! The switches of a running front door: the state in force, who changes it, and who waits for a change.
//!
//! Every request asks a switch, so reading takes no lock. Changes take one lock, so that they reach the disk in the
//! order in which they take effect. What exposes more takes effect only after it is on the disk; what exposes less
//! takes effect at once, and is saved as soon as the disk allows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::setting::{Setting, Settings, position};
use super::store::{StateStore, StoreError};
use crate::supervision::Ended;

/// Switches revert by the wall clock, which somebody may set. So the timer looks at it at least this often.
const MAX_SLEEP: Duration = Duration::from_secs(10);
/// How often a draining process reads the switches of its successor.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// The switches of all exposures. They outlive reloads and restarts.
#[derive(Debug)]
pub struct Switchboard {
    settings: ArcSwap<Settings>,
    /// Notified after every change of `settings`, so that whoever wakes sees the new ones.
    changed: watch::Sender<()>,
    /// Locked while a change is made, disk included. `unsaved` may be locked inside this lock, never the other way
    /// round.
    store: Mutex<StateStore>,
    /// A successor reads the state file, or has read it; see [`Switchboard::pause`]. Only used under the lock of
    /// `store`.
    paused: AtomicBool,
    /// What is in force but not on the disk, and why not.
    unsaved: Mutex<BTreeMap<Unsaved, String>>,
}

/// What can be missing on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unsaved {
    State,
    Audit,
}

impl Unsaved {
    fn recovered(self) -> &'static str {
        match self {
            Self::State => "the switches are saved again",
            Self::Audit => "the audit of switches is written again",
        }
    }
}

/// Why a switch did not do all that was asked for.
#[derive(Debug)]
pub enum SetError {
    /// Another process takes over; nothing was switched.
    HandingOver,
    /// The switch could not be saved or audited. An exposure that was to be off is off; one that was to be on is as
    /// it was.
    NotSaved(StoreError),
}

impl Switchboard {
    /// Loads the switches from this folder. A switch whose time has ended meanwhile reverts. Without a folder, all
    /// exposures are on, and nothing is saved.
    ///
    /// # Errors
    /// The folder cannot be used, or the state in it cannot be read: then nobody knows what is off.
    pub fn open(state_dir: Option<&Path>) -> Result<Self, StoreError> {
        let (store, settings) = StateStore::open(state_dir)?;
        let board = Self {
            settings: ArcSwap::from_pointee(settings),
            changed: watch::Sender::new(()),
            store: Mutex::new(store),
            paused: AtomicBool::new(false),
            unsaved: Mutex::default(),
        };
        board.revert_expired(SystemTime::now());
        Ok(board)
    }

    /// Whether the exposure is on now.
    #[must_use]
    pub fn is_on(&self, exposure: &str) -> bool {
        self.off_setting(exposure).is_none()
    }

    /// The setting that has the exposure off now; None if it is on.
    #[must_use]
    pub fn off_setting(&self, exposure: &str) -> Option<Arc<Setting>> {
        let settings = self.settings.load();
        let setting = settings.get(exposure)?;
        match setting.is_on(SystemTime::now()) {
            true => None,
            // It was on for a time that has ended, and the timer has not reverted it yet.
            false if setting.on => Some(Arc::new(setting.reverted())),
            false => Some(Arc::clone(setting)),
        }
    }

    /// How the exposure was switched; None if nobody switched it, or if it is as if nobody had.
    #[must_use]
    pub fn setting(&self, exposure: &str) -> Option<Arc<Setting>> {
        let settings = self.settings.load();
        let setting = settings.get(exposure)?;
        match setting.is_expired(SystemTime::now()) {
            false => Some(Arc::clone(setting)),
            // The timer replaces an expired setting a moment later; until then this shows what holds.
            true => Some(Arc::new(setting.reverted())).filter(|s| !s.is_default()),
        }
    }

    /// Completes as soon as the exposure is off.
    pub async fn wait_until_off(&self, exposure: &str) {
        // Subscribed before the first look, so that no change in between is missed.
        let mut changed = self.changed.subscribe();
        while self.is_on(exposure) {
            if changed.changed().await.is_err() {
                // This board holds the sender, so this cannot happen.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Switches an exposure, saves the state and writes the audit. Blocks on the disk.
    ///
    /// # Errors
    /// The switch could not be saved or audited: an exposure that should be off is off, and is saved and audited as
    /// soon as possible; one that should be on stays as it was, here and on the disk. Or nothing was done because
    /// another process takes over.
    pub fn set(&self, exposure: &str, setting: Setting) -> Result<(), SetError> {
        let mut store = self.lock_store();
        if self.paused.load(Ordering::SeqCst) {
            return Err(SetError::HandingOver);
        }
        // The next state is built aside; requests see the present one until it is published.
        let before = self.settings.load_full();
        let mut next = Settings::clone(&before);
        replace(&mut next, exposure, &setting);
        if setting.exposes_more_than(before.get(exposure).map(AsRef::as_ref)) {
            // Disk first: after a crash nothing may be reachable that the state and the audit do not allow.
            let saved = store
                .save(&next)
                .and_then(|()| store.append_audit(exposure, &setting));
            if let Err(error) = saved {
                if !store.is_saved(&before) {
                    // The disk has the new state and must not. A failure is logged, and the timer tries again.
                    let _ = self.save(&mut store, &before);
                }
                tracing::error!(target: "exposure", exposure, "exposure {exposure} stays as it was: {error}");
                return Err(SetError::NotSaved(error));
            }
            self.publish(next);
            log_switch(exposure, &setting);
            return Ok(());
        }
        // Effect first: who switches off in an emergency must not wait for a full disk.
        self.publish(next.clone());
        log_switch(exposure, &setting);
        let saved = self.save(&mut store, &next);
        let audited = self.audit(&mut store, exposure, &setting);
        saved.and(audited).map_err(SetError::NotSaved)
    }

    /// Saves what is in force. After a failure [`Switchboard::run_timers`] tries again.
    fn save(&self, store: &mut StateStore, settings: &Settings) -> Result<(), StoreError> {
        self.track(Unsaved::State, store.save(settings))
    }

    /// Audits what is in force. After a failure [`Switchboard::run_timers`] tries again.
    fn audit(
        &self,
        store: &mut StateStore,
        exposure: &str,
        setting: &Setting,
    ) -> Result<(), StoreError> {
        let audited = store.append_audit(exposure, setting);
        // The switch is in force, so its line must reach the audit some time.
        if audited.is_err() {
            store.defer_audit(exposure, setting);
        }
        self.track(Unsaved::Audit, audited)
    }

    /// Remembers whether something is missing on the disk, and logs when that changes.
    fn track(&self, what: Unsaved, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        let mut unsaved = self.lock_unsaved();
        match &outcome {
            Ok(()) => {
                if unsaved.remove(&what).is_some() {
                    tracing::info!(target: "exposure", "{}", what.recovered());
                }
            }
            Err(error) => {
                if unsaved.insert(what, error.to_string()).is_none() {
                    tracing::error!(target: "exposure", "{error}; trying again");
                }
            }
        }
        outcome
    }

    /// Why something is in force but not on the disk; None if the disk has everything.
    #[must_use]
    pub fn unsaved_reason(&self) -> Option<String> {
        let unsaved = self.lock_unsaved();
        let reasons: Vec<&str> = unsaved.values().map(String::as_str).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Tries again to save and audit what the disk does not have.
    fn retry_unsaved(&self) -> Result<(), StoreError> {
        self.save_unsaved(&mut self.lock_store())
    }

    fn save_unsaved(&self, store: &mut StateStore) -> Result<(), StoreError> {
        if self.unsaved_reason().is_none() || self.paused.load(Ordering::SeqCst) {
            return Ok(());
        }
        let saved = self.save(store, &self.settings.load());
        // `unsaved` remembers a failure of the audit. Only the state decides about a hand-over: a successor reads it,
        // but not the audit.
        let _ = self.track(Unsaved::Audit, store.write_deferred_audit());
        saved
    }

    fn publish(&self, next: Settings) {
        self.settings.store(Arc::new(next));
        self.changed.send_replace(());
    }

    /// From now on this process switches nothing and writes nothing, so that a successor can read the state file. Waits
    /// for a change that is in progress.
    ///
    /// # Errors
    /// The disk does not have what is in force, so a successor would not know it.
    pub fn pause(&self) -> Result<(), StoreError> {
        // One lock for both: a switch to off that could not be saved in between would be lost.
        let mut store = self.lock_store();
        self.save_unsaved(&mut store)?;
        self.paused.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// The hand-over failed: this process switches and saves again.
    pub fn resume(&self) {
        let mut store = self.lock_store();
        if self.paused.swap(false, Ordering::SeqCst) {
            // The timer may have reverted switches meanwhile. A failure is logged, and the timer tries again.
            let _ = self.save(&mut store, &self.settings.load());
        }
    }

    /// Applies the switches that the successor of this process saves, for as long as this is polled: what is switched
    /// off there is off for the requests and streams that still drain here.
    pub async fn follow_successor(self: Arc<Self>) -> Ended {
        let mut failing = false;
        loop {
            let board = Arc::clone(&self);
            // The successor writes the file and does not know this process, so we poll the file.
            let followed = spawn_blocking(move || {
                let store = board.lock_store();
                let saved = store.load()?;
                // Publishing wakes every waiter, so only a difference does it.
                if saved != *board.settings.load_full() {
                    board.publish(saved);
                }
                Ok::<(), StoreError>(())
            });
            match followed.await {
                Ok(Ok(())) => failing = false,
                // One message for each failure that begins: this runs five times a second.
                Ok(Err(error)) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(target: "exposure", "switches stay as they are meanwhile: {error}");
                    }
                }
                Err(error) => return Ended::Failed(error.to_string()),
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }

    /// Reverts switches at their times, and tries again to save what could not be saved, for as long as this is polled.
    pub async fn run_timers(self: Arc<Self>) -> Ended {
        let mut changed = self.changed.subscribe();
        loop {
            let now = SystemTime::now();
            let settings = self.settings.load_full();
            let next = settings.values().filter_map(|setting| setting.until).min();
            let wait = next.map_or(MAX_SLEEP, |next| {
                next.duration_since(now).unwrap_or(Duration::ZERO)
            });
            let mut slept = false;
            tokio::select! {
                // This board holds the sender, so there is no error.
                _ = changed.changed() => {}
                () = tokio::time::sleep(wait.min(MAX_SLEEP)) => slept = true,
            }
            let expired = next.is_some_and(|next| next <= SystemTime::now());
            // Only after a sleep: a change has just tried to save by itself, and would fail again at once.
            let retry = slept && self.unsaved_reason().is_some();
            // A change may have set an earlier time, so the wait is computed again.
            if !expired && !retry {
                continue;
            }
            let board = Arc::clone(&self);
            let done = spawn_blocking(move || {
                board.revert_expired(SystemTime::now());
                // `unsaved` remembers a failure.
                let _ = board.retry_unsaved();
            });
            if let Err(error) = done.await {
                return Ended::Failed(error.to_string());
            }
        }
    }

    /// Takes effect even if it cannot be saved: the saved setting has a time that has ended, so it means the same.
    fn revert_expired(&self, now: SystemTime) {
        let mut store = self.lock_store();
        let mut next = Settings::clone(&self.settings.load());
        let expired: Vec<(String, Setting)> = next
            .iter()
            .filter(|(_, setting)| setting.is_expired(now))
            .map(|(name, setting)| (name.clone(), setting.reverted()))
            .collect();
        if expired.is_empty() {
            return;
        }
        for (name, setting) in &expired {
            replace(&mut next, name, setting);
        }
        self.publish(next.clone());
        for (name, setting) in &expired {
            let position = position(setting.on);
            tracing::info!(target: "exposure", exposure = name, "exposure {name} is {position} again: its time has ended");
        }
        if self.paused.load(Ordering::SeqCst) {
            // The successor saves it.
            return;
        }
        // Failures are logged, and the timer tries again.
        let _ = self.save(&mut store, &next);
        for (name, setting) in &expired {
            let _ = self.audit(&mut store, name, setting);
        }
    }

    fn lock_store(&self) -> MutexGuard<'_, StateStore> {
        // Each step leaves the store usable, so a panic elsewhere does no harm.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_unsaved(&self) -> MutexGuard<'_, BTreeMap<Unsaved, String>> {
        // Entries are inserted and removed whole.
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exposure that is as if nobody had switched it has no entry.
fn replace(settings: &mut Settings, exposure: &str, setting: &Setting) {
    match setting.is_default() {
        true => settings.remove(exposure),
        false => settings.insert(exposure.to_owned(), Arc::new(setting.clone())),
    };
}

fn log_switch(exposure: &str, setting: &Setting) {
    tracing::info!(
        target: "exposure",
        exposure,
        by = setting.by,
        reason = setting.reason,
        "exposure {exposure} is switched {}",
        position(setting.on)
    );
}

#[cfg(test)]
mod tests;
