//! At the start of a phase: which (rule, value) pairs can match.

use std::cell::RefCell;

use super::{RuleSet, Transaction};
use crate::byteset::ByteSet;
use crate::macros::Template;
use crate::prefilter::{Cache, Class, Filter, Key, LONGEST_CACHED, Row};
use crate::rule::Test;
use crate::steps;
use crate::variables::{Select, Slice, Value, Variable};

thread_local! {
    /// Rows of values this thread has seen.
    static SEEN: RefCell<Cache> = RefCell::default();
}

/// What the prefilter proposes in the running phase.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    /// One row a value.
    rows: Vec<Row>,
    /// Rules that any value is proposed for.
    hot: Row,
    /// Where each variable's rows begin.
    bases: Vec<(Variable, u32)>,
    pub active: bool,
}

impl Proposals {
    /// Values it has room for.
    pub(super) fn capacity(&self) -> usize {
        self.rows.capacity()
    }

    /// The rules that any value is proposed for; None where the phase has no filter.
    pub(super) fn hot(&self) -> Option<Row> {
        self.active.then_some(self.hot)
    }

    #[inline]
    pub(super) fn allows(&self, bit: u16, value: &Value) -> bool {
        self.rows
            .get(value.item as usize)
            .is_none_or(|row| row.contains(bit))
    }

    /// Whether the value was looked at and found to match.
    pub(super) fn tells(&self, bit: u16, value: &Value) -> bool {
        let row = self.rows.get(value.item as usize);
        row.is_some_and(|row| row.contains(bit))
    }

    /// Where the rows of this variable's values begin.
    pub(super) fn base(&self, variable: Variable) -> Option<u32> {
        self.bases.iter().find(|(v, _)| *v == variable).map(|b| b.1)
    }
}

/// A value and what is known of it.
struct Tried {
    raw: Slice,
    /// By the chain of the rules that are tried.
    changed: Slice,
    /// The bytes of it as received.
    present: ByteSet,
    /// Rules that they allow.
    allowed: Row,
}

impl Transaction {
    /// Looks at every value that rules of the phase look at, once.
    pub(super) fn propose(&mut self, rules: &RuleSet, filter: Option<&Filter>) {
        let mut proposals = std::mem::take(&mut self.proposals);
        proposals.rows.clear();
        proposals.bases.clear();
        proposals.hot = Row::default();
        proposals.active = filter.is_some();
        let mut values = std::mem::take(&mut self.values);
        for classes in filter.into_iter().flat_map(|f| &f.classes) {
            values.clear();
            self.select(rules, classes.variable, &Select::All, &mut values);
            let base = u32::try_from(proposals.rows.len()).unwrap_or(u32::MAX);
            proposals.bases.push((classes.variable, base));
            for value in &values {
                // The rules are not run any more either.
                if self.is_overdrawn() {
                    break;
                }
                let class = match value.key {
                    Some(key) if !classes.named.is_empty() => classes.of(self.text.at(key)),
                    _ => &classes.any,
                };
                // The loop is only entered where there is a filter.
                let row =
                    filter.map_or_else(Row::default, |f| self.row(rules, f, class, value.text));
                proposals.hot.union(&row);
                proposals.rows.push(row);
            }
        }
        values.clear();
        self.values = values;
        self.proposals = proposals;
    }

    /// The rules of the class whose first link matches these bytes.
    fn row(&mut self, rules: &RuleSet, filter: &Filter, class: &Class, text: Slice) -> Row {
        if class.rules.is_empty() {
            return Row::default();
        }
        if text.len() > LONGEST_CACHED {
            return self.find_row(rules, filter, class, text);
        }
        let key = Key {
            filter: filter.id,
            class: class.id,
            value: self.text.at(text),
        };
        let (place, known) = SEEN.with_borrow(|seen| {
            let place = seen.place(&key);
            (place, seen.find(place, &key).copied())
        });
        if let Some(row) = known {
            return row;
        }
        let row = self.find_row(rules, filter, class, text);
        if steps::is_over() {
            return row;
        }
        let key = Key {
            filter: filter.id,
            class: class.id,
            value: self.text.at(text),
        };
        SEEN.with_borrow_mut(|seen| seen.keep(place, &key, &row));
        row
    }

