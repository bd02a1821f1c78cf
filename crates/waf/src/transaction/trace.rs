//! What a person who asks "why" wants to know of a transaction; recorded only when asked for.

use std::ops::Range;

use super::tx::{Entry, Name};
use super::{RuleSet, Transaction};
use crate::operators::{Captures, Group, Operator};
use crate::rule::{Rule, RuleSelection};
use crate::variables::{Select, Slice, Target, Variable};

/// What is recorded of one transaction; the rest is not.
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
    /// `setvar` changed `tx.NAME`; None where it was or is not set.
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
        /// None where the rules are excluded as a whole.
        target: Option<String>,
    },
}

impl Transaction {
    /// Records every match, those of rules that say `nolog` too, and what matches do. Before the first phase.
    pub fn record_trace(&mut self) {
        self.trace = true;
    }

    /// What was recorded, in order.
    #[must_use]
    pub fn trace_events(&self) -> &[TraceEvent] {
        &self.trace_events
    }

    /// The values of a variable as rules see them now: `COLLECTION:name` and value. None where there is no
    /// variable of this name (in any case).
    pub fn variable(&mut self, name: &str) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let variable = Variable::from_name(name)?;
        let rules = std::sync::Arc::clone(&self.rules);
        let mut values = Vec::new();
        self.select(&rules, variable, &Select::All, &mut values);
        let named = values.into_iter().map(|value| {
            let name = self.push_name(value);
            (
                self.text.at(name).to_vec(),
                self.text.at(value.text).to_vec(),
            )
        });
        Some(named.collect())
    }

    pub(super) fn trace_set(&mut self, rules: &RuleSet, name: Name, after: Entry) {
        if !self.trace {
            return;
        }
        let before = self.entry_bytes(self.tx.entry(name));
        let after = self.entry_bytes(after);
        let name = self.text.at(self.tx.name_text(name, rules)).to_vec();
        self.push_event(TraceKind::Set {
            name,
            before,
            after,
        });
    }

    /// Runs the last link's operator once more, to learn what it found.
    pub(super) fn trace_found(&mut self, rules: &RuleSet, rule: &Rule, value: Slice) {
        let test = rule.links.last().and_then(|link| link.test.as_ref());
        let Some(test) = test.filter(|test| self.trace && !test.negated) else {
            return;
        };
        let argument = self.expand(rules, &test.argument);
        let mut captures = Captures::default();
        let (argument, value) = (self.text.at(argument), self.text.at(value));
        let found = test.operator.evaluate(argument, value, Some(&mut captures));
        let span = match (found, captures.groups().first()) {
            (Ok(true), Some(Group::OfValue(span))) => Some(span.clone()),
            (Ok(true), None) => span_of_text(&test.operator, argument, value),
            _ => None,
        };
        if let Some(span) = span {
            self.push_event(TraceKind::Found { span });
        }
    }

    pub(super) fn trace_excluded(&mut self, selection: &RuleSelection, target: Option<&Target>) {
        if !self.trace {
            return;
        }
        let rules = std::sync::Arc::clone(&self.rules);
        let selected = rules.rules.iter().enumerate();
        let rule_ids = selected
            .filter(|(index, _)| selection.contains(*index))
            .map(|(_, rule)| rule.id)
            .collect();
        let target = target.map(|target| written(&rules, target));
        self.push_event(TraceKind::Excluded { rule_ids, target });
    }

    fn push_event(&mut self, kind: TraceKind) {
        if self.trace_events.len() >= MOST_EVENTS {
            return;
        }
        let rule = self
            .matching
            .rule
            .and_then(|at| self.rules.rules.get(at as usize));
        self.trace_events.push(TraceEvent {
            rule_id: rule.map_or(0, |rule| rule.id),
            match_index: self.matched_rules.len(),
            kind,
        });
    }

    fn entry_bytes(&self, entry: Entry) -> Option<Vec<u8>> {
        match entry {
            Entry::Unset => None,
            Entry::Text(slice) => Some(self.text.at(slice).to_vec()),
            Entry::Number(number) => Some(number.to_string().into_bytes()),
        }
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
