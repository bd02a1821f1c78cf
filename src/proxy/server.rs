//! Opens, follows its files, drains.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::admission::Budget;
use super::doors::Doors;
use super::expiry;
use super::handshakes::Handshakes;
use super::inspections::Inspections;
use super::program::Program;
use super::reloader::{End, Reloader};
use super::workers::Workers;
use crate::admin::{AdminSocket, Health, Router, adopt, core_routes, exposure_routes, listen};
use crate::config::Config;
use crate::exposure::{KeepError, Switchboard};
use crate::handover::{self, Inheritance, Promise, TakeError, Waiting};
use crate::live::{Live, Snapshot, SnapshotError};
use crate::reload::{
    Outcome, Reloads, started as started_with, systemd, watch::run as watch_files,
};
use crate::supervision::supervise;
use crate::telemetry::{AccessLog, AuditLog, Metrics};

/// How long the end waits for logs to take what is left.
const LOGS: Duration = Duration::from_secs(2);

/// What all requests share.
pub struct Front {
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
    pub access: AccessLog,
    pub audit: AuditLog,
    pub budget: Arc<Budget>,
    /// The threads where long inspections run.
    pub inspections: Arc<Inspections>,
    /// What is switched off; no snapshot changes it.
    pub exposures: Arc<Switchboard>,
    pub bound: ArcSwap<Bound>,
    pub handshakes: Handshakes,
}

/// The addresses that were really bound, in the configuration's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bound(pub BTreeMap<String, Vec<SocketAddr>>);

impl Bound {
    /// The first address of a listener.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.0.get(listener)?.first().copied()
    }
}

/// Why a front door does not open.
#[derive(Debug)]
pub enum ServeError {
    Snapshot(SnapshotError),
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    AccessLog(io::Error),
    AuditLog(io::Error),
    Admin(io::Error),
    Workers(io::Error),
    /// What is off is not known, so nothing is opened.
    Exposures(KeepError),
    TakeOver(TakeError),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(error) => error.fmt(f),
            Self::Bind { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::Exposures(error) => write!(f, "exposures: {error}"),
            Self::TakeOver(error) => error.fmt(f),
            Self::AccessLog(error) => write!(f, "cannot open the access log: {error}"),
            Self::AuditLog(error) => write!(f, "cannot open the audit log: {error}"),
            Self::Admin(error) => write!(f, "cannot open the admin address: {error}"),
            Self::Workers(error) => write!(f, "cannot start the threads that serve: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Snapshot(error) => Some(error),
            Self::Exposures(error) => Some(error),
            Self::TakeOver(error) => Some(error),
            Self::Bind { source, .. }
            | Self::AccessLog(source)
            | Self::AuditLog(source)
            | Self::Admin(source)
            | Self::Workers(source) => Some(source),
        }
    }
}

impl Front {
    /// The real port of a listener that was configured with port 0.
    #[must_use]
    pub fn bound_port(&self, listener: &str) -> Option<u16> {
        let address = self.bound.load().address(listener)?;
        Some(address.port())
    }
}

/// How a front door opens.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// Take the sockets of the process that runs with this `state_dir`; it drains and ends.
    pub upgrade: bool,
    /// What SIGUSR2 starts, to take over from this one.
    pub program: Option<Program>,
}

/// Runs a front door until `shutdown` comes, then lets requests in flight finish within the
/// configuration's `shutdown_timeout`. `ready` is called once every listener accepts.
///
/// # Errors
/// What keeps it from opening.
pub async fn serve(
    config: Config,
    ready: impl FnOnce(&Bound, &Arc<Metrics>),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    open(config, Opening::default(), ready, shutdown).await
}

