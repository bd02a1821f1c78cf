//! Which rules can match a value at all.
//!
//! The prefilter only proposes: for each (rule, value) it says "may match" or "cannot match". Rules then run in their
//! order with their own operators, exactly as without it. It knows three things about one link of a rule: bytes
//! of which one must be present (for each of a few sets), the length of the shortest match, and literals of which one
//! must occur. All are derived at load from the operator's pattern and the rule's transformations.

mod at_steps;
mod cache;
mod clauses;
mod decoded;
mod head;
mod literals;
mod marks;
mod phase;
mod row;
mod scan;
mod table;

pub(super) use at_steps::AtSteps;
pub(super) use cache::{Cache, Key, LONGEST as LONGEST_CACHED};
pub(super) use head::LinkPlace;
#[cfg(test)]
pub(super) use literals::outlives_blanks;
pub(super) use literals::required as required_literals;
pub(super) use phase::PhaseFilter;
pub(super) use row::Row;
pub(super) use table::{Chain, Class, Filter};
