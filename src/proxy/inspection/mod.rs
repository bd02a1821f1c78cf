//! The transaction of a request with the rules of its policy.

pub(super) mod inspector;
