//! The Core Rule Set: its files through the parser, its regression tests through the engine.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails where it panics, and nobody else uses its modules"
)]

// As everybody else calls it.

mod crs33;
mod crs4;
mod seclang_files;
