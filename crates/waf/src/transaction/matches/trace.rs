//! What matches did, for a person who asks why a request was refused. Recorded only on demand.

use std::ops::Range;

use crate::operators::{Captures, Group, Operator};
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
    /// The operator found these bytes of the transformed value.
    Found {
        /// Offsets in [`MatchedRule::transformed`](super::MatchedRule::transformed).
        span: Range<usize>,
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

/// Where in a matching value the operator finds something. It runs once more for that: an ordinary run does not pay for
/// spans that nobody reads.
pub(super) fn found(operator: &Operator, argument: &[u8], value: &[u8]) -> Option<Range<usize>> {
    let mut captures = Captures::default();
    let found = operator.evaluate(argument, value, Some(&mut captures));
    match (found, captures.groups().first()) {
        (Ok(true), Some(Group::OfValue(span))) => Some(span.clone()),
        (Ok(true), None) => span_of_text(operator, argument, value),
        _ => None,
    }
}

/// For operators that look for their argument and capture nothing.
fn span_of_text(operator: &Operator, argument: &[u8], value: &[u8]) -> Option<Range<usize>> {
    let start = match operator {
        Operator::EndsWith => memchr::memmem::rfind(value, argument),
        Operator::BeginsWith
        | Operator::Contains
        | Operator::ContainsWord
        | Operator::StrEq
        | Operator::StrMatch(_) => memchr::memmem::find(value, argument),
        _ => None,
    }?;
    (!argument.is_empty()).then(|| start..start + argument.len())
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
