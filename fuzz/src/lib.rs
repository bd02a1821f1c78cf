//! What each fuzz target does with any bytes. A panic is a finding.
//!
//! The project's tests run the same functions for a bounded time (`tests/program/fuzz.rs`).

pub mod body_json;
pub mod body_multipart;
pub mod body_urlencoded;
pub mod body_xml;
pub mod content_coding;
pub mod http_head;
pub mod operators;
pub mod request;
pub mod response_head;
pub mod seclang_parse;
pub mod transaction;
pub mod transformations;
