//! The switches of a running front door.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::keeper::{KeepError, Keeper};
use crate::supervision::Ended;

/// The clock may be set; no switch is later than this because of it.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// How often a successor's switches are looked at.
const OBEYED: Duration = Duration::from_millis(200);
/// Who switched where a time was over.
const TIMER: &str = "timer";

/// What a switch was set to, by whom and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub on: bool,
    pub since: SystemTime,
    /// Then it is the opposite.
    pub until: Option<SystemTime>,
    pub by: String,
    pub reason: Option<String>,
}

/// By exposure. What is not here is on.
pub(super) type Settings = BTreeMap<String, Arc<Setting>>;

/// Who switched what, kept over reloads and restarts. Asked by every request.
#[derive(Debug)]
pub struct Switchboard {
    settings: ArcSwap<Settings>,
    /// Told after every change.
    changed: watch::Sender<()>,
    /// Held while a change is made: they are written in the order in which they take effect.
    keeper: Mutex<Keeper>,
    /// A successor reads what is kept, or has; see [`Switchboard::pause`].
    paused: AtomicBool,
    /// What is in force and not on the disk, and why.
    troubles: Mutex<BTreeMap<Trouble, String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    State,
    Audit,
}

impl Trouble {
    fn mended(self) -> &'static str {
        match self {
            Self::State => "the switches are kept",
            Self::Audit => "the audit of switches is written",
        }
    }
}

/// Why a switch is not as it should be.
#[derive(Debug)]
pub enum SetError {
    /// Nothing was done.
    HandingOver,
    NotKept(KeepError),
}

impl Setting {
    fn is_on(&self, now: SystemTime) -> bool {
        self.on != self.is_over(now)
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// What it is once its time is over.
    fn reverted(&self) -> Self {
        Self {
            on: !self.on,
            since: self.until.unwrap_or(self.since),
            until: None,
            by: TIMER.to_owned(),
            reason: Some(format!("the time set by {} is over", self.by)),
        }
    }

    /// Whether it makes more reachable than `before` did, now or at its end.
    fn loosens(&self, before: Option<&Self>) -> bool {
        match before {
            _ if self.on => true,
            Some(before) if !before.on => match (self.until, before.until) {
                (Some(until), Some(earlier)) => until < earlier,
                (Some(_), None) => true,
                (None, _) => false,
            },
            _ => false,
        }
    }

    /// On without an end is what every exposure is that nobody switched.
    fn is_default(&self) -> bool {
        self.on && self.until.is_none()
    }
}

impl Switchboard {
    /// Switches as they were left in this folder; those whose time has passed since are the opposite.
    /// Without a folder nothing is kept.
    ///
    /// # Errors
    /// The folder cannot be used, or what was kept cannot be understood: then nobody knows what is off.
    pub fn open(state_dir: Option<&Path>) -> Result<Self, KeepError> {
        let (keeper, settings) = Keeper::open(state_dir)?;
        let board = Self {
            settings: ArcSwap::from_pointee(settings),
            changed: watch::Sender::new(()),
            keeper: Mutex::new(keeper),
            paused: AtomicBool::new(false),
            troubles: Mutex::default(),
        };
        board.revert_what_is_over(SystemTime::now());
        Ok(board)
    }

    #[must_use]
    pub fn is_on(&self, exposure: &str) -> bool {
        self.off(exposure).is_none()
    }

    /// How it was switched off; None where it is on.
    #[must_use]
    pub fn off(&self, exposure: &str) -> Option<Arc<Setting>> {
        let settings = self.settings.load();
        let setting = settings.get(exposure)?;
        match setting.is_on(SystemTime::now()) {
            true => None,
            // Switched on for a time that is over.
            false if setting.on => Some(Arc::new(setting.reverted())),
            false => Some(Arc::clone(setting)),
        }
    }

