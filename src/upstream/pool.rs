//! The servers of one upstream, and whose turn it is.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pingora::protocols::ALPN;

use super::{Cause, Failure, PeerTemplate, diagnose};
use crate::config::{Server, Stream, Upstream};

/// How long a resolved name is taken to hold.
const NAME_AGE: Duration = Duration::from_secs(5);
/// How long a diagnosis is taken to hold, and the least time between two dials for one.
const DIAGNOSIS_AGE: Duration = Duration::from_secs(30);

/// One upstream as it is used.
#[derive(Debug)]
pub struct Pool {
    pub upstream: Arc<Upstream>,
    servers: Vec<ServerState>,
    turn: AtomicUsize,
    h1: PeerTemplate,
    h2: PeerTemplate,
}

/// One server and what is known about it.
#[derive(Debug)]
pub struct ServerState {
    pub server: Server,
    /// `host:port` for logs.
    pub name: String,
    literal: Option<SocketAddr>,
    resolved: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
    diagnosis: Mutex<Option<Diagnosis>>,
}

#[derive(Debug)]
struct Diagnosis {
    at: Instant,
    /// None while somebody dials.
    found: Option<Failure>,
}

impl Pool {
    #[must_use]
    pub fn new(upstream: &Arc<Upstream>) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            servers: upstream.servers.iter().map(ServerState::new).collect(),
            turn: AtomicUsize::new(0),
            h1: PeerTemplate::new(upstream, ALPN::H1),
            h2: PeerTemplate::new(upstream, ALPN::H2),
        }
    }

    /// Where the next request begins to try.
    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The server of the `attempt`th try of a request that began at `turn`.
    #[must_use]
    pub fn server(&self, turn: usize, attempt: usize) -> Option<&ServerState> {
        let index = turn.wrapping_add(attempt).checked_rem(self.servers.len())?;
        self.servers.get(index)
    }

    /// How many servers may be tried for one request.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.upstream.attempts.clamp(1, self.servers.len().max(1))
    }

    /// gRPC needs HTTP/2; all else goes over HTTP/1.1.
    #[must_use]
    pub fn template(&self, stream: Option<Stream>) -> &PeerTemplate {
        match stream {
            Some(Stream::Grpc) => &self.h2,
            _ => &self.h1,
        }
    }

    pub fn servers(&self) -> impl Iterator<Item = &ServerState> {
        self.servers.iter()
    }

    /// More about a failure than the request's own error said: from a dial of our own, at most one
    /// in [`DIAGNOSIS_AGE`] a server; `failure` itself where that learns nothing.
    pub async fn diagnose(&self, server: &ServerState, failure: Failure) -> Failure {
        if !failure.unclear {
            return failure;
        }
        if let Some(known) = server.known_diagnosis() {
            return known.unwrap_or(failure);
        }
        let found = diagnose::dial(&self.upstream, server).await.err();
        server.diagnosed(found.clone());
        found.unwrap_or(failure)
    }
}

impl ServerState {
    fn new(server: &Server) -> Self {
        let host = server.host.trim_start_matches('[').trim_end_matches(']');
        let literal = host.parse::<IpAddr>().ok();
        Self {
            server: server.clone(),
            name: format!("{}:{}", server.host, server.port),
            literal: literal.map(|ip| SocketAddr::new(ip, server.port)),
            resolved: Mutex::new(None),
            diagnosis: Mutex::new(None),
        }
    }

    /// The address to dial; `attempt` walks through the addresses of a name.
    ///
    /// # Errors
    /// The name does not resolve.
    pub async fn address(&self, attempt: usize) -> Result<SocketAddr, Failure> {
        if let Some(literal) = self.literal {
            return Ok(literal);
        }
        let pick = |addresses: &[SocketAddr]| {
            let index = attempt.checked_rem(addresses.len())?;
            addresses.get(index).copied()
        };
        if let Some((at, addresses)) = lock(&self.resolved).as_ref()
            && at.elapsed() < NAME_AGE
            && let Some(address) = pick(addresses)
        {
            return Ok(address);
        }
        let host = (self.server.host.as_str(), self.server.port);
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(host)
            .await
            .map_err(|error| {
                Failure::new(
                    Cause::Dns,
                    format!("the name {} does not resolve: {error}", self.server.host),
                )
            })?
            .collect();
        let address = pick(&addresses).ok_or_else(|| {
            Failure::new(
                Cause::Dns,
                format!("the name {} has no address", self.server.host),
            )
        })?;
        *lock(&self.resolved) = Some((Instant::now(), addresses));
        Ok(address)
    }

    /// None: nothing recent, and the caller is the one to dial. Some(None): somebody is dialling,
    /// or the dial learned nothing.
    fn known_diagnosis(&self) -> Option<Option<Failure>> {
        let mut diagnosis = lock(&self.diagnosis);
        if let Some(known) = diagnosis.as_ref()
            && known.at.elapsed() < DIAGNOSIS_AGE
        {
            return Some(known.found.clone());
        }
        *diagnosis = Some(Diagnosis {
            at: Instant::now(),
            found: None,
        });
        None
    }

    fn diagnosed(&self, found: Option<Failure>) {
        *lock(&self.diagnosis) = Some(Diagnosis {
            at: Instant::now(),
            found,
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is replaced whole, so a poisoned lock holds nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
