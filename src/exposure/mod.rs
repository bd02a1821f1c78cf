//! Exposure as a switch: what is reachable from where, who answers for it, and how it is taken off.
//!
//! Which route on which listener belongs to which exposure is the configuration's to say
//! ([`crate::route::Exposures`]); whether it is on is kept here, apart from it, so that neither a
//! reload nor a restart changes it.

pub mod api;
mod diff;
mod keeper;
mod kept_back;
mod surface;
mod switchboard;

pub use diff::{Change, ChangeKind, diff};
pub use keeper::KeepError;
pub use kept_back::{KeptBack, kept_back};
pub use surface::Surface;
pub use switchboard::{SetError, Setting, Switchboard};
