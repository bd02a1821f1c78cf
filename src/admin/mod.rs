//! The loopback API: health, metrics, state, switches.
//!
//! A [`Router`] is filled by the rooms that have something to tell or to switch, and served by
//! [`listen`] on a loopback address or a unix socket. What changes something is a POST; over TCP it
//! needs the token of `admin_token_file`. Nothing that is secret is ever in an answer.

pub mod client;
mod exposition;
mod exposures;
mod places;
mod process;
mod router;
mod server;
mod traffic;
mod views;

pub use exposition::{Exposition, Kind};
pub use exposures::exposure_routes;
pub use router::{Method, Request, Response, Router};
pub use server::{AdminSocket, adopt, listen};
pub use views::{Health, core_routes};
