//! What the user wrote, and what is ready to run.

mod model;

pub use model::*;
