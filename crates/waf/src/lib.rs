//! The engine. It knows no socket, no pingora, no openssl, no tokio and no configuration file.
//!
//! A [`RuleSet`] is compiled once from SecLang and shared; a [`Transaction`] takes one request through
//! the five phases. Values are bytes everywhere. Semantics are ModSecurity v2's.

pub mod audit;
pub mod body;
pub mod byteset;
pub mod operators;
pub mod transform;

mod compile;
mod hash;
mod macros;
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
pub use compile::Facts;
#[doc(hidden)]
pub use hash::fix_seed;
pub use persistent::Store;
pub use reads::Reads;
pub use rule::{AuditEngine, SEVERITIES};
pub use ruleset::{EngineMode, Problems, RuleSet, RuleSetBuilder, RuleSummary};
pub use settings::{AuditFormat, AuditSettings, LimitAction, Settings, UnparsedBodies};
pub use steps::until_given_up;
pub use transaction::{
    Inspection, Interruption, InterruptionKind, MatchedRule, Phase, TraceEvent, TraceKind,
    Transaction,
};
