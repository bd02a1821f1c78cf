//! One request, from its head to its access line.
//!
//! `exchange` decides and accounts for it; `body` receives its body.

pub(super) mod exchange;

mod body;
