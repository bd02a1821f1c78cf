//! What changed on disk, and taking it live.

mod build;
mod changes;
mod notified;
pub mod systemd;
pub mod watch;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

pub use build::{Built, build, started, whole};
pub use changes::{changes, text as changes_text};
pub use watch::Watched;

pub use crate::config::Refused;
use seclang::diagnostic::Diagnostic;

/// How many reloads may be asked for and not have begun.
const WAITING: usize = 16;

/// Who wants a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A file changed.
    Watch,
    /// SIGHUP.
    Signal,
    /// `POST /reload`
    Admin,
}

impl Trigger {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Watch => "files changed",
            Self::Signal => "SIGHUP",
            Self::Admin => "POST /reload",
        }
    }
}

/// How the last reload went; the start counts as one.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub at: SystemTime,
    /// Of the snapshot that serves since.
    pub generation: u64,
    /// Empty where all was taken.
    pub refused: Vec<Refused>,
    pub warnings: Vec<Diagnostic>,
    /// What is other than before.
    pub changed: Vec<String>,
}

impl Outcome {
    #[must_use]
    pub fn successful(&self) -> bool {
        self.refused.is_empty()
    }
}

/// What the admin API, signals and the watcher share with the one who reloads.
#[derive(Debug)]
pub struct Reloads {
    asks: mpsc::Sender<Ask>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Outcome,
    attempts: u64,
    failures: u64,
    unchanged: u64,
    under_way: Option<UnderWay>,
}

/// A reload that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    pub since: SystemTime,
    pub trigger: Trigger,
}

/// A wish, and who waits for what came of it.
#[derive(Debug)]
pub struct Ask {
    pub trigger: Trigger,
    pub done: oneshot::Sender<Outcome>,
}

impl Reloads {
    /// And what the one who reloads listens to. `started` is the outcome of the start.
    #[must_use]
    pub fn new(started: Outcome) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(WAITING);
        let state = State {
            last: started,
            attempts: 0,
            failures: 0,
            unchanged: 0,
            under_way: None,
        };
        let reloads = Self {
            asks,
            state: Mutex::new(state),
        };
        (reloads, asked)
    }

    /// Reloads, and waits for it. None where the front door is closing.
    pub async fn ask(&self, trigger: Trigger) -> Option<Outcome> {
        let (done, outcome) = oneshot::channel();
        self.asks.send(Ask { trigger, done }).await.ok()?;
        outcome.await.ok()
    }

    /// How the last one went.
    #[must_use]
    pub fn last(&self) -> Outcome {
        self.state().last.clone()
    }

    /// How many were tried since the start, and how many of them refused something.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.attempts, state.failures)
    }

    /// How often files were read again and were what they had been, the start included.
    #[must_use]
    pub fn unchanged(&self) -> u64 {
        self.state().unchanged
    }

    pub(super) fn record_unchanged(&self) {
        self.state().unchanged += 1;
    }

    /// The reload that is under way, if there is one.
    #[must_use]
    pub fn under_way(&self) -> Option<UnderWay> {
        self.state().under_way
    }

    pub fn begin(&self, trigger: Trigger) {
        let since = SystemTime::now();
        self.state().under_way = Some(UnderWay { since, trigger });
    }

    pub fn record(&self, outcome: Outcome) {
        let mut state = self.state();
        state.under_way = None;
        state.attempts += 1;
        state.failures += u64::from(!outcome.successful());
        state.last = outcome;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is inside is replaced whole, so a poisoned lock holds nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_under_way_until_its_outcome_is_known() {
        let started = Outcome {
            at: SystemTime::UNIX_EPOCH,
            generation: 1,
            refused: Vec::new(),
            changed: Vec::new(),
            warnings: Vec::new(),
        };
        let (reloads, _asked) = Reloads::new(started.clone());
        assert_eq!(reloads.under_way(), None);
        reloads.begin(Trigger::Signal);
        assert_eq!(
            reloads.under_way().map(|u| u.trigger),
            Some(Trigger::Signal)
        );
        reloads.record(started);
        assert_eq!((reloads.under_way(), reloads.counts()), (None, (1, 0)));
    }
}
