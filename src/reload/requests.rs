//! The requests to reload, and the outcome of the last reload.
//!
//! The watcher, SIGHUP and the admin API all ask through [`Reloads`]; the reloader serves one request after the other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

use crate::config::Refused;
use seclang::diagnostic::Diagnostic;

/// How many requests may wait for the reloader. Beyond it, callers wait to be queued; nobody is refused.
const WAITING: usize = 16;

/// Who asks for a reload.
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
    /// For the log.
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
pub struct ReloadOutcome {
    /// When it ended.
    pub at: SystemTime,
    /// The generation of the snapshot that serves since then.
    pub generation: u64,
    /// The parts that were not taken.
    pub refused: Vec<Refused>,
    /// Problems that did not stand in its way.
    pub warnings: Vec<Diagnostic>,
    /// The changes by name, as [`super::changes()`] gives them.
    pub changed: Vec<String>,
}

impl ReloadOutcome {
    /// Whether all of the configuration was taken.
    #[must_use]
    pub fn successful(&self) -> bool {
        self.refused.is_empty()
    }
}

/// The state that the admin API, the signals and the watcher share with the reloader.
#[derive(Debug)]
pub struct Reloads {
    requests: mpsc::Sender<ReloadRequest>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: ReloadOutcome,
    attempts: u64,
    failures: u64,
    unchanged: u64,
    under_way: Option<UnderWay>,
}

/// A reload that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// When it began.
    pub since: SystemTime,
    /// Who asked for it.
    pub trigger: Trigger,
}

/// A request to reload, and where its outcome goes.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Who asks.
    pub trigger: Trigger,
    /// Where the outcome goes.
    pub done: oneshot::Sender<ReloadOutcome>,
}

impl Reloads {
    /// Also returns the requests that the reloader serves. `started` is the outcome of the start.
    #[must_use]
    pub fn new(started: ReloadOutcome) -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (requests, asked) = mpsc::channel(WAITING);
        let state = State {
            last: started,
            attempts: 0,
            failures: 0,
            unchanged: 0,
            under_way: None,
        };
        let reloads = Self {
            requests,
            state: Mutex::new(state),
        };
        (reloads, asked)
    }

    /// Asks for a reload and waits for its outcome; None if the front door closes.
    pub async fn ask(&self, trigger: Trigger) -> Option<ReloadOutcome> {
        let (done, outcome) = oneshot::channel();
        self.requests
            .send(ReloadRequest { trigger, done })
            .await
            .ok()?;
        outcome.await.ok()
    }

    /// How the last one went.
    #[must_use]
    pub fn last(&self) -> ReloadOutcome {
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

    /// Counts files that were read again and had not changed.
    pub(super) fn record_unchanged(&self) {
        self.state().unchanged += 1;
    }

    /// The reload that is under way, if there is one.
    #[must_use]
    pub fn under_way(&self) -> Option<UnderWay> {
        self.state().under_way
    }

    /// Records that a reload begins.
    pub fn begin(&self, trigger: Trigger) {
        let since = SystemTime::now();
        self.state().under_way = Some(UnderWay { since, trigger });
    }

    /// Records how a reload went.
    pub fn record(&self, outcome: ReloadOutcome) {
        let mut state = self.state();
        state.under_way = None;
        state.attempts += 1;
        state.failures += u64::from(!outcome.successful());
        state.last = outcome;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Fields are replaced whole, so a poisoned lock protects nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_under_way_until_its_outcome_is_known() {
        let started = ReloadOutcome {
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
