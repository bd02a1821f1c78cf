//! Recorded requests. This room holds the format of their files.

pub mod segment;
