//! Requests that are kept because they matter: blocked ones, those that would have been blocked, those that were not
//! wholly inspected, and a sample of the others.
//!
//! A front door appends them to segments in a folder of its own; the command line reads the segments of all. Invariants:
//! a request never waits for the disk; what was written before a kill or a full disk is read afterwards; the folder
//! grows no larger and its records no older than the settings say.

mod age;
mod claims;
mod draft;
pub mod event;
mod folder;
mod found;
mod raw;
mod reader;
mod recorder;
pub mod segment;
mod settings;
mod store;

pub use age::{NoRecipient, Recipient};
pub use claims::{CallerFacts, SeenClaim, SeenClaims};
pub use draft::{Draft, text};
pub use event::{
    Blocked, Details, Event, Hit, Inspected, Match, Milliseconds, Payload, RuleCost,
    ShadowDifference, Summary, Upstream, Verdict,
};
pub use folder::FOLDER;
pub use found::{hits, inbound_score, matches, outbound_score, secrets};
pub use reader::{Found, NewestQuery, Place, find, find_by_id, find_newest};
pub use recorder::{Recorder, is_sampled};
pub use settings::{EventSettings, PayloadForm};

#[cfg(test)]
mod tests;
