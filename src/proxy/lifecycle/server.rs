//! A front door from its start to its end.
//!
//! The order of the start is what a hand-over needs: everything that can be wrong is found before the previous process
//! is asked for its sockets, and that process goes on until this one accepts.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::error::ServeError;
use super::expiry;
use super::issuers;
use super::program::Program;
use super::reloader::{End, Reloader, Requests};
use super::signing;
use crate::admin::{
    AdminSocket, Router, StatusSources, add_collector, add_core_routes, add_exposure_routes,
    add_gateway_routes, add_issuers, add_limit_routes, add_record_routes, add_review_routes,
    add_shadow_routes, add_signing, add_traffic_routes, adopt, listen,
};
use crate::config::{Config, LogSink};
use crate::console::{Console, ConsoleSources, Logins, add_console_routes};
use crate::events::Recorder;
use crate::exposure::Switchboard;
use crate::handover::{self, HandoverListener, InheritedSockets, PendingTakeover, TakeoverError};
use crate::live::{Live, Snapshot};
use crate::proxy::listener::{ListenerSet, Workers};
use crate::proxy::shared::front::{BoundAddresses, Front};
use crate::proxy::shared::inspection_threads::InspectionThreads;
use crate::proxy::shared::shadow::ShadowThread;
use crate::reload::{
    ReloadOutcome, ReloadRequest, Reloads, systemd, watch::run as watch_files, watched_at_start,
};
use crate::supervision::supervise;
use crate::telemetry::otlp::Otlp;
use crate::telemetry::{AccessLog, AuditLog, Metrics};

/// How long the end waits until the logs have written what is left.
const LOGS: Duration = Duration::from_secs(2);

/// How a front door starts.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// Take the sockets of the process that runs with this `state_dir`; that process drains and ends.
    pub upgrade: bool,
    /// What SIGUSR2 starts, to take over from this process.
    pub program: Option<Program>,
}

/// Runs a front door until `shutdown` comes, then lets requests in flight finish within the configuration's
/// `shutdown_timeout`. `ready` is called once every listener accepts.
///
/// # Errors
/// Why it does not start.
pub async fn serve(
    config: Config,
    ready: impl FnOnce(&BoundAddresses, &Arc<Metrics>),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    open(config, Opening::default(), ready, shutdown).await
}

/// Like [`serve`]; also ends once another process has taken over.
///
/// # Errors
/// Why it does not start. If it was to take over, the other process goes on.
pub async fn open(
    config: Config,
    opening: Opening,
    ready: impl FnOnce(&BoundAddresses, &Arc<Metrics>),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let foundation = Foundation::lay(config, opening.upgrade).await?;
    let (mut running, requests, bound) = foundation.start(opening).await?;
    ready(&bound, &running.reloader.front.metrics);
    systemd::ready();
    tokio::pin!(shutdown);
    let end = running.reloader.serve(requests, shutdown.as_mut()).await;
    running.end(end, shutdown).await;
    Ok(())
}

/// Everything that was checked and opened before the first socket.
struct Foundation {
    front: Arc<Front>,
    reloads: Arc<Reloads>,
    asked: mpsc::Receiver<ReloadRequest>,
    router: Arc<Router>,
    /// The logins of the console, if there is one.
    logins: Option<Logins>,
    /// True once the front door closes.
    close: watch::Sender<bool>,
    inheritance: Option<InheritedSockets>,
}

