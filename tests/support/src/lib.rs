//! What the tests of all crates share.

#[cfg(feature = "corpus")]
pub mod corpus;
pub mod materials;
