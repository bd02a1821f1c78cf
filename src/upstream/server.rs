//! One address that is dialled, and its state: whether it is healthy, ejected, and how many requests it has.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Ejection, Failure, HealthCheck, lock};

/// How long a diagnosis is valid, and the shortest time between two dials for one.
const DIAGNOSIS_AGE: Duration = Duration::from_secs(30);

/// One server: a configured address, or one of the addresses of a configured name.
#[derive(Debug)]
pub struct ServerState {
    /// `host:port` for logs; with the address after it where the host is a name.
    pub name: String,
    /// Where it is dialled.
    pub address: SocketAddr,
    /// Its share of the requests.
    pub weight: u32,
    /// Its id in an affinity cookie; None without affinity.
    pub token: Option<String>,
    /// `upstream orders 10.0.0.1:443`, for logs.
    label: String,
    /// Smooth weighted round robin: who has the most is next.
    pub(super) credit: AtomicI64,
    in_flight: AtomicUsize,
    standing: Mutex<Standing>,
    diagnosis: Mutex<Option<Diagnosis>>,
}

/// Whether requests go to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It gets requests.
    Usable,
    /// Its requests failed; it gets none for a while.
    Ejected,
    /// Its health checks failed.
    Down,
}

#[derive(Debug, Default)]
struct Standing {
    down: bool,
    /// Consecutive health checks whose result contradicts `down`.
    streak: u32,
    /// Why the last health check failed.
    complaint: Option<Failure>,
    /// Consecutive requests that failed.
    failures: u32,
    ejected_until: Option<Instant>,
}

#[derive(Debug)]
struct Diagnosis {
    at: Instant,
    /// None while a dial is under way, or if it found nothing.
    found: Option<Failure>,
}

/// Whether to find out the cause of a failure by a dial of our own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DiagnosisClaim {
    /// The caller must dial.
    Dial,
    /// A recent dial found this.
    Found(Failure),
    /// A recent dial found nothing or is still under way.
    Nothing,
}

/// A request that a server has; it no longer counts once this is dropped.
#[derive(Debug)]
pub struct Lease(Arc<ServerState>);

impl Lease {
    pub(super) fn new(server: Arc<ServerState>) -> Self {
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }

    /// The server that is used.
    #[must_use]
    pub fn server(&self) -> &Arc<ServerState> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ServerState {
    pub(super) fn new(
        upstream: &str,
        name: String,
        address: SocketAddr,
        weight: u32,
        token: Option<String>,
    ) -> Self {
        Self {
            label: format!("upstream {upstream} {name}"),
            name,
            address,
            weight,
            token,
            credit: AtomicI64::new(0),
            in_flight: AtomicUsize::new(0),
            standing: Mutex::default(),
            diagnosis: Mutex::new(None),
        }
    }

    /// Requests that it has now, including streams.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it gets requests now.
    #[must_use]
    pub fn availability(&self) -> Availability {
        let standing = lock(&self.standing);
        match standing.ejected_until {
            // Down first: an ejected server may be used as a last resort, one that is down may not.
            _ if standing.down => Availability::Down,
            Some(until) if until > Instant::now() => Availability::Ejected,
            _ => Availability::Usable,
        }
    }

    /// Why its last health check failed, if it did.
    #[must_use]
    pub fn complaint(&self) -> Option<Failure> {
        lock(&self.standing).complaint.clone()
    }

    /// Takes the result of a health check. True if it changed whether the server gets requests.
    pub(super) fn checked(&self, health: &HealthCheck, result: Result<(), Failure>) -> bool {
        let mut standing = lock(&self.standing);
        let passed = result.is_ok();
        standing.complaint = result.err();
        if passed != standing.down {
            // The result confirms the known state and ends a series of opposite ones.
            standing.streak = 0;
            return false;
        }
        standing.streak += 1;
        let needed = if passed {
            health.healthy
        } else {
            health.unhealthy
        };
        if standing.streak < needed {
            return false;
        }
        let checks = standing.streak;
        standing.streak = 0;
        standing.down = !passed;
        match &standing.complaint {
            Some(failure) => tracing::error!(
                target: "upstream",
                code = failure.cause.code(),
                "{} is down: {checks} health checks in a row failed, the last: {failure}",
                self.label
            ),
            None => tracing::info!(
                target: "upstream",
                "{} is up again: {checks} health checks in a row passed",
                self.label
            ),
        }
        true
    }

    /// A request was answered.
    pub(super) fn succeeded(&self) {
        let mut standing = lock(&self.standing);
        standing.failures = 0;
        if standing.ejected_until.take().is_some() {
            tracing::info!(target: "upstream", "{} answers again", self.label);
        }
    }

    /// A request failed. True if the server has failed too often and must be ejected, unless it is the last one.
    pub(super) fn failed_too_often(&self, eject: &Ejection) -> bool {
        let mut standing = lock(&self.standing);
        if standing
            .ejected_until
            .is_some_and(|until| until > Instant::now())
        {
            // The request was under way when the server was ejected; it must not make the time longer.
            return false;
        }
        standing.failures = standing.failures.saturating_add(1);
        standing.failures >= eject.failures
    }

    /// Ejects the server for a while. After that, the first failure is enough to eject it again.
    pub(super) fn eject(&self, eject: &Ejection, last: &Failure) {
        let mut standing = lock(&self.standing);
        standing.ejected_until = Some(Instant::now() + eject.duration);
        // `failures` is at least 1; the configuration checks it.
        let failures = std::mem::replace(&mut standing.failures, eject.failures - 1);
        tracing::warn!(
            target: "upstream",
            code = last.cause.code(),
            "{} is taken out for {} s: {failures} requests in a row failed, the last: {last}",
            self.label,
            eject.duration.as_secs_f32()
        );
    }

    /// It failed too often and stays, because there is no other.
    pub(super) fn spare(&self, eject: &Ejection, last: &Failure) {
        // From the start again: otherwise each further failure would log this.
        lock(&self.standing).failures = 0;
        tracing::warn!(
            target: "upstream",
            code = last.cause.code(),
            "{} stays although {} requests in a row failed: no other server is there; the last: {last}",
            self.label,
            eject.failures
        );
    }

    /// What the last dial found, or the task to dial. The caller who gets that task reports with [`Self::diagnosed`].
    pub(super) fn claim_diagnosis(&self) -> DiagnosisClaim {
        let mut diagnosis = lock(&self.diagnosis);
        if let Some(known) = diagnosis.as_ref()
            && known.at.elapsed() < DIAGNOSIS_AGE
        {
            return match &known.found {
                Some(failure) => DiagnosisClaim::Found(failure.clone()),
                None => DiagnosisClaim::Nothing,
            };
        }
        // Stored before the dial, so that other requests that fail meanwhile do not dial too.
        *diagnosis = Some(Diagnosis {
            at: Instant::now(),
            found: None,
        });
        DiagnosisClaim::Dial
    }

    pub(super) fn diagnosed(&self, found: Option<Failure>) {
        *lock(&self.diagnosis) = Some(Diagnosis {
            at: Instant::now(),
            found,
        });
    }
}
