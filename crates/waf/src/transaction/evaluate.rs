//! Phases, rules, chains: what runs in which order and what a match does.
//!
//! As ModSecurity v2: all targets of a link are tried and its effects run at each match; the next link
//! runs once after that; log, disruptive action and flow are the starter's and act when the last link matched.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::sync::Arc;

use super::masking::Unmarked;
use super::tx::{Entry, Name};
use super::{Allowed, EngineMode, Interruption, InterruptionKind, Phase, RuleSet, Transaction};
use crate::byteset::ByteSet;
use crate::macros::{Macro, Part, Template};
use crate::operators::numeric::number;
use crate::operators::{Captures, Group, Limit, Operator};
use crate::plan::Step;
use crate::rule::{AllowScope, ChainId, Disruptive, Flow, Link, Rule, Test};
use crate::steps;
use crate::variables::{OnlySlot, Slice, Value, Variable};

impl Transaction {
    pub(super) fn run(&mut self, phase: Phase) -> Option<Interruption> {
        if !self.may_run(phase) {
            return None;
        }
        let rules = Arc::clone(&self.rules);
        self.lists.fill(None);
        self.listed.clear();
        self.propose(&rules, rules.filters[phase as usize - 1].as_ref());
        let watched = self.trace || self.reached.is_some();
        let plan = &rules.plans(watched)[phase as usize - 1];
        let mut walk = plan.walk(self.proposals.hot());
        while let Some(step) = walk.next().and_then(|at| plan.steps.get(at as usize)) {
            // `ctl:ruleEngine=Off`, also by a chain that failed later.
            if self.engine == EngineMode::Off || self.is_overdrawn() {
                break;
            }
            let (index, jump) = match step {
                Step::Rule { index, jump } => (*index, *jump),
                Step::Set(sets) => {
                    for &(slot, value) in sets {
                        self.tx.set(Name::Slot(slot), Entry::Text(value));
                    }
                    continue;
                }
                Step::Jump(to) => {
                    walk.skip_to(*to);
                    continue;
                }
            };
            if self.removed.contains(index as usize) {
                continue;
            }
            if let Some(reached) = &mut self.reached {
                reached.insert(index as usize);
            }
            let rule = &rules.rules[index as usize];
            if !self.run_rule(&rules, index, rule) {
                continue;
            }
            if self.interruption.is_some() && phase != Phase::Logging {
                break;
            }
            if let (Disruptive::Allow(scope), true) = (&rule.disruptive, self.disrupts(rule)) {
                self.allow(*scope, phase);
                break;
            }
            if let Flow::Jump(_) = rule.flow {
                walk.skip_to(jump);
            }
        }
        self.matching.rule = None;
        self.interruption.clone().filter(|i| i.phase == phase)
    }

    fn may_run(&self, phase: Phase) -> bool {
        if self.engine == EngineMode::Off {
            return false;
        }
        if phase == Phase::Logging {
            return true;
        }
        let skipped = match self.allowed {
            Allowed::Nothing => false,
            Allowed::Request => phase <= Phase::RequestBody,
            Allowed::Transaction => true,
        };
        self.interruption.is_none() && !skipped
    }

    fn allow(&mut self, scope: AllowScope, phase: Phase) {
        match scope {
            AllowScope::Phase => {}
            AllowScope::Request if phase <= Phase::RequestBody => self.allowed = Allowed::Request,
            AllowScope::Request => {}
            AllowScope::Transaction => self.allowed = Allowed::Transaction,
        }
    }

    /// Whether a match of this rule ends something: in phase 5 there is nothing left to end.
    fn disrupts(&self, rule: &Rule) -> bool {
        rule.phase != Phase::Logging && self.interrupts(&rule.disruptive)
    }

    /// Whether the whole chain matched.
    fn run_rule(&mut self, rules: &RuleSet, index: u32, rule: &Rule) -> bool {
        self.matching.rule = Some(index);
        self.matching.values.clear();
        for (position, link) in rule.links.iter().enumerate() {
            if !self.run_link(rules, index, rule, link, position) {
                return false;
            }
            if self.engine == EngineMode::Off && position + 1 < rule.links.len() {
                return false;
            }
        }
        true
    }

