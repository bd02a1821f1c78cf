//! A policy that is ready to run.

use std::path::PathBuf;
use std::sync::Arc;

use crate::exclusion::Entry;
use crate::limits::Limit;
use waf::RuleSet;

/// How requests are inspected.
#[derive(Debug)]
pub struct Policy {
    /// The name of its table.
    pub name: String,
    /// What becomes of a request that rules match.
    pub mode: PolicyMode,
    /// What happens if a limit, a parser error or the time budget ends inspection early.
    pub on_uninspected: OnUninspected,
    /// Bytes. A larger body is answered 413.
    pub request_body_limit: usize,
    /// Whether gateways are asked for uncompressed answers, whatever the client takes.
    pub asks_for_identity: bool,
    /// The part of the requests whose rules are timed, from 0 to 1.
    pub cost_sample: f64,
    /// The files of its exclusions, in load order.
    pub exclusions: Vec<ExclusionFile>,
    /// The rules that inspect.
    pub rules: PolicyRules,
    /// Names these rules: it changes with their files and their variables. Empty if there are none.
    pub rules_digest: String,
    /// Other rules that see a sample of its requests.
    pub shadow: Option<Shadow>,
    /// The limits that its requests ask.
    pub rate_limits: Vec<Arc<Limit>>,
}

/// Rules that see a sample of a policy's requests after these were answered, and change nothing.
#[derive(Debug)]
pub struct Shadow {
    /// They decide in the policy's mode, so that nothing but the rules makes a difference.
    pub rules: Arc<RuleSet>,
    /// Names these rules, as [`Policy::rules_digest`].
    pub rules_digest: String,
    /// The part of the requests that they see, from 0 to 1.
    pub sample: f64,
}

/// A file of exclusions, which may not be there yet.
#[derive(Debug)]
pub struct ExclusionFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it has.
    pub entries: Vec<Entry>,
}

impl Policy {
    /// Its exclusions that the program keeps, in load order.
    pub fn exclusion_entries(&self) -> impl Iterator<Item = &Entry> {
        self.exclusions.iter().flat_map(|file| &file.entries)
    }

    /// False for a new policy that was refused: its requests are answered 503.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.rules, PolicyRules::Refused)
    }
}

/// The rules of a policy.
#[derive(Debug, Clone)]
pub enum PolicyRules {
    /// Nothing: `mode` is off.
    Off,
    /// These rules.
    Live(Arc<RuleSet>),
    /// The rules are broken and there is no last good version, so every request is refused.
    Refused,
}

impl PolicyRules {
    /// The rules that run, if any do.
    #[must_use]
    pub fn live(&self) -> Option<&Arc<RuleSet>> {
        match self {
            Self::Live(rules) => Some(rules),
            Self::Off | Self::Refused => None,
        }
    }
}

/// What becomes of a request that rules match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyMode {
    /// It is refused.
    Block,
    /// It is logged.
    Detect,
    /// Rules do not run.
    Off,
}

/// What becomes of an exclusion whose last day is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnExpiry {
    /// It no longer holds.
    Remove,
    /// It goes on, and every load warns.
    Warn,
}

/// What becomes of a request that was not inspected to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnUninspected {
    /// It is refused.
    Block,
    /// It is let through, and reported.
    Detect,
}
