//! At the start of a phase: which (rule, value) pairs can match.
//!
//! A proposal too many costs time; one too few lets an attack pass. A pair in doubt is therefore proposed, and tests
//! compare every verdict with that of an engine without proposals.

use std::cell::RefCell;

use super::super::budget::Budget;
use super::super::context::Context;
use super::Matcher;
use super::derived::DerivedValue;
use crate::macros::Template;
use crate::prefilter::{
    AtSteps, Cache, Chain, Class, Filter, Key, LONGEST_CACHED, PhaseFilter, Row,
};
use crate::rule::{ChainId, Test};
use crate::ruleset::RuleSet;
use crate::steps;
use crate::variables::{Select, Slice, Text};

thread_local! {
    /// Rows of values this thread has seen.
    static SEEN: RefCell<Cache> = RefCell::default();
}

/// A value that is looked at for proposals.
struct Tried<'f, const N: usize> {
    rules: &'f RuleSet,
    filter: &'f Filter<N>,
    received: DerivedValue,
    /// Rules that its bytes allow.
    allowed: Row<N>,
}

impl Matcher {
    /// Looks once at every value that rules of the phase look at.
    pub(crate) fn propose(
        &mut self,
        rules: &RuleSet,
        context: &mut Context,
        budget: &mut Budget,
        filter: Option<&PhaseFilter>,
    ) {
        self.proposals.begin_phase(filter.is_some());
        match filter {
            None => {}
            Some(PhaseFilter::Single(filter)) => self.propose_by(rules, context, budget, filter),
            Some(PhaseFilter::Narrow(filter)) => self.propose_by(rules, context, budget, filter),
            Some(PhaseFilter::Medium(filter)) => self.propose_by(rules, context, budget, filter),
            Some(PhaseFilter::Wide(filter)) => self.propose_by(rules, context, budget, filter),
        }
    }

    fn propose_by<const N: usize>(
        &mut self,
        rules: &RuleSet,
        context: &mut Context,
        budget: &mut Budget,
        filter: &Filter<N>,
    ) {
        let mut values = std::mem::take(&mut self.values);
        for classes in &filter.classes {
            values.clear();
            context.select(rules, classes.variable, &Select::All, None, &mut values);
            self.proposals.begin_variable(classes.variable);
            for value in &values {
                // The rules will not run either.
                if budget.is_overdrawn(context) {
                    break;
                }
                let class = match value.key {
                    Some(key) if !classes.named.is_empty() => classes.of(context.text().at(key)),
                    _ => &classes.any,
                };
                let row = self.row(rules, context.text_mut(), filter, class, value.text);
                self.proposals.push(row);
            }
        }
        values.clear();
        self.values = values;
    }

    /// The rules of the class whose first link matches these bytes.
    fn row<const N: usize>(
        &mut self,
        rules: &RuleSet,
        text: &mut Text,
        filter: &Filter<N>,
        class: &Class<N>,
        value: Slice,
    ) -> Row {
        if class.rules.is_empty() || class.marks.are_absent_in(text.at(value)) {
            return Row::default();
        }
        // Long values rarely come again, and the cache would copy them.
        if value.len() > LONGEST_CACHED {
            return self.find_row(rules, text, filter, class, value).resized();
        }
        let (place, known) = SEEN.with_borrow(|seen| {
            let key = key(filter, class, text, value);
            let place = seen.place(&key);
            (place, seen.find(place, &key).copied())
        });
        if let Some(row) = known {
            return row;
        }
        let row = self.find_row(rules, text, filter, class, value).resized();
        // Out of time, the row may lack rules; the cache outlives this transaction and must not keep it.
        if steps::is_over() {
            return row;
        }
        SEEN.with_borrow_mut(|seen| seen.keep(place, &key(filter, class, text, value), &row));
        row
    }