    fn run_link(
        &mut self,
        rules: &RuleSet,
        index: u32,
        rule: &Rule,
        link: &Link,
        position: usize,
    ) -> bool {
        let last = position + 1 == rule.links.len();
        let Some(test) = &link.test else {
            if last {
                self.raise_severity(rule);
            }
            self.perform(rules, &link.effects);
            if last {
                self.conclude(rules, rule, None);
            }
            return true;
        };
        // As in ModSecurity v2, `ctl:ruleRemoveTarget...` means the rule with that id: a chain's first.
        let mut takings = self.removed_targets.iter().filter(|_| position == 0);
        let takings = takings.any(|r| r.rules.contains(index as usize));
        if let Some(only) = test.targets.only_slot
            && !takings
            && let Some(matched) = self.run_number(rules, rule, link, test, only, last)
        {
            return matched;
        }
        let mut matched = false;
        let mut step = |t: &mut Self, value: Value, told: bool| {
            let hit = if told {
                let (text, _) = t.transformed(rules, value.text, test.chain);
                let transformed = Value { text, ..value };
                t.hit(rules, rule, link, transformed, value.text, last);
                true
            } else {
                t.run_value(rules, rule, link, test, value, last)
            };
            matched |= hit;
            // The first match that ends something is the last one that is looked for.
            !(hit && last && t.disrupts(rule))
        };
        if test.targets.stable {
            // Only a rule's first link is proposed for values.
            let bit = rules
                .bit(index)
                .filter(|_| position == 0 && self.proposals.active);
            // Of rules that negate a filter has those that look for phrases: that none occurs is all of a match.
            let absence = bit.filter(|_| test.negated);
            let (from, end) = self.listed_values(rules, test);
            for at in from..end {
                let value = self.listed[at as usize];
                if bit.is_some_and(|b| !self.proposals.allows(b, &value))
                    || takings && self.is_taken(index, &value)
                {
                    continue;
                }
                let told = absence.is_some_and(|b| self.proposals.tells(b, &value));
                if !step(self, value, told) {
                    break;
                }
            }
            return matched;
        }
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        self.collect(rules, &test.targets, &mut values);
        for &value in &values {
            if takings && self.is_taken(index, &value) {
                continue;
            }
            if !step(self, value, false) {
                break;
            }
        }
        self.values = values;
        matched
    }

    /// A link that compares the number of one `TX` variable; None where it does something else.
    fn run_number(
        &mut self,
        rules: &RuleSet,
        rule: &Rule,
        link: &Link,
        test: &Test,
        only: OnlySlot,
        last: bool,
    ) -> Option<bool> {
        let Operator::Compare(comparison) = test.operator else {
            return None;
        };
        if test.chain != 0 || test.multi_match || test.capture {
            return None;
        }
        let argument = match &test.argument {
            Template::Literal(slice) => number(self.text.at(*slice)),
            Template::Parts(parts) => match **parts {
                [Part::Macro(Macro::Tx(slot))] => self.tx_number(slot).unwrap_or(0),
                _ => return None,
            },
        };
        let value = match (self.tx_number(only.slot), only.count) {
            (value, true) => i64::from(value.is_some()),
            (Some(value), false) => value,
            (None, false) => return Some(false),
        };
        self.work.evaluations += 1;
        if comparison.holds_for(argument, value) == test.negated {
            return Some(false);
        }
        let text = match self.tx.entry(Name::Slot(only.slot)) {
            _ if only.count => rules.digit(u8::from(value != 0)),
            Entry::Text(text) => text,
            Entry::Number(_) | Entry::Unset => self.text.push_number(value),
        };
        let key = Some(rules.slot_name(only.slot));
        self.hit(
            rules,
            rule,
            link,
            Value::new(Variable::Tx, key, text),
            text,
            last,
        );
        Some(true)
    }

    /// A `TX` variable as a number.
    fn tx_number(&self, slot: u32) -> Option<i64> {
        match self.tx.entry(Name::Slot(slot)) {
            Entry::Unset => None,
            Entry::Number(number) => Some(number),
            Entry::Text(text) => Some(number(self.text.at(text))),
        }
    }

