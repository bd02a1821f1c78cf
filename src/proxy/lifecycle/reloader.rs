//! Takes the next snapshot live, and hands over to the next process. One task does both, one after the other: nothing
//! is reloaded during a hand-over.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::issuers;
use super::program::Program;
use super::signing;
use crate::admin::AdminSocket;
use crate::handover::{self, OfferedSockets, Successor};
use crate::proxy::listener::ListenerSet;
use crate::proxy::shared::front::Front;
use crate::reload::{
    PreparedReload, Refused, ReloadOutcome, ReloadRequest, Reloads, Trigger, Unit, Watched,
    changes, changes_text, prepare, refuse_all, systemd,
};
use seclang::diagnostic::{Diagnostic, Location};
use seclang::files::in_time;

/// How long reading all files may take, for example on a network file system that hangs; what is not read by then is
/// refused.
const BUILDING: Duration = Duration::from_secs(60);
/// How long a hand-over may still take after this process was asked to end.
const LAST_WORD: Duration = Duration::from_secs(10);

pub(super) struct Reloader {
    pub front: Arc<Front>,
    pub listeners: ListenerSet,
    pub reloads: Arc<Reloads>,
    pub watched: watch::Sender<Arc<Watched>>,
    pub admin: Option<AdminSocket>,
    /// What SIGUSR2 starts.
    pub program: Option<Program>,
}

/// What others ask of a front door. After this is dropped, a caller gets the error that nobody listens.
pub(super) struct Requests {
    pub reloads: mpsc::Receiver<ReloadRequest>,
    pub successors: mpsc::Receiver<handover::HandoverRequest>,
}

/// Why a front door closes.
pub(super) enum End {
    /// It was asked to end.
    Shutdown,
    /// Another process has the sockets. `admin`: also that of the admin API. `asked`: this process was asked to end as
    /// well.
    HandedOver { admin: bool, asked: bool },
}

