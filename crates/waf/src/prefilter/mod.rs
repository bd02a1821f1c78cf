//! Which rules can match a value at all.
//!
//! The prefilter only proposes: for each (rule, value) it says "may match" or "cannot match". Rules then run in
//! their order with their own operators, exactly as without it. It knows three things of a rule's first link:
//! bytes that must be present (any one of each of a few sets), how short a match can be, and literals one of
//! which must occur. All are derived from the operator's pattern at load, through its transformations.

mod cache;
mod clauses;
mod literals;
mod row;
mod scan;
mod table;

pub(super) use cache::{Cache, Key, LONGEST as LONGEST_CACHED};
pub(super) use row::Row;
pub(super) use table::{Chain, Class, Filter};
