//! The proxy. [`serve`] is the way in; the files follow the life of a request:
//!
//! - `server` binds, accepts and drains; `admission` says who may come in
//! - `handshakes` tells of those that came to nothing
//! - `connection` shakes hands and reads one head after the other; `head` reads the bytes, `chunks` those of
//!   a chunked body
//! - `socket` is what the kernel does for a client's connection; `ahead` notices a client that leaves while it waits;
//!   `coalesced` is what small writes leave together through; `wrapper` is what these and `chunks` share;
//!   `deadline` is how long a client is waited for, `activity` how long a stream may be silent
//! - `http2` accepts the streams of an HTTP/2 connection; `frames` are what it is made of, `flood` says how many may come,
//!   and `header_blocks` sees in them what the h2 crate does not tell
//! - `received` is a request as it came
//! - `exchange` is one request's life: route, rules, body, upstream, log
//! - `body` holds the request's body; `refusal` is what a client gets instead of an answer
//! - `inspect` is the transaction with the rules; `inspections` are the threads where long ones run
//! - `outgoing` is the head the upstream gets; `fields` says what of the client's is left out of it; `answer`
//!   checks the head that comes back
//! - `logins` keeps a gateway connection to the client that logged in on it
//! - `forward` is pingora's `ProxyHttp`; `replay` is the session it sees, and where responses are inspected;
//!   `pacing` is how much of a body a gateway takes now; `contained` is where a panic of pingora ends
//! - `reloader` takes the next snapshot live, and hands over to the next process; `program` is that one
//! - `workers` are the threads that serve connections
//! - `redirect` is the plain listener; `expiry` looks after certificates and ticket keys

mod activity;
mod admission;
mod ahead;
mod answer;
mod body;
mod chunks;
mod coalesced;
mod connection;
mod contained;
mod deadline;
mod doors;
mod exchange;
mod expiry;
mod fields;
mod flood;
mod forward;
mod frames;
mod handshakes;
mod head;
mod header_blocks;
mod http2;
mod inspect;
mod inspections;
mod logins;
mod outgoing;
mod pacing;
mod program;
mod received;
mod redirect;
mod refusal;
mod reloader;
mod replay;
mod request_id;
mod server;
mod socket;
mod workers;
mod wrapper;

pub use fields::{Dropped, FIELD_RULES, FieldRule, field_rule};
pub use program::Program;
pub use server::{Bound, Opening, ServeError, open, serve};
