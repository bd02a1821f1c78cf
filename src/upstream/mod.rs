//! Pools of servers, the peer that is dialled, and why a dial failed.

pub mod diagnose;
mod failure;
mod peer;
mod pool;

pub use failure::{Cause, Failure, classify};
pub use peer::{IdentityCheck, PeerTemplate, check_identity};
pub use pool::{Pool, ServerState};
