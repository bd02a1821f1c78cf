//! What the tests of all crates share.
//!
//! `materials` finds what is not part of the project, `ports` where nobody listens; with the feature `corpus` the CRS's own tests run. With `front` there
//! are gateways (`upstream`, `gateway`), a `client`, certificates (`pki`) and configurations (`setup`) for tests of the
//! front door. It does not depend on the front door, so that an edit there does not rebuild it.

#[cfg(feature = "front")]
pub mod client;
#[cfg(feature = "corpus")]
pub mod corpus;
#[cfg(feature = "front")]
pub mod forward_proxy;
#[cfg(feature = "front")]
pub mod gateway;
pub mod materials;
#[cfg(feature = "front")]
pub mod pki;
pub mod ports;
#[cfg(feature = "front")]
pub mod setup;
#[cfg(feature = "front")]
pub mod upstream;
#[cfg(feature = "front")]
pub mod wait;
