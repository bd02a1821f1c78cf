//! The verbs, the configuration, the documents and what holds for the project as a whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by a panic, and its modules are its own"
)]

mod baseline;
mod check;
mod config;
mod console;
mod container;
mod cookbooks;
mod demo;
mod docs;
mod false_positives;
mod fuzz;
mod get_crs;
mod init;
mod layers;
mod licences;
mod lint;
mod packages;
mod replay;
mod rules;
mod screens;
mod seclang_docs;