    /// How it was switched; None where nobody did, or what was done is over.
    #[must_use]
    pub fn setting(&self, exposure: &str) -> Option<Arc<Setting>> {
        let settings = self.settings.load();
        let setting = settings.get(exposure)?;
        match setting.is_over(SystemTime::now()) {
            false => Some(Arc::clone(setting)),
            true => Some(Arc::new(setting.reverted())).filter(|s| !s.is_default()),
        }
    }

    /// Ready as soon as it is off.
    pub async fn goes_off(&self, exposure: &str) {
        let mut changed = self.changed.subscribe();
        while self.is_on(exposure) {
            if changed.changed().await.is_err() {
                // Cannot be: this board holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Switches, notes who did it and keeps it. Writes to the disk.
    ///
    /// # Errors
    /// It could not be kept or noted. Then what should be off is off, and is kept and noted as soon as that can be;
    /// what should be on is as it was, here and on the disk. Or nothing was done, for another process takes over.
    pub fn set(&self, exposure: &str, setting: Setting) -> Result<(), SetError> {
        // Every step leaves what is behind the lock usable.
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if self.paused.load(Ordering::SeqCst) {
            return Err(SetError::HandingOver);
        }
        let before = self.settings.load_full();
        let mut next = Settings::clone(&before);
        let noted = setting.clone();
        let loosens = setting.loosens(before.get(exposure).map(AsRef::as_ref));
        match setting.is_default() {
            true => next.remove(exposure),
            false => next.insert(exposure.to_owned(), Arc::new(setting)),
        };
        if loosens {
            let kept = keeper
                .keep(&next)
                .and_then(|()| keeper.note(exposure, &noted));
            if let Err(error) = kept {
                if !keeper.keeps(&before) {
                    // Told, and tried again, where it fails: it is on the disk, and must not be.
                    let _ = self.keep(&mut keeper, &before);
                }
                tracing::error!(target: "exposure", exposure, "exposure {exposure} stays as it was: {error}");
                return Err(SetError::NotKept(error));
            }
            self.publish(next);
            tell(exposure, &noted);
            return Ok(());
        }
        self.publish(next.clone());
        tell(exposure, &noted);
        let kept = self.keep(&mut keeper, &next);
        let noted = self.note(&mut keeper, exposure, &noted);
        kept.and(noted).map_err(SetError::NotKept)
    }

    /// Keeps what is in force; where that fails, [`Switchboard::keep_time`] tries again.
    fn keep(&self, keeper: &mut Keeper, settings: &Settings) -> Result<(), KeepError> {
        self.in_trouble(Trouble::State, keeper.keep(settings))
    }

    /// Notes what is in force; where that fails, [`Switchboard::keep_time`] tries again.
    fn note(
        &self,
        keeper: &mut Keeper,
        exposure: &str,
        setting: &Setting,
    ) -> Result<(), KeepError> {
        let noted = keeper.note(exposure, setting);
        if noted.is_err() {
            keeper.put_off(exposure, setting);
        }
        self.in_trouble(Trouble::Audit, noted)
    }

    fn in_trouble(&self, of: Trouble, outcome: Result<(), KeepError>) -> Result<(), KeepError> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(()) => {
                if troubles.remove(&of).is_some() {
                    tracing::info!(target: "exposure", "{} again", of.mended());
                }
            }
            Err(error) => {
                if troubles.insert(of, error.to_string()).is_none() {
                    tracing::error!(target: "exposure", "{error}; it is tried again");
                }
            }
        }
        outcome
    }

    /// What of the switches is in force and not on the disk, in words.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = troubles.values().map(String::as_str).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Tries again to keep and to note what could not be.
    fn catch_up(&self) -> Result<(), KeepError> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if self.trouble().is_none() || self.paused.load(Ordering::SeqCst) {
            return Ok(());
        }
        let kept = self.keep(&mut keeper, &self.settings.load());
        // It is in `trouble` where it fails; the state matters more.
        let _ = self.in_trouble(Trouble::Audit, keeper.note_put_off());
        kept
    }

