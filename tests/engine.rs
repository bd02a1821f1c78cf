//! What the engine does with rules: small rule sets, whole transactions.

#[path = "engine/harness.rs"]
mod harness;

#[path = "engine/actions.rs"]
mod actions;
#[path = "engine/advice.rs"]
mod advice;
#[path = "engine/bodies.rs"]
mod bodies;
#[path = "engine/budget.rs"]
mod budget;
#[path = "engine/chains.rs"]
mod chains;
#[path = "engine/collections.rs"]
mod collections;
#[path = "engine/controls.rs"]
mod controls;
#[path = "engine/exclusions.rs"]
mod exclusions;
#[path = "engine/first_contact.rs"]
mod first_contact;
#[path = "engine/flow.rs"]
mod flow;
#[path = "engine/inspected.rs"]
mod inspected;
#[path = "engine/linear.rs"]
mod linear;
#[path = "engine/load.rs"]
mod load;
#[path = "engine/mutate.rs"]
mod mutate;
#[path = "engine/prefilter.rs"]
mod prefilter;
#[path = "engine/responses.rs"]
mod responses;
#[path = "engine/robust.rs"]
mod robust;
#[path = "engine/targets.rs"]
mod targets;
#[path = "engine/variables.rs"]
mod variables;
