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
//! - [`exposure`] the switches of what is reachable, and what a change makes reachable
//! - [`config`] what the user wrote, and what is ready to run
//! - [`upstream`] pools of servers and the peer that is dialled
//! - [`route`] host + path + method -> route; pure
//! - [`telemetry`] access log, audit log, counters
//! - [`tls`] certificates, trust bundles, x509 reasons in words
//! - [`supervision`] long-lived tasks begin again
//! - [`time`] points in time as RFC 3339
//! - `unix_socket` unix sockets that only their owner can connect to
//!
//! Below the house stand the crates of `crates/`: `waf` (the engine), `ftw`, `http-strict` and `seclang`.

pub mod admin;
pub mod cli;
pub mod config;
pub mod exposure;
pub mod handover;
pub mod live;
pub mod proxy;
pub mod reload;
pub mod route;
pub mod supervision;
pub mod telemetry;
pub mod time;
pub mod tls;
mod unix_socket;
pub mod upstream;