    fn publish(&self, next: Settings) {
        self.settings.store(Arc::new(next));
        self.changed.send_replace(());
    }

    /// From now on nothing is switched here and nothing written: a successor may read what is kept.
    /// Waits for a change that is being made.
    ///
    /// # Errors
    /// What is in force is not kept, so that a successor would not know of it.
    pub fn pause(&self) -> Result<(), KeepError> {
        self.catch_up()?;
        let _alone = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        self.paused.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// There is no successor after all.
    pub fn resume(&self) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if self.paused.swap(false, Ordering::SeqCst) {
            // What the timer reverted meanwhile. Told where it fails.
            let _ = self.keep(&mut keeper, &self.settings.load());
        }
    }

    /// Does what the successor of this process keeps, for as long as it is polled: what is switched off
    /// there is off for requests and streams that are still here.
    pub async fn follow_successor(self: Arc<Self>) -> Ended {
        let mut told = false;
        loop {
            let board = Arc::clone(&self);
            let obeyed = spawn_blocking(move || {
                let keeper = board.keeper.lock().unwrap_or_else(PoisonError::into_inner);
                let kept = keeper.kept()?;
                if kept != *board.settings.load_full() {
                    board.publish(kept);
                }
                Ok::<(), KeepError>(())
            });
            match obeyed.await {
                Ok(Ok(())) => told = false,
                Ok(Err(error)) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(target: "exposure", "switches stay as they are meanwhile: {error}");
                    }
                }
                Err(error) => return Ended::Failed(error.to_string()),
            }
            tokio::time::sleep(OBEYED).await;
        }
    }

    /// Reverts switches at their times, and tries again what could not be kept, for as long as it is polled.
    pub async fn keep_time(self: Arc<Self>) -> Ended {
        let mut changed = self.changed.subscribe();
        loop {
            let now = SystemTime::now();
            let settings = self.settings.load_full();
            let next = settings.values().filter_map(|setting| setting.until).min();
            let wait = next.map_or(LONGEST_SLEEP, |next| {
                next.duration_since(now).unwrap_or(Duration::ZERO)
            });
            let mut slept = false;
            tokio::select! {
                // An error is that of `goes_off`, which cannot be.
                _ = changed.changed() => {}
                () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => slept = true,
            }
            let over = next.is_some_and(|next| next <= SystemTime::now());
            let again = slept && self.trouble().is_some();
            if !over && !again {
                continue;
            }
            let board = Arc::clone(&self);
            let done = spawn_blocking(move || {
                board.revert_what_is_over(SystemTime::now());
                // It is in `trouble` where it fails.
                let _ = board.catch_up();
            });
            if let Err(error) = done.await {
                return Ended::Failed(error.to_string());
            }
        }
    }

    /// Takes effect also where it cannot be kept: what is kept has a time that is over.
    fn revert_what_is_over(&self, now: SystemTime) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Settings::clone(&self.settings.load());
        let over: Vec<(String, Setting)> = next
            .iter()
            .filter(|(_, setting)| setting.is_over(now))
            .map(|(name, setting)| (name.clone(), setting.reverted()))
            .collect();
        if over.is_empty() {
            return;
        }
        for (name, setting) in &over {
            match setting.is_default() {
                true => next.remove(name),
                false => next.insert(name.clone(), Arc::new(setting.clone())),
            };
        }
        self.publish(next.clone());
        for (name, setting) in &over {
            let word = if setting.on { "on" } else { "off" };
            tracing::info!(target: "exposure", exposure = name, "exposure {name} is {word} again: its time is over");
        }
        if self.paused.load(Ordering::SeqCst) {
            // The successor keeps it.
            return;
        }
        // Told, and tried again, where it fails.
        let _ = self.keep(&mut keeper, &next);
        for (name, setting) in &over {
            let _ = self.note(&mut keeper, name, setting);
        }
    }
}

