//! What rules read and change: the bytes of the transaction, its inputs and its state, and how variables and macros
//! read them.
//!
//! Every [`Slice`] points into `text`, which only grows: a slice is valid as long as the transaction.

mod expand;
mod origins;
mod scalar;
mod select;

pub(crate) use origins::{Origin, Origins};

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use super::inputs::{Connection, InputBuffers, Inputs};
use super::state::{Deferred, Entry, Name, State, TxStore};
use crate::body::BodyError;
use crate::operators::{Captures, Group, Limit};
use crate::ruleset::RuleSet;
use crate::variables::{Slice, Text, Value, Variable};

/// Longer names are kept once, not once for each rule that asks: a client with one long name and many matching rules
/// would otherwise fill the memory.
const LONG_NAME: usize = 128;

/// The context in which rules are evaluated.
#[derive(Debug)]
pub(crate) struct Context {
    text: Text,
    started: Instant,
    /// The same moment as a date.
    started_at: SystemTime,
    inputs: Inputs,
    state: State,
    origins: Origins,
    /// The names longer than [`LONG_NAME`] that are in `text` already.
    long_names: HashMap<(Variable, Slice), Slice>,
}

/// Empty buffers with room, for the next transaction.
#[derive(Debug, Default)]
pub(crate) struct ContextBuffers {
    text: Vec<u8>,
    inputs: InputBuffers,
    tx: TxStore,
    matched: Vec<Value>,
    origins: Origins,
    long_names: HashMap<(Variable, Slice), Slice>,
}

impl Context {
    pub(crate) fn new(rules: &RuleSet, connection: Connection, buffers: ContextBuffers) -> Self {
        let mut tx = buffers.tx;
        tx.make_slots(rules.names.len());
        Self {
            text: rules.literals.share(buffers.text),
            started: Instant::now(),
            started_at: SystemTime::now(),
            inputs: Inputs::new(connection, buffers.inputs),
            state: State::new(rules.settings(), tx, &rules.initial, buffers.matched),
            origins: buffers.origins,
            long_names: buffers.long_names,
        }
    }

    pub(crate) fn take_buffers(&mut self) -> ContextBuffers {
        let (tx, matched) = self.state.take_buffers();
        ContextBuffers {
            text: self.text.take_own(),
            inputs: self.inputs.take_buffers(),
            tx,
            matched,
            origins: std::mem::take(&mut self.origins),
            long_names: std::mem::take(&mut self.long_names),
        }
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.started_at
    }

    #[inline]
    pub(crate) fn text(&self) -> &Text {
        &self.text
    }

    #[inline]
    pub(crate) fn text_mut(&mut self) -> &mut Text {
        &mut self.text
    }

    #[inline]
    pub(crate) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    pub(crate) fn inputs_mut(&mut self) -> &mut Inputs {
        &mut self.inputs
    }

    /// The inputs, and the text where their bytes go.
    pub(crate) fn inputs_and_text_mut(&mut self) -> (&mut Inputs, &mut Text) {
        (&mut self.inputs, &mut self.text)
    }

    #[inline]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    #[inline]
    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    pub(crate) fn origins(&self) -> &Origins {
        &self.origins
    }

    pub(crate) fn origins_mut(&mut self) -> &mut Origins {
        &mut self.origins
    }

    /// Notes that a value matched a rule's link, for `MATCHED_VAR` and `MATCHED_VARS`.
    #[inline]
    pub(crate) fn note_match(&mut self, value: Value, received: Slice) {
        self.state.matching_mut().add(value);
        // Only noted: the search for secrets costs time and is needed only if a record is written.
        self.origins.note_match(value, received);
    }

    /// An operator gave up: it is counted, and the body does not count as inspected.
    #[cold]
    pub(crate) fn note_limit(&mut self, reason: impl FnOnce() -> String) {
        self.state.count_limit();
        // A rule that gave up could have matched, so the body must not count as inspected.
        self.inputs.body_mut().cut_short(reason);
    }

    /// The same for an operator's own limit.
    #[cold]
    pub(crate) fn note_operator_limit(&mut self, limit: &Limit) {
        self.note_limit(|| limit.to_string());
    }

    /// The request's body cannot be read.
    pub(crate) fn body_error(&mut self, error: &BodyError) {
        self.inputs.body_mut().fail(&mut self.text, error);
    }