impl Foundation {
    async fn lay(config: Config, upgrade: bool) -> Result<Self, ServeError> {
        signing::make_key(&config).map_err(ServeError::SigningKey)?;
        if let Some(signing) = &config.signing {
            signing::publish(signing);
        }
        let metrics = Arc::new(Metrics::default());
        let log = &config.log;
        let access = AccessLog::open(&log.access, log.format, Arc::clone(&metrics.access_log));
        let mut access = access.map_err(ServeError::AccessLog)?;
        let audit = AuditLog::open(&log.audit, Arc::clone(&metrics.audit_log));
        let mut audit = audit.map_err(ServeError::AuditLog)?;
        let otlp = Otlp::new(Handle::current(), Arc::clone(&metrics.otlp));
        let otlp = Arc::new(otlp);
        otlp.follow(config.otlp.clone())
            .map_err(ServeError::Workers)?;
        if log.access == LogSink::Otlp {
            access = access.to_collector(&otlp);
        }
        if log.audit == LogSink::Otlp {
            audit = audit.to_collector(&otlp);
        }
        issuers::first_fetches(&config).await;
        let state_dir = config.state_dir.clone();
        let snapshot = Snapshot::new(config).map_err(ServeError::Snapshot)?;
        // Everything that can be wrong has been found by now, so the other process is only disturbed if this one will
        // start.
        let inheritance = match upgrade {
            true => Some(take_over(state_dir.clone()).await?),
            false => None,
        };
        // The switches are read only now: until it handed over, the other process may have written them.
        let exposures = Switchboard::open(state_dir.as_deref());
        let exposures = Arc::new(exposures.map_err(ServeError::Exposures)?);
        let started = ReloadOutcome {
            at: SystemTime::now(),
            generation: snapshot.generation,
            refused: Vec::new(),
            warnings: Vec::new(),
            changed: Vec::new(),
        };
        let events = start_recorder(&snapshot.config, &metrics)?;
        let shadow = ShadowThread::start(&metrics, events.as_ref()).map_err(ServeError::Workers)?;
        let (reloads, asked) = Reloads::new(started);
        let inspection_threads = InspectionThreads::start().map_err(ServeError::Workers)?;
        let front = Arc::new(Front {
            live: Arc::new(Live::new(snapshot)),
            metrics,
            access,
            audit,
            otlp,
            events,
            shadow,
            body_memory: Arc::default(),
            inspection_threads: Arc::new(inspection_threads),
            exposures,
            bound: ArcSwap::default(),
            handshakes: Arc::default(),
        });
        let reloads = Arc::new(reloads);
        let (close, closing) = watch::channel(false);
        let logins = Logins::of(&front.live.pin().config);
        let router = routes(&front, &reloads, logins.as_ref(), closing);
        Ok(Self {
            router: Arc::new(router),
            logins,
            front,
            reloads,
            asked,
            close,
            inheritance,
        })
    }

    async fn start(
        self,
        opening: Opening,
    ) -> Result<(Running, Requests, BoundAddresses), ServeError> {
        let front = self.front;
        let timer = tokio::spawn({
            let exposures = Arc::clone(&front.exposures);
            supervise("timer of exposures", move || {
                Arc::clone(&exposures).run_timers()
            })
        });
        let (alive, all_gone) = mpsc::channel::<()>(1);
        let workers = Workers::start().map_err(ServeError::Workers)?;
        let listeners = ListenerSet::new(Arc::clone(&front), workers.clone(), alive);
        let router = Arc::clone(&self.router);
        let sockets = Sockets::open(&front, listeners, self.inheritance, router).await?;
        let Sockets {
            listeners,
            admin,
            adopted,
            promise,
            bound,
        } = sockets;
        let snapshot = front.live.pin();
        if let Some(promise) = promise
            && let Err(error) = promise_accepting(promise, adopted).await
        {
            let patience = snapshot.config.shutdown_timeout;
            give_up(listeners, admin.filter(|_| adopted), all_gone, patience).await;
            return Err(ServeError::TakeOver(error));
        }
        let (successor, successors) = mpsc::channel(1);
        let state_dir = snapshot.config.state_dir.as_deref();
        let waiting = wait_for_successor(state_dir, opening.upgrade, successor);
        // Only now: before the confirmation, both processes would send health checks.
        snapshot.pools.start();
        let console = start_console(&front, self.router, self.logins);
        let (watched, watching) = watch::channel(watched_at_start(&snapshot.config));
        drop(snapshot);
        let expiry = tokio::spawn({
            let front = Arc::clone(&front);
            supervise("expiry of certificates", move || {
                expiry::watch(Arc::clone(&front))
            })
        });
        let rotation = follow_signing_keys(&front);
        let watcher = tokio::spawn({
            let reloads = Arc::clone(&self.reloads);
            supervise("watcher of files", move || {
                watch_files(Arc::clone(&reloads), watching.clone())
            })
        });
        let reloader = Reloader {
            front,
            listeners,
            reloads: self.reloads,
            watched,
            admin,
            program: opening.program,
        };
        let running = Running {
            reloader,
            close: self.close,
            waiting,
            all_gone,
            timer,
            expiry,
            rotation,
            watcher,
            console,
            _workers: workers,
        };
        let requests = Requests {
            reloads: self.asked,
            successors,
        };
        Ok((running, requests, bound))
    }
}

fn follow_signing_keys(front: &Arc<Front>) -> JoinHandle<()> {
    let front = Arc::clone(front);
    tokio::spawn(supervise("rotation of signing keys", move || {
        signing::rotate(Arc::clone(&front))
    }))
}