fn tell(exposure: &str, setting: &Setting) {
    tracing::info!(
        target: "exposure",
        exposure,
        by = setting.by,
        reason = setting.reason,
        "exposure {exposure} is switched {}",
        if setting.on { "on" } else { "off" }
    );
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("drawbridge-switches-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn board(&self) -> Switchboard {
            Switchboard::open(Some(&self.0)).unwrap()
        }

        fn audit(&self) -> Vec<serde_json::Value> {
            let text = fs::read_to_string(self.0.join("exposure-audit.jsonl")).unwrap_or_default();
            let lines = text.lines();
            lines.map(|l| serde_json::from_str(l).unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn setting(on: bool, seconds: Option<i64>) -> Setting {
        let now = SystemTime::UNIX_EPOCH
            + Duration::from_secs(
                SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap()
                    .as_secs(),
            );
        Setting {
            on,
            since: now,
            until: seconds.map(|s| match u64::try_from(s) {
                Ok(s) => now + Duration::from_secs(s),
                Err(_) => now - Duration::from_secs(s.unsigned_abs()),
            }),
            by: "alice".to_owned(),
            reason: Some("a leak".to_owned()),
        }
    }

    #[test]
    fn what_is_off_is_off_after_a_restart() {
        let folder = Folder::new("restart");
        let board = folder.board();
        assert!(board.is_on("public"));
        let off = setting(false, Some(3600));
        board.set("public", off.clone()).unwrap();
        assert!(!board.is_on("public") && board.is_on("internal"));
        drop(board);
        let board = folder.board();
        assert_eq!(board.off("public").as_deref(), Some(&off));
        board.set("public", setting(true, None)).unwrap();
        assert!(board.is_on("public") && board.setting("public").is_none());
        assert!(folder.board().is_on("public"));
        let actions = folder.audit();
        let actions: Vec<_> = actions
            .iter()
            .map(|l| (l["action"].as_str(), l["by"].as_str(), l["reason"].as_str()))
            .collect();
        assert_eq!(
            actions,
            [
                (Some("off"), Some("alice"), Some("a leak")),
                (Some("on"), Some("alice"), Some("a leak")),
            ]
        );
    }

    #[test]
    fn a_time_that_passed_while_nothing_ran_is_honoured() {
        for on in [false, true] {
            let folder = Folder::new(if on { "on-over" } else { "off-over" });
            let board = folder.board();
            board.set("public", setting(on, Some(-5))).unwrap();
            assert_eq!(board.is_on("public"), !on, "also without a timer");
            drop(board);
            assert_eq!(folder.board().is_on("public"), !on);
            assert_eq!(folder.board().is_on("public"), !on);
            let audit = folder.audit();
            assert_eq!(audit.len(), 2, "reverted once: {audit:?}");
            assert_eq!(audit[1]["by"], "timer");
            assert_eq!(audit[1]["action"], if on { "off" } else { "on" });
        }
    }

    #[test]
    fn what_cannot_be_understood_is_no_state() {
        let folder = Folder::new("broken");
        fs::create_dir_all(&folder.0).unwrap();
        for text in ["", "{", "{\"version\":9,\"exposures\":{}}", "[]"] {
            fs::write(folder.0.join("exposures.json"), text).unwrap();
            let error = Switchboard::open(Some(&folder.0)).unwrap_err().to_string();
            assert!(error.contains("exposures.json"), "{text}: {error}");
        }
    }

    #[test]
    fn off_takes_effect_even_where_it_cannot_be_kept() {
        let folder = Folder::new("unkept");
        let board = folder.board();
        // A folder in the place of the file cannot be replaced by a file.
        fs::create_dir_all(folder.0.join("exposures.json/in-the-way")).unwrap();
        assert!(board.set("public", setting(false, None)).is_err());
        assert!(!board.is_on("public"));
        assert!(board.set("public", setting(true, None)).is_err());
        assert!(!board.is_on("public"), "on needs to be kept first");
    }

    /// The audit cannot be written: on stays off, here and after a restart; off is off, and noted later.
    #[test]
    fn what_cannot_be_noted_is_the_safer_of_the_two() {
        let folder = Folder::new("unnoted");
        let board = folder.board();
        board.set("internal", setting(false, None)).unwrap();
        let audit = folder.0.join("exposure-audit.jsonl");
        let aside = folder.0.join("aside");
        fs::rename(&audit, &aside).unwrap();
        fs::create_dir(&audit).unwrap();
        for until in [None, Some(3600)] {
            assert!(board.set("internal", setting(true, until)).is_err());
            assert!(!board.is_on("internal"));
            assert!(
                !folder.board().is_on("internal"),
                "as on the disk: {until:?}"
            );
        }
        // It would be on in an hour.
        assert!(board.set("internal", setting(false, Some(3600))).is_err());
        assert_eq!(board.setting("internal").unwrap().until, None);
        assert_eq!(folder.board().setting("internal").unwrap().until, None);

        assert!(board.set("public", setting(false, None)).is_err());
        assert!(!board.is_on("public") && !folder.board().is_on("public"));
        let trouble = board.trouble().unwrap();
        assert!(trouble.contains("exposure-audit.jsonl"), "{trouble}");

        fs::remove_dir(&audit).unwrap();
        // What a full disk left of a line.
        let text = fs::read_to_string(&aside).unwrap() + "{\"time\"";
        fs::write(&audit, text).unwrap();
        board.catch_up().unwrap();
        assert_eq!(board.trouble(), None);
        let text = fs::read_to_string(&audit).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        let last: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!(
            (&last["exposure"], &last["action"]),
            (&"public".into(), &"off".into())
        );
    }

    /// The state cannot be written: what is off is kept as soon as it can be, and nobody takes over before.
    #[test]
    fn what_could_not_be_kept_is_kept_later() {
        let folder = Folder::new("kept-later");
        let board = folder.board();
        let in_the_way = folder.0.join("exposures.json/in-the-way");
        fs::create_dir_all(&in_the_way).unwrap();
        assert!(board.set("public", setting(false, None)).is_err());
        assert!(board.trouble().is_some());
        assert!(board.pause().is_err());
        fs::remove_dir_all(folder.0.join("exposures.json")).unwrap();
        assert!(folder.board().is_on("public"));
        board.pause().unwrap();
        assert!(!folder.board().is_on("public"));
        assert_eq!(board.trouble(), None);
        assert_eq!(folder.audit().len(), 1, "noted once");
    }

    #[tokio::test]
    async fn who_hands_over_switches_nothing_and_obeys() {
        let folder = Folder::new("handing-over");
        let old = Arc::new(folder.board());
        old.set("internal", setting(false, None)).unwrap();
        old.pause().unwrap();
        let refused = old.set("public", setting(false, None));
        assert!(matches!(refused, Err(SetError::HandingOver)));
        assert!(old.is_on("public"));
        let next = folder.board();
        assert!(!next.is_on("internal"));

        next.set("public", setting(false, None)).unwrap();
        let obeying = tokio::spawn(Arc::clone(&old).follow_successor());
        old.goes_off("public").await;
        obeying.abort();

        old.resume();
        old.set("public", setting(true, None)).unwrap();
        assert!(folder.board().is_on("public"));
    }

    #[tokio::test]
    async fn waiters_and_the_timer_hear_of_it() {
        let board = Arc::new(Switchboard::open(None).unwrap());
        let timer = tokio::spawn(Arc::clone(&board).keep_time());
        let waiting = Arc::clone(&board);
        let waiter = tokio::spawn(async move { waiting.goes_off("public").await });
        board.set("internal", setting(false, None)).unwrap();
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        // On for no time at all: the timer switches it off.
        board.set("public", setting(true, Some(0))).unwrap();
        waiter.await.unwrap();
        timer.abort();
    }
}