    /// Stores the captures of an operator in `TX`.
    pub(crate) fn keep_captures(&mut self, text: Slice, captures: &Captures) {
        if captures.is_empty() {
            return;
        }
        let tx = self.state.tx_mut();
        // The first ten names of every rule set are `TX:0` to `TX:9`.
        for (slot, group) in (0..).zip(captures.groups()) {
            let slice = match group {
                Group::OfValue(range) => text.part(range.start, range.end),
                Group::Own(range) => self.text.push(captures.own(range)),
                // As in ModSecurity, a group that did not take part is empty, not unset.
                Group::Absent => Slice::EMPTY,
            };
            tx.set(Name::Slot(slot), Entry::Text(slice));
        }
        // Groups of an earlier match would look like groups of this one.
        tx.clear_captures(captures.len());
    }

    /// Stores a whole value as the only capture.
    pub(crate) fn keep_whole_capture(&mut self, text: Slice) {
        let tx = self.state.tx_mut();
        tx.set(Name::Slot(0), Entry::Text(text));
        tx.clear_captures(1);
    }

    /// Sets the variables that were deferred. Names made at run time are complete and in their order after that.
    pub(crate) fn settle_tx(&mut self, rules: &RuleSet) {
        let Some((deferred, values)) = self.state.tx_mut().take_deferred() else {
            return;
        };
        for Deferred { listing, range } in deferred {
            for &value in values.get(range).unwrap_or_default() {
                let name = self.join_pieces(&[listing.name, value]);
                let whole = self.join_pieces(&[listing.before, value, listing.after]);
                let tx = self.state.tx_mut();
                if let Some(name) = tx.resolve(name, &self.text, &rules.names) {
                    tx.set(name, Entry::Text(whole));
                }
            }
        }
    }

    /// Where the value of a `TX` name that was put together is or would be; None when too many names were made.
    pub(crate) fn resolve_tx(&mut self, rules: &RuleSet, name: Slice) -> Option<Name> {
        // A deferred variable may have this very name.
        self.settle_tx(rules);
        self.state.tx_mut().resolve(name, &self.text, &rules.names)
    }

    /// The value of `tx.NAME`.
    pub(crate) fn tx(&self, rules: &RuleSet, name: &str) -> Option<Vec<u8>> {
        let tx = self.state.tx();
        match tx.find(name.as_bytes(), &self.text, &rules.names) {
            Some(name) => self.entry_bytes(tx.entry(name)),
            None => tx.deferred_value(name.as_bytes(), &self.text),
        }
    }

    /// An entry of `TX` as bytes.
    pub(crate) fn entry_bytes(&self, entry: Entry) -> Option<Vec<u8>> {
        match entry {
            Entry::Unset => None,
            Entry::Text(slice) => Some(self.text.at(slice).to_vec()),
            Entry::Number(number) => Some(number.to_string().into_bytes()),
        }
    }

    pub(crate) fn set_environment(&mut self, name: Slice, value: Option<Slice>) {
        let collections = self.state.collections_mut();
        collections.set_environment(&self.text, name, value);
    }

    /// `COLLECTION:name` of a value, as bytes of this transaction.
    pub(crate) fn push_name(&mut self, value: Value) -> Slice {
        // The key of a value of `MATCHED_VARS` is already the whole name.
        if matches!(
            value.variable,
            Variable::MatchedVars | Variable::MatchedVarsNames
        ) {
            return value.key.unwrap_or_default();
        }
        let long = value
            .key
            .filter(|k| k.len() > LONG_NAME)
            .map(|k| (value.variable, k));
        if let Some(&known) = long.and_then(|l| self.long_names.get(&l)) {
            return known;
        }
        let slice = value.push_name(&mut self.text);
        if let Some(long) = long {
            self.long_names.insert(long, slice);
        }
        slice
    }

    /// Bytes of the rule set's literals, which come first in the text and are not the transaction's own.
    pub(crate) fn own_text_len(&self, rules: &RuleSet) -> usize {
        self.text.len().saturating_sub(rules.literals.len())
    }
}

impl ContextBuffers {
    /// Bytes that the largest has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.text
            .capacity()
            .max(self.inputs.capacity())
            .max(self.origins.capacity())
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.inputs.clear();
        self.tx.clear();
        self.matched.clear();
        self.origins.clear();
        self.long_names.clear();
    }
}