/// Like [`serve`]; also ends once another process has taken over.
///
/// # Errors
/// What keeps it from opening. Where it was to take over, the other process goes on.
pub async fn open(
    config: Config,
    opening: Opening,
    ready: impl FnOnce(&Bound, &Arc<Metrics>),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let metrics = Arc::new(Metrics::default());
    let access = AccessLog::open(&config.log.access, Arc::clone(&metrics.access_log));
    let access = access.map_err(ServeError::AccessLog)?;
    let audit = AuditLog::open(&config.log.audit, Arc::clone(&metrics.audit_log));
    let audit = audit.map_err(ServeError::AuditLog)?;
    let state_dir = config.state_dir.clone();
    let snapshot = Snapshot::new(config).map_err(ServeError::Snapshot)?;
    // Everything that can be wrong was found by now.
    let inheritance = match opening.upgrade {
        true => Some(taken(state_dir.clone()).await?),
        false => None,
    };
    // After that: until then switches of the other process were still written.
    let exposures = Switchboard::open(state_dir.as_deref());
    let exposures = Arc::new(exposures.map_err(ServeError::Exposures)?);
    let started = Outcome {
        at: SystemTime::now(),
        generation: snapshot.generation,
        refused: Vec::new(),
        warnings: Vec::new(),
        changed: Vec::new(),
    };
    let live = Arc::new(Live::new(snapshot));
    let (reloads, asked) = Reloads::new(started);
    let reloads = Arc::new(reloads);
    let (close, closing) = watch::channel(false);
    let mut router = Router::default();
    let health = Health {
        live: Arc::clone(&live),
        metrics: Arc::clone(&metrics),
        reloads: Arc::clone(&reloads),
        closing,
    };
    core_routes(&mut router, &health);
    let inspections = Arc::new(Inspections::start().map_err(ServeError::Workers)?);
    // Other rooms add theirs here.
    let front = Arc::new(Front {
        live,
        metrics,
        access,
        audit,
        budget: Arc::default(),
        inspections,
        exposures,
        bound: ArcSwap::default(),
        handshakes: Handshakes::default(),
    });
    exposure_routes(&mut router, &front.live, &front.exposures, {
        let front = Arc::clone(&front);
        move |listener| front.bound.load().address(listener)
    });
    let timer = tokio::spawn({
        let exposures = Arc::clone(&front.exposures);
        supervise("timer of exposures", move || {
            Arc::clone(&exposures).keep_time()
        })
    });

    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    // Ends with this function: by then everything has ended, or is cut off.
    let workers = Workers::start().map_err(ServeError::Workers)?;
    let mut doors = Doors::new(Arc::clone(&front), workers.clone(), alive);
    let (admin_before, promise) = match inheritance {
        Some(inheritance) => {
            let broken = |error| ServeError::TakeOver(TakeError::Broken(error));
            doors.inherit(inheritance.sockets).map_err(broken)?;
            (inheritance.admin, Some(inheritance.promise))
        }
        None => (None, None),
    };
    let snapshot = front.live.pin();
    let (plan, failed) = doors.plan(&snapshot.config);
    let mut failed = failed.into_iter().map(|(_, error)| error);
    if let Some(first) = failed.next() {
        for other in failed {
            tracing::error!(target: "listener", "{other}");
        }
        return Err(first);
    }
    let (admin, adopted) = open_admin(&snapshot.config, admin_before, router).await?;
    let bound = doors.follow(plan);
    front.bound.store(Arc::new(bound.clone()));
    let patience = snapshot.config.shutdown_timeout;
    if let Some(promise) = promise
        && let Err(error) = released(promise, adopted).await
    {
        // The other process goes on with the sockets; who came in here is served.
        doors.close();
        drop(doors);
        if let Some(admin) = admin.filter(|_| adopted) {
            admin.leave();
        }
        let _ = timeout(patience, all_gone.recv()).await;
        return Err(ServeError::TakeOver(error));
    }
    let (successor, successors) = mpsc::channel(1);
    let waiting = wait_for_successor(state_dir.as_deref(), opening.upgrade, successor);
    snapshot.pools.start();
    let (watched, watching) = watch::channel(started_with(&snapshot.config));
    drop(snapshot);
    let expiry = tokio::spawn({
        let front = Arc::clone(&front);
        supervise("expiry of certificates", move || {
            expiry::watch(Arc::clone(&front))
        })
    });
    let watcher = tokio::spawn({
        let reloads = Arc::clone(&reloads);
        supervise("watcher of files", move || {
            watch_files(Arc::clone(&reloads), watching.clone())
        })
    });
    let mut reloader = Reloader {
        front: Arc::clone(&front),
        doors,
        reloads,
        watched,
        admin,
        program: opening.program,
    };
    ready(&bound, &front.metrics);
    systemd::ready();

    tokio::pin!(shutdown);
    let end = reloader.serve(asked, successors, shutdown.as_mut()).await;
    watcher.abort();
    expiry.abort();
    // Nobody listens only where there is no admin API.
    let _ = close.send(true);
    let snapshot = front.live.pin();
    snapshot.pools.stop(None);
    let patience = snapshot.config.shutdown_timeout;
    drop(snapshot);
    reloader.doors.close();
    let admin = reloader.admin.take();
    drop(reloader);
    // Every task holds a sender; when the last is gone, nothing comes any more.
    let drained = timeout(patience, all_gone.recv());
    let drained = match end {
        End::Shutdown => {
            drop(waiting);
            // Told once it is so: whoever hears it may rely on it.
            systemd::stopping();
            let drained = drained.await;
            timer.abort();
            drop(admin);
            drained
        }
        End::HandedOver {
            admin: adopted,
            asked,
        } => {
            if let Some(waiting) = waiting {
                waiting.leave();
            }
            match admin {
                Some(admin) if adopted => admin.leave(),
                _ => {}
            }
            timer.abort();
            let obeying = tokio::spawn({
                let exposures = Arc::clone(&front.exposures);
                supervise("obeying a successor", move || Arc::clone(&exposures).obey())
            });
            tokio::pin!(drained);
            let drained = tokio::select! {
                drained = &mut drained => drained,
                // It does what it is asked for already.
                () = shutdown, if !asked => drained.await,
            };
            obeying.abort();
            drained
        }
    };
    if drained.is_err() {
        tracing::warn!("shutdown_timeout is over, requests in flight are cut off");
    }
    let deadline = Instant::now() + LOGS;
    front.access.close(deadline);
    front.audit.close(deadline);
    Ok(())
}

