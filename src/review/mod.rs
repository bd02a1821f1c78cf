//! What the security team asks of requests that were kept, or that it has in files: which there are, what rules did with
//! them, what other rules would do, what an exclusion would let pass.
//!
//! The answers are data, and JSON. The command line and the admin API ask here, so that both say the same.

mod chunks;
pub(crate) mod error;
pub(crate) mod escape;
pub(crate) mod events;
pub(crate) mod exclude;
pub(crate) mod explanation;
pub(crate) mod limits;
pub(crate) mod lint;
pub(crate) mod policy;
pub(crate) mod replay;

pub use self::replay::{EntryFault, Har, HarError, RawRequest};
