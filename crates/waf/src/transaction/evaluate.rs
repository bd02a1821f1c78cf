//! Phases, rules, chains: in which order rules run, and what a match does.
//!
//! As in ModSecurity v2, all targets of a link are tested, and its effects run at each match. The next link runs once
//! after that. Logging, disruptive action and flow are those of the first link and act when the last link has matched.

use std::sync::Arc;

use super::Transaction;
use super::state::{Entry, Name};
use super::watch::Watch;
use crate::macros::{Macro, Part, Template};
use crate::operators::Operator;
use crate::operators::numeric::number;
use crate::outcome::{Interruption, InterruptionKind, Phase};
use crate::plan::Step;
use crate::prefilter::LinkPlace;
use crate::rule::{ChainId, Disruptive, Flow, Link, Rule, Test};
use crate::ruleset::RuleSet;
use crate::settings::EngineMode;
use crate::variables::{OnlySlot, Slice, Value, Variable};

/// Where evaluation stands.
struct Site<'r> {
    rule: &'r Rule,
    link: &'r Link,
    test: &'r Test,
    place: LinkPlace,
    /// The link is its rule's last: a match is one of the rule.
    is_last: bool,
}

impl Site<'_> {
    fn is_first(&self) -> bool {
        self.place.link == 0
    }
}

impl Transaction {
    /// Runs the rules of a phase.
    pub(super) fn run(&mut self, phase: Phase) -> Option<Interruption> {
        match &self.watch {
            None => self.run_phase::<false>(phase),
            Some(_) => self.run_phase::<true>(phase),
        }
    }

    /// Exists twice, so that nobody pays for a watch that is not there.
    fn run_phase<const WATCHED: bool>(&mut self, phase: Phase) -> Option<Interruption> {
        if !self.context.state().may_run(phase) {
            return None;
        }
        let rules = Arc::clone(&self.rules);
        // Phases count from 1.
        let at = phase as usize - 1;
        self.note::<WATCHED>(Watch::pass_over);
        self.matcher.begin_phase();
        // The prefilter looks at values before any rule runs: it knows only targets that rules cannot change within a
        // phase.
        let filter = rules.filters.get(at).and_then(Option::as_ref);
        self.matcher
            .propose(&rules, &mut self.context, &mut self.budget, filter);
        self.note::<WATCHED>(Watch::end_prefilter);
        // A trace and the probe report every rule, so they need the plan with the rules that were decided at load.
        let sees_all = WATCHED && self.watch.as_deref().is_some_and(Watch::sees_all);
        let plan = rules
            .plans(sees_all || self.matches.trace().is_on())
            .get(at)?;
        let mut walk = plan.walk(self.matcher.hot());
        while let Some(step) = walk.next().and_then(|at| plan.steps.get(at as usize)) {
            // An effect of a link can turn the engine off even if a later link of its chain does not match.
            if self.context.state().mode() == EngineMode::Off
                || self.budget.is_overdrawn(&mut self.context)
            {
                break;
            }
            let (index, jump) = match step {
                Step::Rule { index, jump } => (*index, *jump),
                Step::Set(sets) => {
                    let tx = self.context.state_mut().tx_mut();
                    for &(slot, value) in sets {
                        tx.set(Name::Slot(slot), Entry::Text(value));
                    }
                    // The clock must not count this for the rule that runs next.
                    self.note::<WATCHED>(Watch::pass_over);
                    continue;
                }
                Step::Jump(to) => {
                    walk.skip_to(*to);
                    continue;
                }
            };
            if self.context.state().exclusions().removes_rule(index) {
                self.keep_back(&rules, index, None);
                continue;
            }
            self.note::<WATCHED>(|watch| watch.begin_rule(index));
            let Some(rule) = rules.rules.get(index as usize) else {
                continue;
            };
            let matched = self.run_rule(&rules, index, rule);
            self.note::<WATCHED>(|watch| watch.end_rule(index, rule.id));
            if !matched {
                continue;
            }
            let state = self.context.state_mut();
            // In phase 5 the interruption comes from an earlier phase, and logging rules run all the same.
            if state.interruption().is_some() && phase != Phase::Logging {
                break;
            }
            if let (Disruptive::Allow(scope), true) = (&rule.disruptive, state.disrupts(rule)) {
                state.allow(*scope, phase);
                break;
            }
            if let Flow::Jump(_) = rule.flow {
                walk.skip_to(jump);
            }
        }
        let state = self.context.state_mut();
        state.matching_mut().end_phase();
        // In phase 5 it is that of an earlier phase, which was reported then.
        state.interruption().filter(|i| i.phase == phase).cloned()
    }

    #[inline]
    fn note<const WATCHED: bool>(&mut self, note: impl FnOnce(&mut Watch)) {
        if WATCHED && let Some(watch) = &mut self.watch {
            note(watch);
        }
    }

    /// An exclusion keeps a rule from running, or from looking at this value.
    fn keep_back(&mut self, rules: &RuleSet, rule: u32, value: Option<&Value>) {
        let watch = self.watch.as_deref_mut().and_then(Watch::exclusions_mut);
        if let Some(watch) = watch {
            watch.keep_back(rules, &self.context, rule, value);
        }
    }