/// The admin API, with the routes of all modules.
fn routes(
    front: &Arc<Front>,
    reloads: &Arc<Reloads>,
    logins: Option<&Logins>,
    closing: watch::Receiver<bool>,
) -> Router {
    let mut router = Router::default();
    let health = StatusSources {
        live: Arc::clone(&front.live),
        metrics: Arc::clone(&front.metrics),
        reloads: Arc::clone(reloads),
        closing,
    };
    add_core_routes(&mut router, &health);
    add_shadow_routes(&mut router, &front.live, &front.metrics);
    add_limit_routes(&mut router, &front.live);
    add_exposure_routes(&mut router, &front.live, &front.exposures, {
        let front = Arc::clone(front);
        move |listener| front.bound.load().address(listener)
    });
    add_review_routes(&mut router, &front.live);
    add_record_routes(&mut router, &health);
    add_gateway_routes(&mut router, &front.live);
    add_traffic_routes(&mut router, &health);
    add_collector(&mut router, &health);
    add_issuers(&mut router, &health);
    add_signing(&mut router, &health, signing::rotate_now);
    let console = front.live.pin().config.console.clone();
    if let (Some(logins), Some(console)) = (logins, console) {
        add_console_routes(&mut router, logins, &console);
    }
    router
}

fn start_console(front: &Front, router: Arc<Router>, logins: Option<Logins>) -> Option<Console> {
    let snapshot = front.live.pin();
    let settings = snapshot.config.console.as_ref()?;
    let sources = ConsoleSources {
        router,
        live: Arc::clone(&front.live),
        logins: logins?,
        metrics: Arc::clone(&front.metrics),
        state_dir: snapshot.config.state_dir.clone(),
    };
    Some(Console::start(settings, sources, &front.access))
}

/// The open sockets of a front door.
struct Sockets {
    listeners: ListenerSet,
    admin: Option<AdminSocket>,
    /// The admin socket was the previous process's.
    adopted: bool,
    /// The previous process waits for this confirmation.
    promise: Option<PendingTakeover>,
    bound: BoundAddresses,
}

impl Sockets {
    async fn open(
        front: &Front,
        mut listeners: ListenerSet,
        inheritance: Option<InheritedSockets>,
        router: Arc<Router>,
    ) -> Result<Self, ServeError> {
        let (admin_before, promise) = match inheritance {
            Some(inheritance) => {
                let broken = |error| ServeError::TakeOver(TakeoverError::Interrupted(error));
                listeners.inherit(inheritance.sockets).map_err(broken)?;
                (inheritance.admin, Some(inheritance.pending))
            }
            None => (None, None),
        };
        let snapshot = front.live.pin();
        // At the start one address that cannot be bound is an error; a reload would go on without it.
        let (plan, failed) = listeners.plan(&snapshot.config);
        let mut failed = failed.into_iter().map(|(_, error)| error);
        if let Some(first) = failed.next() {
            for other in failed {
                tracing::error!(target: "listener", "{other}");
            }
            return Err(ServeError::Bind(first));
        }
        let (admin, adopted) = open_admin(&snapshot.config, admin_before, router).await?;
        // Last: from here on clients are accepted, and nothing may fail.
        let bound = listeners.follow(plan);
        front.bound.store(Arc::new(bound.clone()));
        Ok(Self {
            listeners,
            admin,
            adopted,
            promise,
            bound,
        })
    }
}

/// Gives up after a hand-over that was not confirmed: the other process goes on with the sockets. Connections that were
/// accepted here meanwhile are served to their end.
async fn give_up(
    mut listeners: ListenerSet,
    adopted: Option<AdminSocket>,
    mut all_gone: mpsc::Receiver<()>,
    patience: Duration,
) {
    listeners.close();
    drop(listeners);
    if let Some(admin) = adopted {
        admin.release();
    }
    // Either all connections have ended or their time is over; both end this process.
    let _ = timeout(patience, all_gone.recv()).await;
}

/// A front door that accepts connections.
struct Running {
    reloader: Reloader,
    close: watch::Sender<bool>,
    waiting: Option<HandoverListener>,
    /// Every connection holds a sender. When the last one is gone, `recv` returns.
    all_gone: mpsc::Receiver<()>,
    timer: JoinHandle<()>,
    expiry: JoinHandle<()>,
    rotation: JoinHandle<()>,
    watcher: JoinHandle<()>,
    console: Option<Console>,
    /// Dropped last: by then all connections have ended or are cut off.
    _workers: Workers,
}

