//! The start, the reloads, the hand-over and the end of a front door.
//!
//! - `server` starts it and ends it; `error` says why it does not start
//! - `reloader` takes the next snapshot live, and hands over to the next process; `program` is that process
//! - `signing` makes the key of tokens for gateways and writes the public ones
//! - `issuers` fetches what issuers of tokens publish
//! - `expiry` watches certificates and renews ticket keys

mod error;
mod expiry;
mod issuers;
mod program;
mod reloader;
mod server;
mod signing;

pub use error::ServeError;
pub use program::Program;
pub use server::{Opening, open, serve};
