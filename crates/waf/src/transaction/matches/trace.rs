//! What matches did, for a person who asks why a request was refused. Recorded only on demand.

use crate::rule::RuleSelection;
use crate::ruleset::RuleSet;
use crate::variables::{Select, Target};

/// Events that are recorded of one transaction; later ones are dropped.
const MOST_EVENTS: usize = 16_384;

/// Something that a match did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEvent {
    /// The rule that did it.
    pub rule_id: u64,
    /// How many matches were recorded before: it belongs to the one with this index, if that is of the same rule.
    pub match_index: usize,
    /// What the match did.
    pub kind: TraceKind,
}

/// What a match did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceKind {
    /// `setvar` changed `tx.NAME`; None if it was or is not set.
    Set {
        /// Without `tx.`.
        name: Vec<u8>,
        /// The value before.
        before: Option<Vec<u8>>,
        /// The value after.
        after: Option<Vec<u8>>,
    },
    /// `ctl` excluded these rules for the rest of the transaction, or a target (`ARGS:name`) from them.
    Excluded {
        /// The rules, in load order.
        rule_ids: Vec<u64>,
        /// None if the rules are excluded as a whole.
        target: Option<String>,
    },
}

/// Events of one transaction, in order.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    is_on: bool,
    events: Vec<TraceEvent>,
}

impl Trace {
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(crate) fn turn_on(&mut self) {
        self.is_on = true;
    }

    pub(crate) fn events(&self) -> &[TraceEvent] {
        &self.events
    }

    pub(super) fn push(&mut self, event: TraceEvent) {
        if self.events.len() < MOST_EVENTS {
            self.events.push(event);
        }
    }
}

/// What `ctl` excluded.
pub(super) fn excluded(
    rules: &RuleSet,
    selection: &RuleSelection,
    target: Option<&Target>,
) -> TraceKind {
    let selected = rules.rules.iter().enumerate();
    let rule_ids = selected
        .filter(|(index, _)| selection.contains(*index))
        .map(|(_, rule)| rule.id)
        .collect();
    let target = target.map(|target| written(rules, target));
    TraceKind::Excluded { rule_ids, target }
}

/// A target as a rule file writes it.
fn written(rules: &RuleSet, target: &Target) -> String {
    let name = target.variable.name();
    match &target.select {
        Select::All => name.to_owned(),
        Select::Key(key) => format!("{name}:{}", String::from_utf8_lossy(key)),
        Select::Path(path) => {
            let written = rules.xml_paths.get(*path as usize);
            format!("{name}:{}", written.map_or("...", |path| path.written()))
        }
        Select::Slot(slot) => format!("{name}:{}", rules.names.name(*slot)),
        Select::Regex(regex) => format!("{name}:/{}/", regex.source().unwrap_or("...")),
    }
}