impl Reloader {
    /// Reloads on a request, a change of a file or SIGHUP, opens the logs again on SIGUSR1, and starts a successor on
    /// SIGUSR2, until `shutdown` or until a successor has taken over.
    pub(super) async fn serve(
        &mut self,
        mut requests: Requests,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> End {
        let mut hangup = quiet(signal(SignalKind::hangup()));
        let mut reopen = quiet(signal(SignalKind::user_defined1()));
        let mut upgrade = quiet(signal(SignalKind::user_defined2()));
        loop {
            let ask = tokio::select! {
                // A shutdown first: nothing that comes all the time may delay it.
                biased;
                () = &mut shutdown => return End::Shutdown,
                Some(ask) = requests.successors.recv() => {
                    match self.hand_over_or_stop(ask, shutdown.as_mut()).await {
                        Some(end) => return end,
                        None => continue,
                    }
                }
                () = next(&mut upgrade) => {
                    match &self.program {
                        Some(program) => program.start(),
                        None => tracing::warn!(target: "upgrade", "SIGUSR2: there is no program to start"),
                    }
                    continue;
                }
                Some(ask) = requests.reloads.recv() => ask,
                () = next(&mut hangup) => ReloadRequest { trigger: Trigger::Signal, done: oneshot::channel().0 },
                () = next(&mut reopen) => {
                    self.reopen_logs();
                    continue;
                }
            };
            systemd::reloading();
            self.reloads.begin(ask.trigger);
            let building = self.build();
            tokio::pin!(building);
            // Files may hang, but a shutdown and a log rotation must not wait for them.
            let built = loop {
                tokio::select! {
                    biased;
                    () = &mut shutdown => return End::Shutdown,
                    () = next(&mut reopen) => self.reopen_logs(),
                    built = &mut building => break built,
                }
            };
            let outcome = self.take(built);
            log_outcome(ask.trigger, &outcome);
            self.reloads.record(outcome.clone());
            systemd::ready();
            // An error means that whoever asked is gone.
            let _ = ask.done.send(outcome);
        }
    }

    /// None if nobody took over and no shutdown was asked for.
    async fn hand_over_or_stop(
        &self,
        ask: handover::HandoverRequest,
        shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<End> {
        let given_up = ask.canceller();
        let giving = self.hand_over(ask);
        tokio::pin!(giving);
        let (given, asked) = tokio::select! {
            biased;
            () = shutdown => {
                given_up.cancel();
                // It may be too late to cancel: if the successor has confirmed, the sockets are its own.
                match timeout(LAST_WORD, &mut giving).await {
                    Ok(given) => (given, true),
                    Err(_) => return Some(End::Shutdown),
                }
            }
            given = &mut giving => (given, false),
        };
        match given {
            Ok(admin) => return Some(End::HandedOver { admin, asked }),
            Err(error) => tracing::error!(
                target: "upgrade",
                "nobody took over, this process goes on: {error}"
            ),
        }
        // `hand_over` paused the switches; they are ours again.
        self.front.exposures.resume();
        asked.then_some(End::Shutdown)
    }

    /// Returns when the successor accepts, and whether it has the admin API too. Meanwhile nothing is reloaded and
    /// nothing is switched.
    async fn hand_over(&self, ask: handover::HandoverRequest) -> io::Result<bool> {
        tracing::info!(target: "upgrade", pid = ask.pid, "a successor asks for the sockets");
        let snapshot = self.front.live.pin();
        let admin = match (&self.admin, &snapshot.config.admin) {
            (Some(socket), Some(admin)) => {
                let socket = socket.as_fd().try_clone_to_owned()?;
                Some((admin.address.to_string(), socket))
            }
            _ => None,
        };
        let sockets = self.listeners.sockets_to_give()?;
        let exposures = Arc::clone(&self.front.exposures);
        let given = spawn_blocking(move || {
            // Before the successor reads the switches from the file, so that none is lost.
            exposures.pause().map_err(io::Error::other)?;
            let successor = ask.hand_over(OfferedSockets { sockets, admin })?;
            release(successor)
        });
        given.await.map_err(io::Error::other)?
    }

    fn reopen_logs(&self) {
        self.front.access.reopen();
        self.front.audit.reopen();
    }

    /// Reads all files again and builds the next snapshot beside the running one.
    fn build(&self) -> impl Future<Output = PreparedReload> + use<> {
        let running = self.front.live.pin();
        // If the build fails, the same files stay watched; otherwise their repair would not be noticed.
        let before = Watched::clone(&self.watched.borrow());
        let source = running.config.source.clone();
        let building = spawn_blocking(move || {
            let work = move || prepare(&running);
            in_time(Path::new("a reload"), BUILDING, work)
        });
        async move {
            let built = building.await.map_err(io::Error::other);
            built.flatten().unwrap_or_else(|error| {
                let words = format!("reading it and its files failed: {error}");
                let failure = Diagnostic::error(Location::file(&source), words);
                PreparedReload {
                    snapshot: None,
                    refused: vec![refuse_all(vec![failure])],
                    warnings: Vec::new(),
                    watched: before,
                }
            })
        }
    }

    /// Makes the snapshot that was built the live one.
    fn take(&mut self, mut built: PreparedReload) -> ReloadOutcome {
        let source = self.front.live.pin().config.source.clone();
        let at_source = |why: String| Diagnostic::error(Location::file(&source), why);
        let running = self.front.live.pin();
        let mut changed = Vec::new();
        if let Some(next) = built.snapshot {
            changed = changes(&running.config, &next.config);
            // New sockets are bound before the swap, and accept after it: a new listener finds its configuration.
            let (plan, failed) = self.listeners.plan(&next.config);
            built
                .refused
                .extend(failed.into_iter().map(|(listener, error)| Refused {
                    unit: Unit::Listener(listener),
                    reasons: vec![at_source(error.to_string())],
                }));
            // Before the swap: a gateway should know a new key before it sees a token of it.
            if let Some(signing) = &next.config.signing {
                signing::publish(signing);
            }
            // Before the swap, so that requests wait for the first keys of an issuer that is new.
            issuers::follow(&next.config);
            self.front.live.swap(next);
            let otlp = self.front.live.pin().config.otlp.clone();
            if let Err(error) = self.front.otlp.follow(otlp) {
                tracing::error!(target: "otlp", "nothing is sent: its threads cannot be started: {error}");
            }
            let bound = self.listeners.follow(plan);
            self.front.bound.store(Arc::new(bound));
        }
        self.watched.send_replace(Arc::new(built.watched));
        ReloadOutcome {
            at: SystemTime::now(),
            generation: self.front.live.pin().generation,
            refused: built.refused,
            warnings: built.warnings,
            changed,
        }
    }
}

fn release(successor: Successor) -> io::Result<bool> {
    let (pid, admin) = (successor.pid, successor.admin);
    // Before the successor is released: systemd ignores messages of a process that is not the main one.
    if let Some(pid) = pid {
        systemd::succeeded_by(pid.unsigned_abs());
    }
    match successor.release() {
        Ok(()) => {
            tracing::info!(target: "upgrade", pid, "a successor has taken over, this process drains");
            Ok(admin)
        }
        Err(error) => {
            // The successor is gone, so this process is the main one again.
            systemd::succeeded_by(std::process::id());
            Err(error)
        }
    }
}

fn log_outcome(trigger: Trigger, outcome: &ReloadOutcome) {
    let asked = trigger.words();
    for Refused { unit, reasons } in &outcome.refused {
        let unit = unit.to_string();
        for reason in reasons {
            tracing::error!(target: "reload", unit, "refused, the last good version serves, if there is one: {reason}");
        }
    }
    let generation = outcome.generation;
    let changed = changes_text(&outcome.changed);
    match outcome.successful() {
        true => tracing::info!(target: "reload", generation, "reloaded ({asked}): {changed}"),
        false => {
            tracing::warn!(target: "reload", generation, "reloaded in part or not at all ({asked}): {changed}");
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
        // Without the signal, or at its end, this arm of a `select!` is never ready.
        std::future::pending::<()>().await;
    }
}
