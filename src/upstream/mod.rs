//! Pools of servers: which servers there are, whether they are healthy, whose turn it is, which peer is dialled, and
//! why a dial failed.

mod affinity;
mod balance;
mod caps;
pub mod diagnose;
pub mod examined;
mod failure;
mod health;
mod names;
mod own;
mod peer;
mod pool;
mod pools;
pub mod rehearsed;
mod server;
mod settings;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use caps::{AdmissionReason, AdmissionRefusal, Permit};
pub use failure::{Cause, Failure, classify};
pub use own::OwnConnections;
pub use peer::{IdentityCheck, PeerTemplate, check_identity, socket};
pub use pool::Pool;
pub use pools::Pools;
pub use server::{Availability, Lease, ServerState};
pub use settings::{
    Affinity, AffinityKey, Balance, Balancing, Caps, ConnectionAuth, Ejection, HealthCheck, Server,
    Upstream, UpstreamTls,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock is used all the same: no code here panics with a value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
