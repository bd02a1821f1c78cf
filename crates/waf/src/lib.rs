//! The engine. It knows no socket, no pingora, no openssl, no tokio and no configuration file.
//!
//! A [`RuleSet`] is compiled once from SecLang and shared; a [`Transaction`] takes one request through
//! the five phases. Values are bytes everywhere. Semantics are ModSecurity v2's.

pub mod audit;
pub mod body;
pub mod byteset;
pub mod operators;
pub mod transform;

mod builder;
mod calendar;
mod compile;
mod hash;
mod macros;
mod names;
mod outcome;
mod persistent;
mod plan;
mod prefilter;
mod reads;
pub mod reference;
mod rule;
mod ruleset;
mod settings;
mod steps;
mod suggest;
mod transaction;
pub mod variables;

pub use audit::Record;
pub use builder::{Problems, RuleSetBuilder};
#[doc(hidden)]
pub use hash::fix_seed;
pub use outcome::{Inspection, Interruption, InterruptionKind, Phase};
pub use persistent::Store;
pub use reads::Reads;
pub use rule::SEVERITIES;
pub use ruleset::{Facts, RuleSet, RuleSummary};
pub use settings::{
    AuditEngine, AuditFormat, AuditSettings, EngineMode, LimitAction, Settings, UnparsedBodies,
};
pub use steps::until_given_up;
pub use transaction::{MatchedRule, TraceEvent, TraceKind, Transaction};