    fn find_row(&mut self, rules: &RuleSet, filter: &Filter, class: &Class, text: Slice) -> Row {
        let (allowed, present) = filter.allowed(&class.rules, self.text.at(text));
        self.work.bytes_scanned += text.len() as u64;
        if allowed.is_empty() {
            return allowed;
        }
        self.scans.clear();
        let received = Tried {
            raw: text,
            changed: text,
            present,
            allowed,
        };
        let mut unchanged = allowed;
        let mut found = Row::default();
        for chain in &filter.chains {
            let its = allowed.and(&chain.rules);
            if its.is_empty() || !chain.triggers.intersects(&present) {
                continue;
            }
            unchanged = unchanged.without(&chain.rules);
            let (changed, _) = self.transformed_of(rules, text, chain.id, &present);
            let value = Tried {
                changed,
                ..received
            };
            self.try_rules(rules, filter, &value, &its, &mut found);
        }
        if !unchanged.is_empty() {
            self.try_rules(rules, filter, &received, &unchanged, &mut found);
        }
        found
    }

    /// Tries the rules `its`, whose chain is the one that changed the value.
    fn try_rules(
        &mut self,
        rules: &RuleSet,
        filter: &Filter,
        value: &Tried,
        its: &Row,
        found: &mut Row,
    ) {
        let mut left = *its;
        if its.intersects(&filter.with_literals) {
            let hits = self.hits(filter, &value.allowed, value.changed);
            // A phrase that occurs is a match, or none that does.
            let phrases = its.and(&filter.phrases);
            found.union(&phrases.and(&hits).without(&filter.negated));
            found.union(&phrases.and(&filter.negated).without(&hits));
            let anchored = its.and(&filter.anchored).without(&hits);
            if !anchored.is_empty() {
                self.work.evaluations += 1;
                self.work.bytes_tested += value.changed.len() as u64;
                found.union(&filter.starting(&anchored, self.text.at(value.changed)));
            }
            left = its
                .without(&filter.phrases)
                .without(&filter.with_literals.without(&hits));
        }
        for bit in left.iter() {
            let rule = filter
                .rules
                .get(usize::from(bit))
                .and_then(|&r| rules.rules.get(r as usize));
            let test = rule
                .and_then(|r| r.links.first())
                .and_then(|l| l.test.as_ref());
            let Some(test) = test else { continue };
            let matches = match test.multi_match {
                true => self.would_match_at_a_step(rules, filter, bit, test, value),
                false => self.would_match(test, value.changed),
            };
            if matches {
                found.insert(bit);
            }
        }
    }

    /// Which of the allowed rules' literals occur in a text; what differs from an earlier one in case alone is known.
    fn hits(&mut self, filter: &Filter, allowed: &Row, text: Slice) -> Row {
        let bytes = self.text.at(text);
        let known = self.scans.iter().find(|(scanned, _)| {
            *scanned == text || self.text.at(*scanned).eq_ignore_ascii_case(bytes)
        });
        if let Some(&(_, hits)) = known {
            return hits;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(bytes);
        self.scratch.make_ascii_lowercase();
        let hits = filter.hits(allowed, &self.scratch);
        self.work.bytes_scanned += text.len() as u64;
        self.scans.push((text, hits));
        hits
    }

    /// Whether the test holds for a text; unlike a rule's run this leaves no trace.
    fn would_match(&mut self, test: &Test, text: Slice) -> bool {
        self.work.evaluations += 1;
        self.work.bytes_tested += text.len() as u64;
        let Template::Literal(argument) = &test.argument else {
            return true;
        };
        // What gives up is left to the rule's own run, which counts it.
        test.operator
            .evaluate(self.text.at(*argument), self.text.at(text), None)
            .unwrap_or(true)
    }

    /// The same for a test of what each step of its chain leaves.
    fn would_match_at_a_step(
        &mut self,
        rules: &RuleSet,
        filter: &Filter,
        bit: u16,
        test: &Test,
        value: &Tried,
    ) -> bool {
        let has_literals = filter.literals_at_steps.contains(bit);
        let holds = |t: &mut Self, text: Slice| {
            let may = !has_literals || t.hits(filter, &value.allowed, text).contains(bit);
            may && t.would_match(test, text)
        };
        if holds(self, value.raw) {
            return true;
        }
        rules.chains.steps(test.chain).into_iter().any(|(node, _)| {
            let (text, changed) = self.transformed_of(rules, value.raw, node, &value.present);
            changed && holds(self, text)
        })
    }
}