    /// Whether an exclusion takes this value from this rule.
    fn is_excluded(&mut self, rules: &RuleSet, rule: u32, value: &Value) -> bool {
        let is_excluded = self.context.is_excluded(rule, value);
        if is_excluded {
            self.keep_back(rules, rule, Some(value));
        }
        is_excluded
    }

    /// Whether the whole chain matched.
    fn run_rule(&mut self, rules: &RuleSet, index: u32, rule: &Rule) -> bool {
        self.context.state_mut().matching_mut().begin_rule(index);
        if let Some(listing) = &rule.listing
            && let Some(test) = rule.links.first().and_then(|link| link.test.as_ref())
            && self.is_unlisted(rules, index, listing, test)
        {
            return false;
        }
        for (position, link) in (0u16..).zip(&rule.links) {
            let is_last = usize::from(position) + 1 == rule.links.len();
            let matched = match &link.test {
                None => {
                    self.run_unconditional(rules, rule, link, is_last);
                    true
                }
                Some(test) => {
                    let site = Site {
                        rule,
                        link,
                        test,
                        place: LinkPlace {
                            rule: index,
                            link: position,
                        },
                        is_last,
                    };
                    self.run_link(rules, &site)
                }
            };
            // `ctl:ruleEngine=Off` takes effect at once: the rest of the chain does not run.
            if !matched || !is_last && self.context.state().mode() == EngineMode::Off {
                return false;
            }
        }
        true
    }

    /// A link without a test, which always matches.
    fn run_unconditional(&mut self, rules: &RuleSet, rule: &Rule, link: &Link, is_last: bool) {
        if is_last {
            self.context.state_mut().raise_severity(rule.about.severity);
        }
        self.perform(rules, &link.effects);
        if is_last {
            self.conclude(rules, rule, None);
        }
    }

    /// Whether a value of the link's targets matched.
    fn run_link(&mut self, rules: &RuleSet, site: &Site<'_>) -> bool {
        // As in ModSecurity v2, `ctl:ruleRemoveTarget...` applies to the rule that has the id, which is the first of a
        // chain.
        let exclusions = self.context.state().exclusions();
        let excludes = site.is_first() && exclusions.of_rule(site.place.rule).next().is_some();
        if let Some(only) = site.test.targets.only_slot
            && !excludes
            && let Some(matched) = self.run_number(rules, site, only)
        {
            return matched;
        }
        if site.test.targets.stable {
            return self.run_stable(rules, site, excludes);
        }
        let values = self
            .matcher
            .current_values(rules, &mut self.context, &site.test.targets);
        let mut matched = false;
        for &value in &values {
            if excludes && self.is_excluded(rules, site.place.rule, &value) {
                continue;
            }
            let hit = self.run_value(rules, site, value);
            matched |= hit;
            if hit && self.ends(site) {
                break;
            }
        }
        self.matcher.give_back(values);
        matched
    }

    /// The same for targets whose values cannot change within a phase. All rules with these targets share one list of
    /// values, and the prefilter knows the values.
    fn run_stable(&mut self, rules: &RuleSet, site: &Site<'_>, excludes: bool) -> bool {
        let bit = rules.bit(site.place).filter(|_| self.matcher.proposes());
        // Of the negated rules the filter holds only those that look for phrases (`!@pm`). Its proposal says that no
        // phrase occurs, which is the whole test, so the operator need not run.
        let absence = bit.filter(|_| site.test.negated);
        let (from, end) = self
            .matcher
            .listed_values(rules, &mut self.context, &site.test.targets);
        let mut matched = false;
        for at in from..end {
            let Some(value) = self.matcher.listed(at) else {
                break;
            };
            if bit.is_some_and(|b| !self.matcher.allows(b, &value))
                || excludes && self.is_excluded(rules, site.place.rule, &value)
            {
                continue;
            }
            let hit = if absence.is_some_and(|b| self.matcher.tells(b, &value)) {
                let (text, _) = self.transformed(rules, value.text, site.test.chain);
                self.hit(rules, site, Value { text, ..value }, value.text);
                true
            } else {
                self.run_value(rules, site, value)
            };
            matched |= hit;
            if hit && self.ends(site) {
                break;
            }
        }
        matched
    }

    /// Whether a match here ends the transaction or the phase, so that the remaining values are not tested.
    #[inline]
    fn ends(&self, site: &Site<'_>) -> bool {
        site.is_last && self.context.state().disrupts(site.rule)
    }

