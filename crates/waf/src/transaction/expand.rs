//! Macros at run time: templates -> bytes.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::masking::Unmarked;
use super::tx::{Entry, Name};
use super::{RuleSet, Transaction};
use crate::macros::{Macro, Part, Template};
use crate::variables::{Select, Slice, Variable};

impl Transaction {
    /// What a template reads now; a macro without a value is empty.
    pub(super) fn expand(&mut self, rules: &RuleSet, template: &Template) -> Slice {
        match template {
            Template::Literal(slice) => return *slice,
            Template::Parts(parts) => {
                if let [Part::Macro(only)] = &**parts {
                    return self.macro_value(rules, only);
                }
            }
        }
        // Macros push their values first, so that the result is one run of bytes.
        let from = self.pieces.len();
        self.push_pieces(rules, template);
        let mark = self.text.len();
        for &piece in &self.pieces[from..] {
            self.text.repeat(piece);
        }
        let whole = self.text.since(mark);
        let pieces = from..self.pieces.len();
        self.unmarked.push(Unmarked::Joined { pieces, whole });
        whole
    }

    /// What a template reads now: the one slice that it is, or else its parts in `joined`.
    pub(super) fn join(
        &mut self,
        rules: &RuleSet,
        template: &Template,
        joined: &mut Vec<u8>,
    ) -> Option<Slice> {
        match template {
            Template::Literal(slice) => return Some(*slice),
            Template::Parts(parts) => {
                if let [Part::Macro(only)] = &**parts {
                    return Some(self.macro_value(rules, only));
                }
            }
        }
        joined.clear();
        let from = self.pieces.len();
        self.push_pieces(rules, template);
        for piece in self.pieces.drain(from..) {
            joined.extend_from_slice(self.text.at(piece));
        }
        None
    }

    /// What a template's parts read now, each where its bytes are.
    pub(super) fn pieces(&mut self, rules: &RuleSet, template: &Template) -> Vec<Slice> {
        let from = self.pieces.len();
        self.push_pieces(rules, template);
        self.pieces.split_off(from)
    }

    fn push_pieces(&mut self, rules: &RuleSet, template: &Template) {
        match template {
            Template::Literal(slice) => self.pieces.push(*slice),
            Template::Parts(parts) => {
                for part in &**parts {
                    let piece = match part {
                        Part::Literal(slice) => *slice,
                        Part::Macro(value) => self.macro_value(rules, value),
                    };
                    self.pieces.push(piece);
                }
            }
        }
    }

    fn macro_value(&mut self, rules: &RuleSet, wanted: &Macro) -> Slice {
        match wanted {
            Macro::Tx(slot) => self.tx_text(Name::Slot(*slot)).unwrap_or_default(),
            Macro::Scalar(Variable::MatchedVar) => {
                self.matching.value.map_or(Slice::EMPTY, |v| v.text)
            }
            Macro::Scalar(variable) => self.first(rules, *variable, &Select::All),
            Macro::Keyed(variable, key) => self.first(rules, *variable, &Select::Key(key.clone())),
        }
    }

    fn first(&mut self, rules: &RuleSet, variable: Variable, select: &Select) -> Slice {
        let mut found = Vec::new();
        self.select(rules, variable, select, &mut found);
        found.first().map_or(Slice::EMPTY, |v| v.text)
    }

    /// A `TX` value as bytes.
    pub(super) fn tx_text(&mut self, name: Name) -> Option<Slice> {
        match self.tx.entry(name) {
            Entry::Unset => None,
            Entry::Text(slice) => Some(slice),
            Entry::Number(number) => Some(self.text.push_number(number)),
        }
    }
}
