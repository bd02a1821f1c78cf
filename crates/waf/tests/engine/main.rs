//! What the engine does with rules: small rule sets, whole transactions.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails where it panics, and nobody else uses its modules"
)]

// The other packages of the workspace call the crate `waf`.
extern crate drawbridge_waf as waf;

mod actions;
mod advice;
mod audit;
mod bodies;
mod budget;
mod chains;
mod collections;
mod controls;
mod exclusions;
mod first_contact;
mod flow;
mod harness;
mod inspected;
mod linear;
mod listing;
mod load;
mod mutate;
mod prefilter;
mod responses;
mod robust;
mod seclang_operators;
mod seclang_transformations;
mod spans;
mod targets;
mod times;
mod variables;
mod watch;
