//! The proxy. [`serve`] is the way in. Its rooms, in the order in which a request walks through them; each imports only
//! those below it:
//!
//! - `lifecycle` starts, reloads, hands over and drains
//! - `listener` has the listening sockets, accepts connections and gives them to worker threads
//! - `connection` makes the handshake and takes one request after the other
//! - `request` is one request: route, rules, body, upstream, access line
//! - `forward` is the way to the gateway and back, through pingora
//! - `inspection` is the transaction with the rules
//! - `shared` is what they all know: the front door's state, a connection's facts, a request as it came, refusals

mod connection;
mod forward;
mod inspection;
mod lifecycle;
mod listener;
mod request;
mod shared;

pub use lifecycle::{Opening, Program, ServeError, open, serve};
pub use listener::BindError;
pub use shared::front::BoundAddresses;