    /// Tests a link that compares one `TX` variable with a number; None for any other link. Scores and paranoia levels
    /// are compared in every transaction, and this way neither number is written out as text.
    fn run_number(&mut self, rules: &RuleSet, site: &Site<'_>, only: OnlySlot) -> Option<bool> {
        let test = site.test;
        let Operator::Compare(comparison) = test.operator else {
            return None;
        };
        // These need the value as bytes.
        if test.chain != 0 || test.multi_match || test.capture {
            return None;
        }
        let argument = match &test.argument {
            Template::Literal(slice) => number(self.context.text().at(*slice)),
            Template::Parts(parts) => match **parts {
                [Part::Macro(Macro::Tx(slot))] => self.context.tx_number(slot).unwrap_or(0),
                _ => return None,
            },
        };
        let value = match (self.context.tx_number(only.slot), only.count) {
            // `&TX:name` is 1 or 0: a `TX` variable has at most one value.
            (value, true) => i64::from(value.is_some()),
            (Some(value), false) => value,
            // A variable that is not set has no value to test, so that even a negated operator does not match.
            (None, false) => return Some(false),
        };
        self.matcher.count_evaluation();
        if comparison.holds_for(argument, value) == test.negated {
            return Some(false);
        }
        let text = match self.context.state().tx().entry(Name::Slot(only.slot)) {
            _ if only.count => rules.digit(u8::from(value != 0)),
            Entry::Text(text) => text,
            Entry::Number(_) | Entry::Unset => self.context.text_mut().push_number(value),
        };
        let key = Some(rules.slot_name(only.slot));
        self.hit(rules, site, Value::new(Variable::Tx, key, text), text);
        Some(true)
    }

    /// One value through the link's transformations and operator; effects run at each match.
    fn run_value(&mut self, rules: &RuleSet, site: &Site<'_>, value: Value) -> bool {
        let test = site.test;
        if !test.multi_match {
            let (text, _) = self.transformed(rules, value.text, test.chain);
            return self.run_text(rules, site, Value { text, ..value }, value.text);
        }
        // `multiMatch` tests the value as received and after each transformation that changed it.
        let mut matched = self.run_text(rules, site, value, value.text);
        for (node, _) in rules.chains.steps(test.chain) {
            if matched && self.ends(site) {
                break;
            }
            let (text, changed) = self.transformed(rules, value.text, node);
            if changed {
                matched |= self.run_text(rules, site, Value { text, ..value }, value.text);
            }
        }
        matched
    }

    #[inline]
    fn transformed(&mut self, rules: &RuleSet, raw: Slice, chain: ChainId) -> (Slice, bool) {
        let text = self.context.text_mut();
        self.matcher.transformed(rules, text, raw, chain)
    }

    #[inline]
    fn run_text(
        &mut self,
        rules: &RuleSet,
        site: &Site<'_>,
        value: Value,
        received: Slice,
    ) -> bool {
        let matched = self
            .matcher
            .test(rules, &mut self.context, site.test, value.text);
        if matched {
            self.hit(rules, site, value, received);
        }
        matched
    }

    /// Handles a matching value: its effects, and what follows if the link is the last.
    fn hit(&mut self, rules: &RuleSet, site: &Site<'_>, value: Value, received: Slice) {
        self.context.note_match(value, received);
        if site.is_first()
            && let Some(watch) = self.watch.as_deref_mut().and_then(Watch::exclusions_mut)
        {
            let value = Value {
                text: received,
                ..value
            };
            watch.note_hit(&mut self.context, site.place.rule, value);
        }
        if site.is_last {
            // Before the effects and the record, whose macros may read `HIGHEST_SEVERITY`.
            let severity = site.rule.about.severity;
            self.context.state_mut().raise_severity(severity);
        }
        // Before the record: `msg` and `logdata` may read what `setvar` has just set.
        self.perform(rules, &site.link.effects);
        if site.is_last {
            self.conclude(rules, site.rule, Some((value, received)));
        }
    }

    /// The whole rule matched: records it, and ends the transaction if the rule says so.
    fn conclude(&mut self, rules: &RuleSet, rule: &Rule, matched: Option<(Value, Slice)>) {
        let ends =
            self.context.state().disrupts(rule) && !matches!(rule.disruptive, Disruptive::Allow(_));
        self.matches.note_relevance(rule);
        if let Some(watch) = self.watch.as_deref_mut().and_then(Watch::exclusions_mut)
            && let Some(index) = self.context.state().matching().rule()
        {
            watch.conclude(rules, &self.context, index);
        }
        // A match that ends the transaction is recorded even with `nolog`: otherwise nothing would explain the refusal.
        if rule.log || ends || self.matches.trace().is_on() {
            self.matches
                .record(rules, &mut self.context, rule, matched, ends);
        }
        if ends {
            self.interrupt(rules, rule);
        } else if rule.disruptive != Disruptive::Pass {
            self.context.state_mut().detect(rule);
        }
    }

    /// Ends the transaction with the disruptive action of the rule.
    fn interrupt(&mut self, rules: &RuleSet, rule: &Rule) {
        let kind = match &rule.disruptive {
            Disruptive::Redirect(to) => {
                let to = self.context.expand(rules, to);
                InterruptionKind::Redirect(self.context.text().at(to).to_vec())
            }
            Disruptive::Drop => InterruptionKind::Drop,
            // Of these only `deny` ends a transaction; `conclude` has asked.
            Disruptive::Deny | Disruptive::Allow(_) | Disruptive::Pass => InterruptionKind::Deny,
        };
        self.context.state_mut().interrupt(Interruption {
            kind,
            status: rule.ending_status(),
            rule_id: rule.id,
            phase: rule.phase,
        });
    }
}
