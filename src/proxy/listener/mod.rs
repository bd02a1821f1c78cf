//! Where clients come in.
//!
//! - `listener_set` has the listening sockets and follows the configuration; `acceptor` accepts from one of them
//! - `workers` are the threads that serve connections
//! - `redirect` is the listener without TLS

mod acceptor;
mod listener_set;
mod redirect;
mod workers;

pub use listener_set::BindError;
pub(super) use listener_set::ListenerSet;
pub(super) use workers::Workers;
