//! Drawbridge: a public front door for private APIs.
//!
//! The house, top to bottom; what is below never imports what is above:
//!
//! - [`cli`] one file a verb
//! - [`proxy`] the only room that knows pingora's `ProxyHttp`
//! - [`admin`] the loopback API: health, metrics, switches
//! - [`reload`] what changed on disk, and taking it live
//! - [`handover`] the listening sockets go to the next process
//! - [`live`] the [`live::Snapshot`] a request is pinned to
//! - [`upstream`] pools of servers and the peer that is dialled
//! - [`exposure`] the switches of what is reachable, and what a change makes reachable
//! - [`config`] what the user wrote, and what is ready to run
//! - [`route`] host + path + method -> route; pure
//! - [`tls`] certificates, trust bundles, x509 reasons in words
//! - [`telemetry`] access log, audit log, counters
//! - [`supervision`] long-lived tasks begin again
//! - [`ftw`] the CRS's regression tests: their format and how to run them
//! - [`http`] strictness over the raw request head; pure
//! - [`waf`] the engine; knows no socket, no pingora, no openssl, no tokio, no config
//! - [`seclang`] rule text -> syntax tree with spans; pure
//! - [`glob`] file name patterns, one language for all files
//! - [`files`] reading what somebody else owns: regular files alone, and none for ever
//! - [`diagnostic`] a problem in a user's file: where, what, and what to do
//!
//! Without the `front` feature only the last six exist.

pub mod diagnostic;
pub mod files;
pub mod ftw;
pub mod glob;
pub mod http;
pub mod seclang;
pub(crate) mod suggest;
pub mod waf;

#[cfg(feature = "front")]
pub mod admin;
#[cfg(feature = "front")]
pub mod cli;
#[cfg(feature = "front")]
pub mod config;
#[cfg(feature = "front")]
pub mod exposure;
#[cfg(feature = "front")]
pub mod handover;
#[cfg(feature = "front")]
pub mod live;
#[cfg(feature = "front")]
pub mod proxy;
#[cfg(feature = "front")]
pub mod reload;
#[cfg(feature = "front")]
pub mod route;
#[cfg(feature = "front")]
pub mod supervision;
#[cfg(feature = "front")]
pub mod telemetry;
#[cfg(feature = "front")]
pub mod tls;
#[cfg(feature = "front")]
pub mod upstream;
