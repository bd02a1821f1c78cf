//! A client's connection, from its handshake to its end.
//!
//! - `tls` makes the handshake and chooses HTTP/1.x or HTTP/2; `plain` serves a connection without TLS
//! - `h1` and `h2` take one request after the other from it
//! - `head` reads the bytes of an HTTP/1.x head, `chunks` checks those of a chunked body
//! - `frames` watches what an HTTP/2 connection is made of: `flood` says how many frames may come, `header_blocks`
//!   finds what the h2 crate does not report
//! - `malformed` makes a request of a head, and is for heads that are none; `closing` is for the end

pub(super) mod plain;
pub(super) mod tls;

mod chunks;
mod closing;
mod flood;
mod frames;
mod h1;
mod h2;
mod head;
mod header_blocks;
mod malformed;
