//! The admin API on loopback: health, metrics, state, switches.
//!
//! Other modules add to a [`Router`] what they show and switch; [`listen`] serves it on a loopback address or a unix
//! socket.
//!
//! Invariants: only a POST changes something; over TCP a POST needs the token of `admin_token_file`, and so does a GET that
//! shows what clients sent; no other answer holds a secret; every request is bounded in size and time.

mod access;
mod actions;
pub mod client;
mod collector;
mod connection;
mod exposition;
mod exposures;
mod fields;
mod files;
mod gateways;
mod issuers;
mod latency;
mod limits;
mod metrics;
mod process;
mod records;
mod review;
mod router;
mod rules;
mod server;
mod shadow;
mod signing;
mod slots;
mod sources;
mod traffic;
mod views;

pub(crate) use access::{bearer_token, names_us};
pub(crate) use actions::Actions;
pub use collector::add_collector;
pub(crate) use connection::{AnswerBody, Protocol, read_body, serve, whole_body};
pub use exposition::{Exposition, ExpositionFormat};
pub use exposures::add_exposure_routes;
pub(crate) use exposures::with_user_name;
pub(crate) use fields::Fields;
pub use gateways::add_gateway_routes;
pub use issuers::add_issuers;
pub use latency::add_traffic_routes;
pub(crate) use latency::quantile_of;
pub use limits::add_limit_routes;
pub use records::add_record_routes;
pub use review::add_review_routes;
pub use router::{CheckFailure, Method, Request, Response, Router};
pub use server::{AdminSocket, adopt, listen};
pub use shadow::add_shadow_routes;
pub use signing::add_signing;
pub(crate) use slots::{ConnectionSlots, Slot};
pub use sources::StatusSources;
pub use views::add_core_routes;
