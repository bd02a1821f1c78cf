//! What the engine does with rules: small rule sets, whole transactions.

// As everybody else calls it.
extern crate drawbridge_waf as waf;

mod actions;
mod advice;
mod audit;
mod bodies;
mod budget;
mod chains;
mod collections;
mod controls;
mod exclusions;
mod first_contact;
mod flow;
mod harness;
mod inspected;
mod linear;
mod load;
mod mutate;
mod prefilter;
mod responses;
mod robust;
mod seclang_operators;
mod seclang_transformations;
mod targets;
mod variables;
