//! What changes on disk goes live, what is wrong does not, and nobody who is connected notices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by a panic, and its modules are its own"
)]

// Each binary runs the front door itself; what does not need it is in the support crate.
#[allow(dead_code)]
#[path = "../proxy/front.rs"]
mod front;

mod admin;
mod binary;
mod client_ca;
mod console;
mod console_gateways;
mod console_hostile;
mod console_openid;
mod console_tls;
mod console_tokens;
mod cost;
mod error_pages;
mod exclusions;
mod files;
mod fresh;
mod goaway;
mod irregular;
mod lint;
mod load;
mod logs;
mod process;
mod prometheus;
mod questions;
mod rate_limits;
mod review;
mod rotation;
mod shadow;
mod syslog;
mod tokens;
mod upgrade;
mod verbs;
mod world;
