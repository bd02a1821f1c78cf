//! Binds, accepts, drains.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::admission::{Admission, Budget};
use super::connection::Open;
use super::forward::Forward;
use super::{connection, redirect};
use crate::admin::{Health, Router, core_routes, exposure_routes, listen};
use crate::config::{Config, Listener, ListenerKind};
use crate::exposure::{KeepError, Switchboard};
use crate::live::{Live, Snapshot, SnapshotError};
use crate::reload::{Outcome, Reloads};
use crate::telemetry::{AccessLog, AuditLog, Metrics};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
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
    /// True once the front door is closing.
    pub closing: watch::Receiver<bool>,
    /// What is switched off; no snapshot changes it.
    pub exposures: Arc<Switchboard>,
    bound: Arc<OnceLock<Bound>>,
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
        let address = self.bound.get()?.address(listener)?;
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
    let patience = config.shutdown_timeout;
    let metrics = Arc::new(Metrics::default());
    let access =
        AccessLog::open(&config.log.access, Arc::clone(&metrics)).map_err(ServeError::AccessLog)?;
    let audit =
        AuditLog::open(&config.log.audit, Arc::clone(&metrics)).map_err(ServeError::AuditLog)?;
    let exposures = Switchboard::open(config.state_dir.as_deref());
    let exposures = Arc::new(exposures.map_err(ServeError::Exposures)?);
    let listeners = config.listeners.clone();
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
        closing: closing.clone(),
    };
    core_routes(&mut router, &health);
    let real_addresses: Arc<OnceLock<Bound>> = Arc::default();
    exposure_routes(&mut router, &live, &exposures, {
        let bound = Arc::clone(&real_addresses);
        move |listener| bound.get()?.address(listener)
    });
    // Other rooms add theirs here.
    let admin = match &live.pin().config.admin {
        Some(admin) => Some(
            listen(admin, Arc::new(router))
                .await
                .map_err(ServeError::Admin)?,
        ),
        None => None,
    };
    let front = Arc::new(Front {
        live,
        proxy: proxy(),
        metrics,
        access,
        audit,
        budget: Arc::default(),
        closing,
        exposures,
        bound: real_addresses,
    });
    let timer = tokio::spawn(Arc::clone(&front.exposures).keep_time());

    let mut bound = Bound::default();
    let mut doors = Vec::new();
    for listener in &listeners {
        let admission = Arc::new(Admission::default());
        for address in &listener.bind {
            let socket = bind(*address)?;
            let real = socket.local_addr().unwrap_or(*address);
            bound.0.entry(listener.name.clone()).or_default().push(real);
            doors.push((socket, Arc::clone(listener), Arc::clone(&admission)));
        }
    }
    // Set here alone.
    let _ = front.bound.set(bound.clone());

    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    for (socket, listener, admission) in doors {
        let door = Door {
            front: Arc::clone(&front),
            listener,
            admission,
            alive: alive.clone(),
        };
        tokio::spawn(door.accept(socket));
    }
    drop(alive);
    ready(&bound, &front.metrics);

    shutdown.await;
    // No receiver is left only where nothing is left to close.
    let _ = close.send(true);
    // Every task holds a sender; when the last is gone, nothing comes any more.
    if timeout(patience, all_gone.recv()).await.is_err() {
        tracing::warn!("shutdown_timeout is over, requests in flight are cut off");
    }
    timer.abort();
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

fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bind = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| ServeError::Bind { address, source })
}

/// One bound socket.
struct Door {
    front: Arc<Front>,
    listener: Arc<Listener>,
    admission: Arc<Admission>,
    alive: mpsc::Sender<()>,
}

impl Door {
    async fn accept(self, socket: TcpListener) {
        let mut closing = self.front.closing.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                // An error says that the sender is gone, which is a shutdown too.
                _ = closing.changed() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((tcp, client)) => self.let_in(tcp, client),
                Err(error) => {
                    // Out of descriptors, or a connection that was gone before it was accepted.
                    tracing::warn!(listener = self.listener.name, "cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn let_in(&self, tcp: tokio::net::TcpStream, client: SocketAddr) {
        let metrics = &self.front.metrics;
        let live = self.front.live.pin();
        let listener = live.listener(&self.listener.name).unwrap_or(&self.listener);
        let Some(admitted) = self.admission.admit(client.ip(), &listener.limits) else {
            metrics.connections_refused.count();
            return;
        };
        let open = Open::new(metrics, admitted, self.alive.clone());
        let front = Arc::clone(&self.front);
        let listener = Arc::clone(listener);
        tokio::spawn(async move {
            match listener.kind {
                ListenerKind::Tls { .. } => {
                    connection::serve_tls(front, listener, tcp, client, open).await;
                }
                ListenerKind::Redirect { .. } => {
                    redirect::serve(front, listener, tcp, client).await;
                    drop(open);
                }
            }
        });
    }
}
