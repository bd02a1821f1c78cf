//! Reloads: notices that files changed, and prepares the next snapshot from them.
//!
//! Whatever asks for a reload goes through [`Reloads`]. The reloader of the front door prepares the next snapshot
//! beside the one that serves, takes it live, and records the outcome. A broken file never ends a reload: the
//! part that needs it keeps its last good version.

mod changes;
mod notified;
mod prepare;
mod requests;
pub mod systemd;
pub mod watch;

pub use changes::{changes, text as changes_text};
pub use prepare::{PreparedReload, prepare, refuse_all, watched_at_start};
pub use requests::{ReloadOutcome, ReloadRequest, Reloads, Trigger, UnderWay};
pub use watch::Watched;

pub use crate::config::{Refused, Unit};
