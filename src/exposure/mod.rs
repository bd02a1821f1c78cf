//! Exposures: what is reachable from where, who owns it, and the switches that take it off.
//!
//! The configuration says which route on which listener belongs to which exposure ([`crate::route::Exposures`]).
//! Whether an exposure is on is stored here, apart from the configuration, so that neither a reload nor a restart
//! changes it.

pub mod api;
mod callers;
mod diff;
mod limits;
mod setting;
mod shadowed;
mod store;
mod surface;
mod switchboard;

pub use diff::{ChangeKind, SurfaceChange, diff};
pub use limits::SurfaceLimit;
pub use setting::Setting;
pub use shadowed::{ShadowedPath, shadowed_paths};
pub use store::{StateError, StoreError, recent_audit};
pub use surface::{Surface, SurfaceError, SurfaceExposure, SurfaceIdentity, SurfaceRoute};
pub use switchboard::{SetError, Switchboard};
