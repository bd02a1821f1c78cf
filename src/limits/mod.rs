//! Limits by key: how often, by whom, and what follows.
//!
//! A [`Limit`] has a rate, a burst and a key that is made of parts of a request; each value of the key has a bucket of its
//! own. A request asks every limit that applies to it, and the strictest refusal wins ([`Charges`]). What a request took is
//! given back if another limit refuses it.
//!
//! Invariants: memory is bounded by `max_keys`, whatever clients send; a bucket is found by a keyed hash, so that no key is
//! stored; a part that a request lacks, or has twice, counts as the empty value, which all such requests share.
//!
//! Buckets change in three places only: `Limit::take`, `Limit::give_back` and `Limit::charge`.

mod charges;
mod error;
mod gcra;
mod key;
mod limit;
mod near;
mod settings;
mod table;

pub use charges::{Charges, End, LimitFields, LimitRefusal};
pub use error::SettingsError;
pub use key::{Facts, Head, KeyPart};
pub use limit::{BucketReport, Counts, Limit, now};
pub use settings::{Action, Count, LimitSettings, Rate};
