//! The one who takes the next snapshot live.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use super::doors::Doors;
use super::server::Front;
use crate::diagnostic::{Diagnostic, Location};
use crate::reload::{Ask, Built, Outcome, Refused, Reloads, Trigger, Watched};
use crate::reload::{build, systemd, whole};

pub struct Reloader {
    pub front: Arc<Front>,
    pub doors: Doors,
    pub reloads: Arc<Reloads>,
    pub watched: watch::Sender<Arc<Watched>>,
}

impl Reloader {
    /// Reloads whenever somebody asks, a file changes or SIGHUP comes, and opens log files anew on
    /// SIGUSR1, until `shutdown`.
    pub async fn serve(
        &mut self,
        mut asked: mpsc::Receiver<Ask>,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut hangup = quiet(signal(SignalKind::hangup()));
        let mut reopen = quiet(signal(SignalKind::user_defined1()));
        tokio::pin!(shutdown);
        loop {
            let ask = tokio::select! {
                biased;
                () = &mut shutdown => return,
                Some(ask) = asked.recv() => ask,
                () = next(&mut hangup) => Ask { trigger: Trigger::Signal, done: oneshot::channel().0 },
                () = next(&mut reopen) => {
                    self.front.access.reopen();
                    self.front.audit.reopen();
                    continue;
                }
            };
            systemd::reloading();
            let outcome = self.reload().await;
            tell(ask.trigger, &outcome);
            self.reloads.record(outcome.clone());
            systemd::ready();
            // Who asked may be gone.
            let _ = ask.done.send(outcome);
        }
    }

    async fn reload(&mut self) -> Outcome {
        let running = self.front.live.pin();
        let watched = self.watched.borrow().clone();
        let source = running.config.source.clone();
        let building = spawn_blocking({
            let running = Arc::clone(&running);
            move || build(&running, &watched)
        });
        let told = |why: String| Diagnostic::error(Location::file(&source), why);
        let mut built = match building.await {
            Ok(built) => built,
            Err(error) => Built {
                snapshot: None,
                refused: vec![whole(vec![told(format!("reading it failed: {error}"))])],
                warnings: Vec::new(),
                watched: Watched::clone(&self.watched.borrow()),
            },
        };
        if let Some(next) = built.snapshot {
            let (plan, failed) = self.doors.plan(&next.config);
            built
                .refused
                .extend(failed.into_iter().map(|(listener, error)| Refused {
                    unit: format!("listener {listener}"),
                    reasons: vec![told(error.to_string())],
                }));
            self.front.live.swap(next);
            let bound = self.doors.follow(plan);
            self.front.bound.store(Arc::new(bound));
        }
        self.watched.send_replace(Arc::new(built.watched));
        Outcome {
            at: SystemTime::now(),
            generation: self.front.live.pin().generation,
            refused: built.refused,
            warnings: built.warnings,
        }
    }
}

fn tell(trigger: Trigger, outcome: &Outcome) {
    let asked = match trigger {
        Trigger::Watch => "files changed",
        Trigger::Signal => "SIGHUP",
        Trigger::Admin => "POST /reload",
    };
    for Refused { unit, reasons } in &outcome.refused {
        for reason in reasons {
            tracing::error!(target: "reload", unit, "refused, the last good version serves: {reason}");
        }
    }
    let generation = outcome.generation;
    match outcome.successful() {
        true => tracing::info!(target: "reload", generation, "reloaded ({asked})"),
        false => {
            tracing::warn!(target: "reload", generation, "reloaded in part or not at all ({asked})")
        }
    }
}

fn quiet(signal: io::Result<Signal>) -> Option<Signal> {
    signal
        .inspect_err(|error| tracing::warn!("a signal cannot be listened to: {error}"))
        .ok()
}

async fn next(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    };
    if !came {
        std::future::pending::<()>().await;
    }
}