async fn taken(state_dir: Option<PathBuf>) -> Result<Inheritance, ServeError> {
    let taken = spawn_blocking(move || handover::take(state_dir.as_deref())).await;
    let taken = taken.unwrap_or_else(|error| Err(TakeError::Broken(io::Error::other(error))));
    taken.map_err(ServeError::TakeOver)
}

async fn released(promise: Promise, admin: bool) -> Result<(), TakeError> {
    let released = spawn_blocking(move || promise.accepting(admin)).await;
    released.unwrap_or_else(|error| Err(TakeError::Broken(io::Error::other(error))))
}

/// And whether it is that of the process before.
async fn open_admin(
    config: &Config,
    before: Option<(String, OwnedFd)>,
    router: Router,
) -> Result<(Option<AdminSocket>, bool), ServeError> {
    let Some(admin) = &config.admin else {
        return Ok((None, false));
    };
    let router = Arc::new(router);
    let same = before.filter(|(address, _)| *address == admin.address.to_string());
    let adopted = same.is_some();
    let socket = match same {
        Some((_, socket)) => adopt(admin, socket, router),
        None => listen(admin, router).await,
    };
    Ok((Some(socket.map_err(ServeError::Admin)?), adopted))
}

/// A front door runs without it too; it is told.
fn wait_for_successor(
    state_dir: Option<&Path>,
    upgraded: bool,
    asks: mpsc::Sender<handover::Ask>,
) -> Option<Waiting> {
    let state_dir = state_dir?;
    let started = match !upgraded && Waiting::somebody(state_dir) {
        true => Err(io::Error::other("another process waits in this state_dir")),
        false => Waiting::start(state_dir, asks),
    };
    let failed = |error: &io::Error| {
        tracing::warn!(target: "upgrade", "--upgrade will not be possible: {error}");
    };
    started.inspect_err(failed).ok()
}
