//! A web application firewall that runs the OWASP Core Rule Set as it is published, in time that grows linearly with
//! the request. It knows no socket, no TLS and no asynchronous runtime.
//!
//! A [`RuleSet`] is compiled once from rule files and is then shared by all threads; a [`Transaction`] takes one request
//! and its response through the five phases of ModSecurity. The embedding server gives it what was received, and it
//! answers with an [`Interruption`] when a rule ends the transaction:
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use drawbridge_waf::{EngineMode, RuleSet, Transaction};
//!
//! let rules = RuleSet::builder()
//!     .engine(EngineMode::On)
//!     .text(
//!         "own.conf",
//!         r#"SecRule ARGS "@contains <script" "id:1,phase:2,deny,status:403,log,t:lowercase,msg:'Script in an argument'""#,
//!     )
//!     .build()?;
//!
//! let client: SocketAddr = "192.0.2.10:40000".parse()?;
//! let server: SocketAddr = "192.0.2.1:443".parse()?;
//! let mut transaction = Transaction::new(rules, client, server, "request-1");
//! transaction.request_line(b"GET /?q=%3CScript%3E HTTP/1.1", b"GET", b"/?q=%3CScript%3E", b"HTTP/1.1");
//! transaction.request_header(b"Host", b"example.com");
//! assert!(transaction.request_headers_done().is_none(), "no rule of phase 1 objects");
//!
//! let interruption = transaction.request_body(b"").ok_or("rule 1 blocks this request")?;
//! assert_eq!((interruption.rule_id, interruption.status), (1, 403));
//!
//! transaction.finish();
//! let matched = &transaction.matched_rules()[0];
//! assert_eq!(matched.variable, b"ARGS:q");
//! assert_eq!(matched.message, b"Script in an argument");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rule language is SecLang with the semantics of ModSecurity v2, for which the Core Rule Set is written. Rule files
//! are added with [`RuleSetBuilder::files`]; [`RuleSetBuilder::build`] reports every problem of every file at once
//! ([`Problems`]), with file, line and column. Names, values and bodies are bytes everywhere.
//!
//! What was matched is in [`Transaction::matched_rules`]; [`Transaction::audit_record`] makes the [`Record`] of a
//! transaction that matters. Secrets are masked in both unless [`RuleSetBuilder::unmasked`] says otherwise.
//!
//! # Features
//!
//! `internals` (off): the module `internals` with what the project's own tests, fuzz targets and benches need. It may
//! change in every release.

pub mod audit;

#[cfg(feature = "internals")]
pub mod internals;

// The feature `internals` publishes parts of these modules. Without it their `pub` items are used in the crate alone.
#[cfg_attr(not(feature = "internals"), allow(dead_code, unreachable_pub))]
mod body;
#[cfg_attr(not(feature = "internals"), allow(dead_code, unreachable_pub))]
mod byteset;
#[cfg_attr(not(feature = "internals"), allow(dead_code, unreachable_pub))]
mod hash;
#[cfg_attr(not(feature = "internals"), allow(dead_code, unreachable_pub))]
mod operators;
#[cfg_attr(not(feature = "internals"), allow(dead_code, unreachable_pub))]
mod reference;
#[cfg_attr(
    not(feature = "internals"),
    allow(dead_code, unreachable_pub, unused_imports)
)]
mod transform;

mod builder;
mod calendar;
mod compile;
mod exclusion;
mod kept;
mod macros;
mod names;
mod outcome;
mod persistent;
mod plan;
mod prefilter;
mod problems;
#[cfg(test)]
mod random;
mod reads;
mod rule;
mod ruleset;
mod settings;
#[cfg_attr(not(feature = "internals"), allow(unreachable_pub))]
mod steps;
mod suggest;
mod transaction;
#[cfg_attr(not(feature = "internals"), allow(dead_code, unreachable_pub))]
mod variables;

pub use audit::Record;
pub use audit::mask::{is_secret_field, masked as mask_secrets, masked_field as mask_field};
pub use builder::{Problems, RuleSetBuilder};
pub use exclusion::{ByRule, Condition, ExcludedTarget, Exclusion, ExclusionKind, NamedBy};
pub use outcome::{Detection, Inspection, Interruption, InterruptionKind, Phase};
pub use persistent::Store;
pub use reads::{FilesNow, Reads};
pub use rule::SEVERITIES;
pub use ruleset::{Facts, RuleSet, RuleSummary};
pub use seclang::diagnostic::{Diagnostic, Location, Severity};
pub use settings::{AuditEngine, AuditFormat, EngineMode, UnparsedBodies};
pub use steps::until_given_up;
#[doc(hidden)]
pub use transaction::Work;
pub use transaction::{
    MatchedRule, RuleTime, RuleTimes, TraceEvent, TraceKind, Transaction, Use, Watched, mask_known,
};

/// The version of the engine.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
