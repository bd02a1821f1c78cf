//! The engine. It knows no socket, no pingora, no openssl, no tokio and no configuration file.
//!
//! A [`RuleSet`] is compiled once from SecLang and shared; a [`Transaction`] takes one request through
//! the five phases. Values are bytes everywhere. Semantics are ModSecurity v2's.

pub mod body;
pub mod byteset;
pub mod operators;
pub mod transform;

mod ruleset;
mod transaction;

pub use ruleset::{EngineMode, Problems, RuleSet, RuleSetBuilder};
pub use transaction::{
    Inspection, Interruption, InterruptionKind, MatchedRule, Phase, Transaction,
};
