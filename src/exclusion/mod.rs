//! Exclusions: from a blocked request to one that is proven, written with its tests, and tested at every load.
//!
//! Nobody trusts a rule that says what is not inspected, unless it shows what it lets through. So each exclusion here is
//! tried before it is shown, and its tests stay with it. This room knows rules and requests, no sockets and no
//! configuration: whoever calls it compiles the rules.

mod attacks;
mod candidates;
mod check;
mod credentials;
pub mod lint;
mod multipart;
mod place;
mod probes;
mod proof;
mod propose;
mod record;
mod scope;
mod target;
#[cfg(test)]
mod tests;
mod trial;
mod values;
mod write;

pub use attacks::Class;
pub use candidates::{Candidate, Kind};
pub use check::check;
pub use proof::{Extent, Opened, Proof, Recorded, Tally};
pub use propose::{Compile, Proposals, ProposeError, propose};
pub use record::{Day, Entry, NoDay, Purpose, is_guard, parse, tests_of};
pub use scope::Scope;
pub use write::{Written, free_id};
