//! What the project's own tests, fuzz targets and benches need beside the public API.
//!
//! Nothing here is stable: it may change or go in every release.

pub use crate::hash::fix_seed;
pub use crate::steps::OutOfTime;

/// The parsers of request bodies and content codings.
pub mod body {
    pub use crate::body::*;
}

/// Sets of bytes.
pub mod byteset {
    pub use crate::byteset::*;
}

/// The operators of rules, and their catalogue.
pub mod operators {
    pub use crate::operators::*;
}

/// What of ModSecurity's reference manual is supported; docs/seclang.md is made from it.
pub mod reference {
    pub use crate::reference::*;
}

/// The transformations of values.
pub mod transform {
    pub use crate::transform::*;
}
