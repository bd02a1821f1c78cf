//! What the rooms above share. Nothing here imports another room of the proxy.
//!
//! - `front` is what all requests share, `connection` what those of one connection share
//! - `received` is a request as it came, `refusal` what a client gets in place of an answer, `page` how it looks, `request_id`
//!   its name
//! - `field_edits` changes header fields as listeners and routes say
//! - `access_record` begins the access line
//! - `admission` limits connections, `body_memory` the memory for bodies, `inspection_threads` long inspections
//! - `shadow` shows requests that were answered to the shadows of policies
//! - `handshakes` counts and logs failed handshakes
//! - `logins` keeps a gateway connection to the client that logged in on it
//! - `socket` sets what the kernel does for a client's connection; `ahead` notices a client that leaves; `coalesced`
//!   joins small writes; `wrapper` is what these streams have in common; `deadline` says how long a client is waited
//!   for

pub(super) mod access_record;
pub(super) mod admission;
pub(super) mod ahead;
pub(super) mod body_memory;
pub(super) mod coalesced;
pub(super) mod connection;
pub(super) mod deadline;
pub(super) mod field_edits;
pub(super) mod front;
pub(super) mod handshakes;
pub(super) mod inspection_threads;
pub(super) mod logins;
pub(super) mod page;
pub(super) mod received;
pub(super) mod refusal;
pub(super) mod refusal_code;
pub(super) mod request_id;
pub(super) mod shadow;
pub(super) mod socket;
pub(super) mod wrapper;