    fn find_row<const N: usize>(
        &mut self,
        rules: &RuleSet,
        text: &mut Text,
        filter: &Filter<N>,
        class: &Class<N>,
        value: Slice,
    ) -> Row<N> {
        let sight = filter.look_at(&class.rules, text.at(value));
        let allowed = sight.allowed;
        self.work.bytes_scanned += value.len() as u64;
        if allowed.is_empty() {
            return allowed;
        }
        self.scans.clear();
        let tried = Tried {
            rules,
            filter,
            received: self.derived.begin(rules, text, value, &sight.present),
            allowed,
        };
        let mut found = Row::default();
        let at_steps = filter.at_steps.iter();
        for rule in at_steps.filter(|rule| allowed.contains(rule.bit)) {
            if self.would_match_at_a_step(text, &tried, rule) {
                found.insert(rule.bit);
            }
        }
        let mut unchanged = allowed.without(&filter.tests_steps);
        // The rules of other chains see the value as received, below.
        for chain in filter.triggered(&sight) {
            let its = allowed.and(&chain.rules);
            if its.is_empty() {
                continue;
            }
            unchanged = unchanged.without(&chain.rules);
            self.try_chain(text, &tried, chain, its, &mut found);
        }
        if !unchanged.is_empty() {
            self.try_rules(text, &tried, 0, &unchanged, &mut found);
        }
        self.work.bytes_transformed += self.derived.end(text);
        found
    }

    /// Tries the rules `its` of a chain that may change the value.
    fn try_chain<const N: usize>(
        &mut self,
        text: &mut Text,
        value: &Tried<'_, N>,
        chain: &Chain<N>,
        mut its: Row<N>,
        found: &mut Row<N>,
    ) {
        // Often the chain can make no literal that the value as received lacks, and mostly that has none: then nothing
        // is transformed.
        let like_received = value
            .filter
            .like_received(chain, &value.received.present, &its);
        if !like_received.is_empty() {
            let hits = self.hits(text, value, &value.received);
            its = its.without(&like_received.without(&hits));
            if its.is_empty() {
                return;
            }
        }
        self.try_rules(text, value, chain.id, &its, found);
    }

    /// Tries the rules `its`, which look at the value after the same chain.
    fn try_rules<const N: usize>(
        &mut self,
        text: &mut Text,
        value: &Tried<'_, N>,
        chain: ChainId,
        its: &Row<N>,
        found: &mut Row<N>,
    ) {
        let filter = value.filter;
        let mut left = *its;
        if its.intersects(&filter.with_literals) {
            let derived = self.derived(text, value, chain);
            let changed = derived.text;
            let hits = self.hits(text, value, &derived);
            // For `@pm` a phrase that occurs is a match; for `!@pm` a match is that none occurs. The scan has answered
            // both.
            let phrases = its.and(&filter.phrases);
            found.union(&phrases.and(&hits).without(&filter.negated));
            found.union(&phrases.and(&filter.negated).without(&hits));
            // Without its literals such a rule can match only at the start of the value.
            let anchored = its.and(&filter.anchored).without(&hits);
            if !anchored.is_empty() {
                self.work.evaluations += 1;
                self.work.bytes_tested += changed.len() as u64;
                found.union(&filter.starting(&anchored, text.at(changed)));
            }
            left = its
                .without(&filter.phrases)
                .without(&filter.with_literals.without(&hits));
        }
        for bit in left.iter() {
            let place = filter.links.get(usize::from(bit));
            let Some(test) = place.and_then(|&place| value.rules.test(place)) else {
                continue;
            };
            let changed = self.derived(text, value, chain).text;
            if self.would_match(text, test, changed) {
                found.insert(bit);
            }
        }
    }

    fn derived<const N: usize>(
        &mut self,
        text: &mut Text,
        value: &Tried<'_, N>,
        chain: ChainId,
    ) -> DerivedValue {
        self.derived
            .after(value.rules, text, chain, &mut self.scratch)
    }