impl Running {
    async fn end(mut self, end: End, shutdown: Pin<&mut impl Future<Output = ()>>) {
        self.watcher.abort();
        // A successor has a console of its own, at this address.
        drop(self.console.take());
        self.expiry.abort();
        self.rotation.abort();
        // An error means that there is no admin API, which alone listens.
        let _ = self.close.send(true);
        let Reloader {
            front,
            mut listeners,
            admin,
            ..
        } = self.reloader;
        let snapshot = front.live.pin();
        snapshot.pools.stop(None);
        let patience = snapshot.config.shutdown_timeout;
        drop(snapshot);
        listeners.close();
        drop(listeners);
        let drained = timeout(patience, self.all_gone.recv());
        let drained = match end {
            End::Shutdown => {
                // Removes the socket file, so that no successor asks a process that ends.
                drop(self.waiting);
                // Reported only now that no new connection is accepted, so that whoever hears it can rely on it.
                systemd::stopping();
                let drained = drained.await;
                self.timer.abort();
                // The admin API answers until the drain is over: it reports the draining.
                drop(admin);
                drained
            }
            End::HandedOver {
                admin: adopted,
                asked,
            } => {
                if let Some(waiting) = self.waiting {
                    waiting.release();
                }
                match admin {
                    Some(admin) if adopted => admin.release(),
                    _ => {}
                }
                self.timer.abort();
                // Requests that drain here must obey the switches of the successor.
                let following = tokio::spawn({
                    let exposures = Arc::clone(&front.exposures);
                    supervise("obeying a successor", move || {
                        Arc::clone(&exposures).follow_successor()
                    })
                });
                tokio::pin!(drained);
                let drained = tokio::select! {
                    drained = &mut drained => drained,
                    // A shutdown changes nothing: this process is ending already.
                    () = shutdown, if !asked => drained.await,
                };
                following.abort();
                drained
            }
        };
        if drained.is_err() {
            tracing::warn!("shutdown_timeout is over, requests in flight are cut off");
        }
        let deadline = Instant::now() + LOGS;
        front.access.close(deadline);
        front.audit.close(deadline);
        let otlp = Arc::clone(&front.otlp);
        // Not here: the collector is spoken to on this runtime.
        let closed = spawn_blocking(move || otlp.close(deadline)).await;
        if let Err(error) = closed {
            tracing::warn!(target: "otlp", "the last records may be lost: {error}");
        }
        // Before the events, which it adds to.
        front.shadow.close(Instant::now() + LOGS / 4);
        if let Some(events) = &front.events {
            events.close(deadline);
        }
    }
}

/// After the switches were read: that made the `state_dir`.
fn start_recorder(config: &Config, metrics: &Metrics) -> Result<Option<Arc<Recorder>>, ServeError> {
    let (Some(settings), Some(state_dir)) = (&config.events, &config.state_dir) else {
        return Ok(None);
    };
    let recorder = Recorder::start(state_dir, settings, Arc::clone(&metrics.events));
    let recorder = recorder.map_err(ServeError::Workers)?;
    Ok(Some(Arc::new(recorder)))
}

async fn take_over(state_dir: Option<PathBuf>) -> Result<InheritedSockets, ServeError> {
    let taken = spawn_blocking(move || handover::take_over(state_dir.as_deref())).await;
    let taken =
        taken.unwrap_or_else(|error| Err(TakeoverError::Interrupted(io::Error::other(error))));
    taken.map_err(ServeError::TakeOver)
}

async fn promise_accepting(promise: PendingTakeover, admin: bool) -> Result<(), TakeoverError> {
    let released = spawn_blocking(move || promise.confirm(admin)).await;
    released.unwrap_or_else(|error| Err(TakeoverError::Interrupted(io::Error::other(error))))
}

/// Opens the admin socket, and reports whether it is the previous process's.
async fn open_admin(
    config: &Config,
    before: Option<(String, OwnedFd)>,
    router: Arc<Router>,
) -> Result<(Option<AdminSocket>, bool), ServeError> {
    let Some(admin) = &config.admin else {
        return Ok((None, false));
    };
    let same = before.filter(|(address, _)| *address == admin.address.to_string());
    let adopted = same.is_some();
    let socket = match same {
        Some((_, socket)) => adopt(admin, socket, router),
        None => listen(admin, router).await,
    };
    Ok((Some(socket.map_err(ServeError::Admin)?), adopted))
}

/// Waits for a successor, if possible. Without it the front door runs all the same, and the log says that `--upgrade`
/// will not be possible.
fn wait_for_successor(
    state_dir: Option<&Path>,
    upgraded: bool,
    asks: mpsc::Sender<handover::HandoverRequest>,
) -> Option<HandoverListener> {
    let state_dir = state_dir?;
    // After a hand-over the previous process still waits there for a moment, and the socket is ours to replace.
    let started = match !upgraded && HandoverListener::is_taken(state_dir) {
        true => Err(io::Error::other("another process waits in this state_dir")),
        false => HandoverListener::bind(state_dir, asks),
    };
    let failed = |error: &io::Error| {
        tracing::warn!(target: "upgrade", "--upgrade will not be possible: {error}");
    };
    started.inspect_err(failed).ok()
}
