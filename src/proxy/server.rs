//! Opens, follows its files, drains.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::admission::Budget;
use super::doors::Doors;
use super::expiry;
use super::forward::Forward;
use super::reloader::Reloader;
use crate::admin::{Health, Router, core_routes, exposure_routes, listen};
use crate::config::Config;
use crate::exposure::{KeepError, Switchboard};
use crate::live::{Live, Snapshot, SnapshotError};
use crate::reload::{
    Outcome, Reloads, started as started_with, systemd, watch::run as watch_files,
};
use crate::telemetry::{AccessLog, AuditLog, Metrics};

/// Kept connections to upstreams, over all of them.
const UPSTREAM_POOL: usize = 1024;
/// Pingora's own bound on tries; the upstream's `attempts` is below it.
const MOST_TRIES: usize = 16;

/// What all requests share.
pub struct Front {
    pub live: Arc<Live>,
    pub proxy: Arc<HttpProxy<Forward>>,
    pub metrics: Arc<Metrics>,
    pub access: AccessLog,
    pub audit: AuditLog,
    pub budget: Arc<Budget>,
    /// What is switched off; no snapshot changes it.
    pub exposures: Arc<Switchboard>,
    pub bound: ArcSwap<Bound>,
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
    /// What is off is not known, so nothing is opened.
    Exposures(KeepError),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(error) => error.fmt(f),
            Self::Bind { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::Exposures(error) => write!(f, "exposures: {error}"),
            Self::AccessLog(error) => write!(f, "cannot open the access log: {error}"),
            Self::AuditLog(error) => write!(f, "cannot open the audit log: {error}"),
            Self::Admin(error) => write!(f, "cannot open the admin address: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Snapshot(error) => Some(error),
            Self::Exposures(error) => Some(error),
            Self::Bind { source, .. }
            | Self::AccessLog(source)
            | Self::AuditLog(source)
            | Self::Admin(source) => Some(source),
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
    let metrics = Arc::new(Metrics::default());
    let access =
        AccessLog::open(&config.log.access, Arc::clone(&metrics)).map_err(ServeError::AccessLog)?;
    let audit =
        AuditLog::open(&config.log.audit, Arc::clone(&metrics)).map_err(ServeError::AuditLog)?;
    let exposures = Switchboard::open(config.state_dir.as_deref());
    let exposures = Arc::new(exposures.map_err(ServeError::Exposures)?);
    let snapshot = Snapshot::new(config).map_err(ServeError::Snapshot)?;
    let started = Outcome {
        at: SystemTime::now(),
        generation: snapshot.generation,
        refused: Vec::new(),
        warnings: Vec::new(),
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
    // Other rooms add theirs here.
    let front = Arc::new(Front {
        live,
        proxy: proxy(),
        metrics,
        access,
        audit,
        budget: Arc::default(),
        exposures,
        bound: ArcSwap::default(),
    });
    exposure_routes(&mut router, &front.live, &front.exposures, {
        let front = Arc::clone(&front);
        move |listener| front.bound.load().address(listener)
    });
    let timer = tokio::spawn(Arc::clone(&front.exposures).keep_time());

    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let mut doors = Doors::new(Arc::clone(&front), alive);
    let snapshot = front.live.pin();
    let (plan, failed) = doors.plan(&snapshot.config);
    if let Some((_, error)) = failed.into_iter().next() {
        return Err(error);
    }
    let bound = doors.follow(plan);
    front.bound.store(Arc::new(bound.clone()));
    let admin = match &snapshot.config.admin {
        Some(admin) => {
            let socket = listen(admin, Arc::new(router)).await;
            Some(socket.map_err(ServeError::Admin)?)
        }
        None => None,
    };
    snapshot.pools.start();
    let (watched, watching) = watch::channel(started_with(&snapshot.config));
    drop(snapshot);
    let expiry = tokio::spawn(expiry::watch(Arc::clone(&front)));
    let watcher = tokio::spawn(watch_files(Arc::clone(&reloads), watching));
    let mut reloader = Reloader {
        front: Arc::clone(&front),
        doors,
        reloads,
        watched,
    };
    ready(&bound, &front.metrics);
    systemd::ready();

    reloader.serve(asked, shutdown).await;
    watcher.abort();
    expiry.abort();
    // Nobody listens only where there is no admin API.
    let _ = close.send(true);
    let snapshot = front.live.pin();
    snapshot.pools.stop(None);
    let patience = snapshot.config.shutdown_timeout;
    drop(snapshot);
    reloader.doors.close();
    drop(reloader);
    // Told once it is so: whoever hears it may rely on it.
    systemd::stopping();
    // Every task holds a sender; when the last is gone, nothing comes any more.
    if timeout(patience, all_gone.recv()).await.is_err() {
        tracing::warn!("shutdown_timeout is over, requests in flight are cut off");
    }
    timer.abort();
    drop(admin);
    front.access.close();
    Ok(())
}

fn proxy() -> Arc<HttpProxy<Forward>> {
    let conf = ServerConf {
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        max_retries: MOST_TRIES,
        threads: std::thread::available_parallelism().map_or(1, Into::into),
        ..ServerConf::default()
    };
    Arc::new(http_proxy(&Arc::new(conf), Forward))
}
