//! The proxy. [`serve`] is the way in; the files follow the life of a request:
//!
//! - `server` binds, accepts and drains; `admission` says who may come in
//! - `handshakes` tells of those that came to nothing
//! - `connection` shakes hands and reads one head after the other; `head` reads the bytes, `chunks` those of
//!   a chunked body
//! - `coalesced` is what small writes leave together through; `wrapper` is what it and `chunks` share;
//!   `deadline` is how long a client is waited for
//! - `received` is a request as it came
//! - `exchange` is one request's life: route, rules, body, upstream, log
//! - `body` holds the request's body; `refusal` is what a client gets instead of an answer
//! - `inspect` is the transaction with the rules
//! - `outgoing` is the head the upstream gets
//! - `forward` is pingora's `ProxyHttp`; `replay` is the session it sees, and where responses are inspected
//! - `reloader` takes the next snapshot live, and hands over to the next process; `program` is that one
//! - `workers` are the threads that serve connections
//! - `redirect` is the plain listener; `expiry` looks after certificates and ticket keys

mod admission;
mod body;
mod chunks;
mod coalesced;
mod connection;
mod deadline;
mod doors;
mod exchange;
mod expiry;
mod forward;
mod handshakes;
mod head;
mod inspect;
mod outgoing;
mod program;
mod received;
mod redirect;
mod refusal;
mod reloader;
mod replay;
mod request_id;
mod server;
mod workers;
mod wrapper;

pub use program::Program;
pub use server::{Bound, Opening, ServeError, open, serve};