    /// Where in `listed` the values of a stable list are.
    fn listed_values(&mut self, rules: &RuleSet, test: &Test) -> (u32, u32) {
        let id = test.targets.id as usize;
        if let Some(Some(range)) = self.lists.get(id) {
            return *range;
        }
        let mut listed = std::mem::take(&mut self.listed);
        let position = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let first = listed.len();
        let mut values = Vec::new();
        self.collect(rules, &test.targets, &mut values);
        listed.append(&mut values);
        let range = (position(first), position(listed.len()));
        self.listed = listed;
        if let Some(place) = self.lists.get_mut(id) {
            *place = Some(range);
        }
        range
    }

    /// One value through the link's transformations and operator; effects run at each match.
    fn run_value(
        &mut self,
        rules: &RuleSet,
        rule: &Rule,
        link: &Link,
        test: &Test,
        value: Value,
        last: bool,
    ) -> bool {
        if !test.multi_match {
            let (text, _) = self.transformed(rules, value.text, test.chain);
            return self.run_text(
                rules,
                rule,
                link,
                test,
                Value { text, ..value },
                value.text,
                last,
            );
        }
        let mut matched = self.run_text(rules, rule, link, test, value, value.text, last);
        for (node, _) in rules.chains.steps(test.chain) {
            if matched && last && self.disrupts(rule) {
                break;
            }
            let (text, changed) = self.transformed(rules, value.text, node);
            if changed {
                matched |= self.run_text(
                    rules,
                    rule,
                    link,
                    test,
                    Value { text, ..value },
                    value.text,
                    last,
                );
            }
        }
        matched
    }

    #[allow(clippy::too_many_arguments)] // the rule, the place in it and the value in its two forms
    fn run_text(
        &mut self,
        rules: &RuleSet,
        rule: &Rule,
        link: &Link,
        test: &Test,
        value: Value,
        received: Slice,
        last: bool,
    ) -> bool {
        if !self.test(rules, test, value.text) {
            return false;
        }
        self.hit(rules, rule, link, value, received, last);
        true
    }

    /// A value matched: what it changes, and what it is the end of.
    fn hit(
        &mut self,
        rules: &RuleSet,
        rule: &Rule,
        link: &Link,
        value: Value,
        received: Slice,
        last: bool,
    ) {
        self.matching.value = Some(value);
        self.matching.received = received;
        self.matching.values.push(value);
        // Looked through for secrets only if something is told of this transaction.
        self.unmarked.push(Unmarked::Matched(value, received));
        if last {
            self.raise_severity(rule);
        }
        self.perform(rules, &link.effects);
        if last {
            self.conclude(rules, rule, Some((value, received)));
        }
    }

    /// `HIGHEST_SEVERITY`: of rules that matched to their last link.
    fn raise_severity(&mut self, rule: &Rule) {
        if let Some(severity) = rule.about.severity {
            self.highest_severity = self.highest_severity.min(severity);
        }
    }

    /// Whether the operator, negation applied, holds for these bytes; keeps what it captured.
    fn test(&mut self, rules: &RuleSet, test: &Test, text: Slice) -> bool {
        // What the value would have become is not known either.
        if steps::is_over() {
            return false;
        }
        self.work.evaluations += 1;
        self.work.bytes_tested += text.len() as u64;
        // An argument of several parts is put together aside: it is made anew for each value.
        let mut joined = std::mem::take(&mut self.joined);
        let alone = self.join(rules, &test.argument, &mut joined);
        let argument = alone.map_or(&joined[..], |slice| self.text.at(slice));
        let mut captures = std::mem::take(&mut self.captures);
        captures.clear();
        let wanted = (test.capture && !test.negated).then_some(&mut captures);
        let result = test.operator.evaluate(argument, self.text.at(text), wanted);
        self.joined = joined;
        let matched = match result {
            Ok(matched) => matched != test.negated,
            // The walk over the rules sees it next.
            Err(Limit::Time) => false,
            Err(limit) => {
                self.limit_hit(&limit);
                false
            }
        };
        if matched && test.capture && !test.negated {
            self.keep_captures(text, &captures);
        }
        self.captures = captures;
        matched
    }