    /// Which of the allowed rules' literals occur in a value. Literals are compared in lower case, so texts that differ
    /// only in case share one scan.
    fn hits<const N: usize>(
        &mut self,
        text: &Text,
        value: &Tried<'_, N>,
        derived: &DerivedValue,
    ) -> Row<N> {
        let bytes = text.at(derived.text);
        let known = self.scans.iter().find(|(scanned, _)| {
            *scanned == derived.text || text.at(*scanned).eq_ignore_ascii_case(bytes)
        });
        if let Some((_, hits)) = known {
            return hits.resized();
        }
        self.lower_case(bytes);
        let hits = value
            .filter
            .hits(&value.allowed, &self.scratch, &derived.present);
        self.work.bytes_scanned += derived.text.len() as u64;
        self.scans.push((derived.text, hits.resized()));
        hits
    }

    /// Whether the test holds for a value. Unlike the run of a rule it changes nothing.
    fn would_match(&mut self, text: &Text, test: &Test, value: Slice) -> bool {
        self.work.evaluations += 1;
        self.work.bytes_tested += value.len() as u64;
        let Template::Literal(argument) = &test.argument else {
            return true;
        };
        // An operator that reaches a limit is proposed: the run of the rule reaches it again and reports it.
        test.operator
            .evaluate(text.at(*argument), text.at(value), None)
            .unwrap_or(true)
    }

    /// The same for `multiMatch`, which tests the value after each step of its chain.
    fn would_match_at_a_step<const N: usize>(
        &mut self,
        text: &mut Text,
        value: &Tried<'_, N>,
        rule: &AtSteps,
    ) -> bool {
        let Some(test) = value.rules.test(rule.link) else {
            return true;
        };
        let received = &value.received;
        if rule.lacks_core(text.at(received.text), &received.present) {
            return false;
        }
        let bit = rule.bit;
        let has_literals = value.filter.literals_at_steps.contains(bit);
        let holds = |matcher: &mut Self, text: &Text, step: &DerivedValue| {
            rule.need.is_met(&step.present, step.text.len())
                && (!has_literals || matcher.hits_at_a_step(text, value, step, bit))
                && matcher.would_match(text, test, step.text)
        };
        if holds(self, text, &value.received) {
            return true;
        }
        let mut last = value.received;
        for &node in &rule.nodes {
            if let Some(decoded) = rule.decoded.as_ref().filter(|d| d.node == node) {
                self.work.bytes_scanned += last.text.len() as u64;
                if !decoded.may_match(text.at(last.text)) {
                    return false;
                }
            }
            let next = self
                .derived
                .after_step(value.rules, text, &last, node, &mut self.scratch);
            if let Some(next) = next {
                last = next;
                if holds(self, text, &last) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether a literal of a rule that tests each step occurs in the result of a step.
    fn hits_at_a_step<const N: usize>(
        &mut self,
        text: &Text,
        value: &Tried<'_, N>,
        step: &DerivedValue,
        bit: u16,
    ) -> bool {
        if let Some((_, hits)) = self.scans.iter().find(|(scanned, _)| *scanned == step.text) {
            return hits.contains(bit);
        }
        // Decoded text is mostly noise, in which none of these few literals occurs.
        self.lower_case(text.at(step.text));
        self.work.bytes_scanned += step.text.len() as u64;
        value.filter.may_hit_at_a_step(&self.scratch) && self.hits(text, value, step).contains(bit)
    }

    /// Writes a text in lower case to `scratch`.
    fn lower_case(&mut self, text: &[u8]) {
        self.scratch.clear();
        self.scratch.extend_from_slice(text);
        self.scratch.make_ascii_lowercase();
    }
}

/// What the cache knows a value's row by.
fn key<'t, const N: usize>(
    filter: &Filter<N>,
    class: &Class<N>,
    text: &'t Text,
    value: Slice,
) -> Key<'t> {
    Key {
        filter: filter.id,
        class: class.id,
        value: text.at(value),
    }
}
