//! The verbs, the configuration, the documents and what holds for the project as a whole.

mod baseline;
mod check;
mod config;
mod demo;
mod docs;
mod fuzz;
mod get_crs;
mod layers;
mod licences;
mod rules;
mod seclang_docs;
