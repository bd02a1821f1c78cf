//! Macros at run time: the bytes that a template stands for now. A macro without a value is empty.
//!
//! The pieces are noted, so that text made from a secret is known to be secret.

use super::super::state::{Entry, Name};
use super::Context;
use crate::macros::{Macro, Part, Template};
use crate::operators::numeric::number;
use crate::ruleset::RuleSet;
use crate::variables::{Select, Slice, Variable};

impl Context {
    /// Expands a template; a macro without a value is empty.
    #[inline]
    pub(crate) fn expand(&mut self, rules: &RuleSet, template: &Template) -> Slice {
        match template {
            Template::Literal(slice) => *slice,
            Template::Parts(parts) => match &**parts {
                [Part::Macro(only)] => self.macro_value(rules, only),
                _ => self.expand_parts(rules, template),
            },
        }
    }

    fn expand_parts(&mut self, rules: &RuleSet, template: &Template) -> Slice {
        // A macro may append to the text. All of them are resolved first, so that the result is one run of bytes.
        let from = self.origins.mark();
        self.push_pieces(rules, template);
        self.join_since(from)
    }

    /// Puts pieces together.
    pub(super) fn join_pieces(&mut self, pieces: &[Slice]) -> Slice {
        let from = self.origins.mark();
        pieces.iter().for_each(|&p| self.origins.push_piece(p));
        self.join_since(from)
    }

    /// Puts the pieces together that were pushed since `from`.
    fn join_since(&mut self, from: usize) -> Slice {
        let mark = self.text.len();
        for &piece in self.origins.pieces_since(from) {
            self.text.repeat(piece);
        }
        let whole = self.text.since(mark);
        self.origins.note_join(from, whole);
        whole
    }

    /// Expands a template: returns the slice if it is a single one, otherwise writes the parts to `joined`.
    pub(crate) fn join(
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
        let from = self.origins.mark();
        self.push_pieces(rules, template);
        for &piece in self.origins.pieces_since(from) {
            joined.extend_from_slice(self.text.at(piece));
        }
        // Only a comparison sees these bytes, so their origin is never asked for.
        self.origins.drop_pieces(from);
        None
    }

    /// The pieces of an expanded template, each where its bytes are.
    pub(crate) fn pieces(&mut self, rules: &RuleSet, template: &Template) -> Vec<Slice> {
        let from = self.origins.mark();
        self.push_pieces(rules, template);
        self.origins.take_pieces(from)
    }

    fn push_pieces(&mut self, rules: &RuleSet, template: &Template) {
        match template {
            Template::Literal(slice) => self.origins.push_piece(*slice),
            Template::Parts(parts) => {
                for part in &**parts {
                    let piece = match part {
                        Part::Literal(slice) => *slice,
                        Part::Macro(value) => self.macro_value(rules, value),
                    };
                    self.origins.push_piece(piece);
                }
            }
        }
    }

    fn macro_value(&mut self, rules: &RuleSet, wanted: &Macro) -> Slice {
        match wanted {
            Macro::Tx(slot) => self.tx_text(Name::Slot(*slot)).unwrap_or_default(),
            // Without a list of values: most messages of the CRS contain this macro.
            Macro::Scalar(Variable::MatchedVar) => self
                .state
                .matching()
                .value()
                .map_or(Slice::EMPTY, |v| v.text),
            Macro::Scalar(variable) => self.first(rules, *variable, &Select::All),
            Macro::Keyed(variable, key) => self.first(rules, *variable, &Select::Key(key.clone())),
        }
    }

    fn first(&mut self, rules: &RuleSet, variable: Variable, select: &Select) -> Slice {
        let mut found = Vec::new();
        self.select(rules, variable, select, None, &mut found);
        found.first().map_or(Slice::EMPTY, |v| v.text)
    }

    /// A `TX` value as a number; None if it is not set.
    #[inline]
    pub(crate) fn tx_number(&self, slot: u32) -> Option<i64> {
        match self.state.tx().entry(Name::Slot(slot)) {
            Entry::Unset => None,
            Entry::Number(number) => Some(number),
            Entry::Text(text) => Some(number(self.text.at(text))),
        }
    }

    /// A `TX` value as bytes.
    pub(crate) fn tx_text(&mut self, name: Name) -> Option<Slice> {
        match self.state.tx().entry(name) {
            Entry::Unset => None,
            Entry::Text(slice) => Some(slice),
            Entry::Number(number) => Some(self.text.push_number(number)),
        }
    }
}