    fn keep_captures(&mut self, text: Slice, captures: &Captures) {
        if captures.is_empty() {
            return;
        }
        for (slot, group) in (0..).zip(captures.groups()) {
            let slice = match group {
                Group::OfValue(range) => text.part(range.start, range.end),
                Group::Own(range) => self.text.push(captures.own(range)),
                Group::Absent => Slice::EMPTY,
            };
            self.tx.set(Name::Slot(slot), Entry::Text(slice));
        }
        self.tx.clear_captures(captures.len());
    }

    /// A value after a chain, and whether the chain's last step changed it.
    pub(super) fn transformed(
        &mut self,
        rules: &RuleSet,
        raw: Slice,
        chain: ChainId,
    ) -> (Slice, bool) {
        if chain == 0 {
            return (raw, false);
        }
        if let Some(done) = self.memo.find(raw, chain) {
            return done;
        }
        self.transformed_of(rules, raw, chain, &ByteSet::ALL)
    }

    /// The same for a value whose bytes are known: a step that none of them can trigger is not taken.
    pub(super) fn transformed_of(
        &mut self,
        rules: &RuleSet,
        raw: Slice,
        chain: ChainId,
        present: &ByteSet,
    ) -> (Slice, bool) {
        let (result, changed, _) = self.transform(rules, raw, chain, present);
        (result, changed)
    }

    /// Also gives the bytes that the result may hold.
    fn transform(
        &mut self,
        rules: &RuleSet,
        raw: Slice,
        chain: ChainId,
        present: &ByteSet,
    ) -> (Slice, bool, ByteSet) {
        let node = rules.chains.node(chain);
        let Some(step) = node.transformation else {
            return (raw, false, *present);
        };
        let (input, _, present) = self.transform(rules, raw, node.parent, present);
        if steps::is_over() {
            return (input, false, present);
        }
        let idle = !node.triggers.intersects(&present) && !step.alters_empty();
        if let Some((result, changed)) = self.memo.find(raw, chain) {
            let present = if changed {
                step.may_leave(present)
            } else {
                present
            };
            return (result, changed, present);
        }
        if idle {
            self.memo.keep(raw, chain, input, false);
            return (input, false, present);
        }
        self.work.bytes_transformed += input.len() as u64;
        let mut out = std::mem::take(&mut self.scratch);
        let map = rules.settings().unicode_map.as_deref();
        let changed = step.apply(self.text.at(input), &mut out, map);
        if steps::is_over() {
            self.scratch = out;
            return (input, false, present);
        }
        let result = if changed { self.text.push(&out) } else { input };
        self.scratch = out;
        self.memo.keep(raw, chain, result, changed);
        let present = if changed {
            step.may_leave(present)
        } else {
            present
        };
        (result, changed, present)
    }

    /// The whole rule matched: tell, and end the transaction where it says so.
    fn conclude(&mut self, rules: &RuleSet, rule: &Rule, matched: Option<(Value, Slice)>) {
        let ends = self.disrupts(rule) && !matches!(rule.disruptive, Disruptive::Allow(_));
        if rule.audit_log && (rule.log || rule.disruptive != Disruptive::Pass) {
            self.audit_relevant = true;
        }
        if rule.log || ends || self.trace {
            self.record(rules, rule, matched, ends);
        }
        if !ends {
            return;
        }
        let (kind, default_status) = match &rule.disruptive {
            Disruptive::Redirect(to) => {
                let to = self.expand(rules, to);
                (InterruptionKind::Redirect(self.text.at(to).to_vec()), 302)
            }
            Disruptive::Drop => (InterruptionKind::Drop, 403),
            Disruptive::Deny | Disruptive::Allow(_) | Disruptive::Pass => {
                (InterruptionKind::Deny, 403)
            }
        };
        let status = match &kind {
            // A redirect's status must be one; anything else means 302.
            InterruptionKind::Redirect(_) => {
                rule.status.filter(|s| [301, 302, 303, 307].contains(s))
            }
            _ => rule.status,
        };
        self.interruption = Some(Interruption {
            kind,
            status: status.unwrap_or(default_status),
            rule_id: rule.id,
            phase: rule.phase,
        });
    }
}
