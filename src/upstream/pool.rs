//! The servers of one upstream: which there are, whose turn it is, and what is known of them.
//! Invariants: the list of servers is replaced, never changed, so a request sees one list; a server keeps its state as
//! long as its name and address stay.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pingora::protocols::ALPN;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::caps::{AdmissionReason, AdmissionRefusal, Gate, Permit, seconds};
use super::names::Name;
use super::server::{Availability, DiagnosisClaim, Lease};
use super::{
    Cause, Failure, PeerTemplate, Server, ServerState, Upstream, affinity, balance, diagnose,
    health, lock,
};
use crate::route::Stream;
use crate::supervision::{Ended, supervise};
use crate::telemetry::UpstreamMetrics;

/// Names that are due at nearly the same time are looked up together.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// One upstream in use.
#[derive(Debug)]
pub struct Pool {
    /// Its settings.
    pub upstream: Arc<Upstream>,
    /// Its counters; they outlive a reload.
    pub metrics: Arc<UpstreamMetrics>,
    names: Vec<Name>,
    /// One for each address of each name.
    servers: ArcSwap<Vec<Arc<ServerState>>>,
    gate: Gate,
    h1: PeerTemplate,
    h2: PeerTemplate,
    /// Held while a server is chosen or taken out, so that two cannot take out the last two.
    choosing: Mutex<()>,
    /// Held during lookups, so that requests that wait for the same names share one.
    resolving: tokio::sync::Mutex<()>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Pool {
    /// A pool whose tasks do not run yet.
    #[must_use]
    pub fn new(upstream: &Arc<Upstream>, metrics: Arc<UpstreamMetrics>) -> Self {
        let pool = Self {
            upstream: Arc::clone(upstream),
            metrics,
            names: upstream.servers.iter().map(Name::new).collect(),
            servers: ArcSwap::default(),
            gate: Gate::new(&upstream.balancing.caps),
            h1: PeerTemplate::new(upstream, ALPN::H1),
            h2: PeerTemplate::new(upstream, ALPN::H2),
            choosing: Mutex::default(),
            resolving: tokio::sync::Mutex::default(),
            tasks: Mutex::default(),
        };
        // Servers that are named by address need no lookup.
        pool.list_servers();
        pool
    }

    /// Starts the tasks beside the requests: health checks and lookups of names. Needs a tokio runtime. A second call
    /// does nothing.
    pub fn start(self: &Arc<Self>) {
        let mut tasks = lock(&self.tasks);
        if !tasks.is_empty() || !self.upstream.live {
            return;
        }
        if self.names.iter().any(|name| !name.literal) {
            // Weak: the tasks must not keep alive the pool whose drop ends them.
            let pool = Arc::downgrade(self);
            let task = supervise("names of upstreams", move || refresh(Weak::clone(&pool)));
            let task = tokio::spawn(task);
            tasks.push(task.abort_handle());
        }
        if self.upstream.balancing.health.is_some() {
            let pool = Arc::downgrade(self);
            let task = supervise("health checks", move || health::watch(Weak::clone(&pool)));
            let task = tokio::spawn(task);
            tasks.push(task.abort_handle());
        }
    }

    /// Ends what [`Pool::start`] started. Requests may go on.
    pub fn stop(&self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }

    /// The servers as they are now.
    #[must_use]
    pub fn servers(&self) -> Arc<Vec<Arc<ServerState>>> {
        self.servers.load_full()
    }

    /// Admits a request or says why not. Waits if the limits say so.
    ///
    /// # Errors
    /// It is to be answered 503.
    pub async fn admit(&self) -> Result<Permit, AdmissionRefusal> {
        if !self.upstream.live {
            self.metrics.refused_not_live.count();
            return Err(AdmissionRefusal {
                reason: AdmissionReason::NotLive,
                words: "it was refused when it came, see /readyz?verbose; its files are watched"
                    .to_owned(),
                retry_after: 1,
            });
        }
        self.resolve_if_empty().await;
        // Checked before the limits: nobody should wait in a queue for servers that are all down.
        let servers = self.servers.load();
        let down = |server: &Arc<ServerState>| server.availability() == Availability::Down;
        if !servers.is_empty() && servers.iter().all(down) {
            self.metrics.refused_down.count();
            let interval = self
                .upstream
                .balancing
                .health
                .as_ref()
                .map(|health| health.interval);
            return Err(AdmissionRefusal {
                reason: AdmissionReason::NoServer,
                words: all_down(&servers),
                retry_after: seconds(interval.unwrap_or_default()),
            });
        }
        drop(servers);
        self.gate.enter(&self.metrics).await
    }

    /// The server for a request's next try: the one that the client's cookie names, if it may be used, otherwise the
    /// one whose turn it is among those not `tried`.
    ///
    /// # Errors
    /// No server may be used.
    pub fn choose(
        &self,
        tried: &[Arc<ServerState>],
        pinned: Option<&str>,
    ) -> Result<Lease, Failure> {
        let _alone = lock(&self.choosing);
        let servers = self.servers.load();
        let candidates = candidates(&servers, tried);
        let pinned = pinned.and_then(|token| {
            let mut candidates = candidates.iter();
            candidates.find(|server| server.token.as_deref() == Some(token))
        });
        let chosen = match pinned {
            Some(server) => Some(Arc::clone(server)),
            None => balance::choose(self.upstream.balancing.balance, &candidates),
        };
        chosen.map(Lease::new).ok_or_else(|| {
            let unresolved = self.names.iter().find_map(Name::failure);
            // A name that does not resolve explains an empty list, not servers that are down.
            match unresolved.filter(|_| servers.is_empty()) {
                Some(failure) => failure,
                None => Failure::new(Cause::NoServer, all_down(&servers)),
            }
        })
    }

    /// The server of this name, if it may be used.
    #[must_use]
    pub fn lease(&self, server: &str) -> Option<Lease> {
        let candidates = candidates(&self.servers.load(), &[]);
        let mut candidates = candidates.into_iter();
        candidates
            .find(|known| known.name == server)
            .map(Lease::new)
    }

    /// Whether a request that tried these may try another.
    #[must_use]
    pub fn may_try_another(&self, tried: &[Arc<ServerState>]) -> bool {
        tried.len() < self.upstream.attempts && !candidates(&self.servers.load(), tried).is_empty()
    }

    /// The server answered with this status.
    pub fn answered(&self, server: &ServerState, status: u16) {
        self.metrics.answers.count(status);
        let counts = self
            .upstream
            .balancing
            .eject
            .as_ref()
            .map(|eject| eject.server_errors);
        if counts == Some(true) && status >= 500 {
            let failure = Failure::new(Cause::Status, format!("answered {status}"));
            return self.failed(server, &failure);
        }
        server.succeeded();
    }

    /// The server could not be reached, was not who it should be, or did not answer.
    pub fn failed(&self, server: &ServerState, failure: &Failure) {
        let Some(eject) = &self.upstream.balancing.eject else {
            return;
        };
        let _alone = lock(&self.choosing);
        if !server.failed_too_often(eject) {
            return;
        }
        let others = self.servers.load();
        let mut others = others.iter().filter(|o| !std::ptr::eq(o.as_ref(), server));
        // If the last usable server were ejected too, a short failure of it would take the upstream down for the whole
        // duration.
        if others.any(|other| other.availability() == Availability::Usable) {
            self.metrics.ejections.count();
            server.eject(eject, failure);
        } else {
            server.spare(eject, failure);
        }
    }

    /// The id of a server in a request's cookies, whether or not the server exists.
    pub fn pinned<'h>(
        &self,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Option<String> {
        affinity::find(self.upstream.balancing.affinity.as_ref()?, headers)
    }

    /// The value of Set-Cookie for a request that this server answered; None if the client has it already or gets none.
    #[must_use]
    pub fn set_cookie(&self, server: &ServerState, pinned: Option<&str>) -> Option<String> {
        let (affinity, token) = (
            self.upstream.balancing.affinity.as_ref()?,
            server.token.as_deref()?,
        );
        (pinned != Some(token)).then(|| affinity::set_cookie(affinity, token))
    }

    /// gRPC needs HTTP/2; everything else goes over HTTP/1.1.
    #[must_use]
    pub fn template(&self, stream: Option<Stream>) -> &PeerTemplate {
        match stream {
            Some(Stream::Grpc) => &self.h2,
            _ => &self.h1,
        }
    }

    /// Explains a failure better than the request's own error did, by a dial of our own, at most once in 30 seconds for
    /// each server; `failure` itself if the dial finds nothing.
    pub async fn diagnose(&self, server: &ServerState, failure: Failure) -> Failure {
        if !failure.unclear {
            return failure;
        }
        match server.claim_diagnosis() {
            DiagnosisClaim::Found(found) => return found,
            DiagnosisClaim::Nothing => return failure,
            DiagnosisClaim::Dial => {}
        }
        let found = diagnose::dial(&self.upstream, server.address).await.err();
        server.diagnosed(found.clone());
        found.unwrap_or(failure)
    }

    /// Asks for all names now.
    pub async fn resolve(&self) {
        let _alone = self.resolving.lock().await;
        self.resolve_names(|_| true).await;
    }

    /// Every server and where it is, or why that is not known. Asks for all names now.
    pub async fn locate(&self) -> Vec<(String, Result<SocketAddr, Failure>)> {
        self.resolve().await;
        let mut located = Vec::new();
        for name in &self.names {
            let addresses = name.addresses();
            if let ([], Some(failure)) = (addresses.as_slice(), name.failure()) {
                let Server { host, port, .. } = &name.server;
                located.push((format!("{host}:{port}"), Err(failure)));
            }
            let addresses = addresses.into_iter();
            located.extend(addresses.map(|address| (name.label(address), Ok(address))));
        }
        located
    }

    async fn resolve_due(&self) {
        let _alone = self.resolving.lock().await;
        let now = Instant::now();
        self.resolve_names(|name| name.due().is_some_and(|due| due <= now))
            .await;
    }

    async fn resolve_names(&self, wanted: impl Fn(&Name) -> bool) {
        let upstream = &self.upstream;
        let mut changed = false;
        for name in self.names.iter().filter(|name| wanted(name)) {
            changed |= name.resolve(&upstream.name, &upstream.balancing).await;
        }
        if changed {
            self.list_servers();
        }
    }

    /// Requests wait for lookups only if there is no server at all.
    async fn resolve_if_empty(&self) {
        if !self.servers.load().is_empty() {
            return;
        }
        let _alone = self.resolving.lock().await;
        // Whoever held the lock before may have resolved the names, or failed to a moment ago.
        let asked = self.names.iter().all(Name::failed_just_now);
        if self.servers.load().is_empty() && !asked {
            self.resolve_names(|_| true).await;
        }
    }

    /// Makes the list from the names' addresses. A server that was there before keeps its state.
    fn list_servers(&self) {
        let _alone = lock(&self.choosing);
        let old = self.servers.load();
        let mut servers: Vec<Arc<ServerState>> = Vec::new();
        for name in &self.names {
            let host = &name.server;
            for address in name.addresses() {
                let text = name.label(address);
                // The text holds the address too: a name that moved is another server.
                let known = old.iter().find(|server| server.name == text);
                let server = known.cloned().unwrap_or_else(|| {
                    let token = self.token(&text);
                    let upstream = &self.upstream.name;
                    Arc::new(ServerState::new(
                        upstream,
                        text,
                        address,
                        host.weight,
                        token,
                    ))
                });
                servers.push(server);
            }
        }
        self.servers.store(Arc::new(servers));
    }

    fn token(&self, server: &str) -> Option<String> {
        let affinity = self.upstream.balancing.affinity.as_ref()?;
        let token = affinity::token(affinity, &self.upstream.name, server);
        let failed = |error| {
            tracing::error!(target: "upstream", "upstream {}: no affinity: {error}", self.upstream.name);
        };
        token.map_err(failed).ok()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The servers that may be used; if there are none, those that are ejected. A retry never goes to an ejected one.
fn candidates(servers: &[Arc<ServerState>], tried: &[Arc<ServerState>]) -> Vec<Arc<ServerState>> {
    let untried = |server: &&Arc<ServerState>| !tried.iter().any(|t| Arc::ptr_eq(t, server));
    let that_are = |wanted| {
        let found = servers.iter().filter(untried);
        let found = found.filter(|server| server.availability() == wanted);
        found.cloned().collect::<Vec<_>>()
    };
    let usable = that_are(Availability::Usable);
    match usable.is_empty() && tried.is_empty() {
        true => that_are(Availability::Ejected),
        false => usable,
    }
}

/// Why there is no server, for the log.
fn all_down(servers: &[Arc<ServerState>]) -> String {
    // A log line should stay readable.
    const MOST: usize = 4;
    let down = servers.iter().take(MOST).map(|server| {
        let complaint = server.complaint();
        let why = complaint.map_or_else(|| "down".to_owned(), |failure| failure.words);
        format!("{}: {why}", server.name)
    });
    let down: Vec<String> = down.collect();
    format!("no server is up ({})", down.join("; "))
}

async fn refresh(pool: Weak<Pool>) -> Ended {
    loop {
        let Some(alive) = pool.upgrade() else {
            return Ended::Over;
        };
        alive.resolve_due().await;
        let Some(due) = alive.names.iter().filter_map(Name::due).min() else {
            return Ended::Over;
        };
        // While it sleeps the task must not keep the pool alive.
        drop(alive);
        let left = due.saturating_duration_since(Instant::now());
        sleep(left.max(LEAST_PAUSE)).await;
    }
}
