//! What a phase runs: its rules in order, without those that are decided at load.
//!
//! Most rules of a large set that run for every request test only `TX` variables that the set itself gives a fixed
//! value, above all the paranoia level. Their outcome is the same in every transaction, so it is found once. A variable
//! is fixed if every rule that writes it is itself decided and always runs.
//!
//! The method is sparse constant propagation: assume that all variables are fixed, walk the rules, withdraw the
//! assumption for what an undecided rule may write, and walk again until nothing changes.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::macros::{Macro, Part, Template};
use super::names::{CAPTURE_SLOTS, Names};
use super::operators::Operator;
use super::operators::numeric::number;
use super::prefilter::Row;
use super::rule::{
    AllowScope, Change, Control, Disruptive, Effect, Flow, Link, Place, Removal, Rule,
    RuleSelection, Test,
};
use super::variables::{Slice, Text, Variable};

/// One phase.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub steps: Vec<Step>,
    /// Steps that run whatever the prefilter proposes, in ascending order.
    unproposed: Vec<u32>,
    /// The step of each bit of the phase's filter, in ascending order: [`Walk`] merges the two lists.
    proposed: Vec<u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Rule {
        index: u32,
        /// The step at which a match continues, if the rule jumps.
        jump: u32,
    },
    /// What decided rules set, in their order.
    Set(Vec<(u32, Slice)>),
    Jump(u32),
}

/// Iterates over the steps that run, in order.
pub(super) struct Walk<'p> {
    unproposed: &'p [u32],
    proposed: &'p [u32],
    /// Bits that are left; None if every step runs.
    hot: Option<Row>,
    at: u32,
    end: u32,
}

impl Plan {
    /// `bits`: for each rule the link in the phase's filter, and its bit.
    fn new(
        list: &[u32],
        outcomes: &[RuleOutcome],
        rules: &[Rule],
        bits: &[Option<(u16, u16)>],
    ) -> Self {
        let mut plan = Self::default();
        let mut places = Vec::with_capacity(list.len() + 1);
        for (&index, outcome) in list.iter().zip(outcomes) {
            // Jumps name places in the list of rules. Where rules are left out, the next step takes their place.
            places.push(plan.next());
            match outcome {
                RuleOutcome::Runs => plan.steps.push(Step::Rule { index, jump: 0 }),
                RuleOutcome::Never => {}
                RuleOutcome::Decided { sets, jump } => {
                    if !sets.is_empty() {
                        plan.steps.push(Step::Set(sets.clone()));
                    }
                    plan.steps.extend(jump.map(Step::Jump));
                }
            }
        }
        places.push(plan.next());
        let place = |to: u32| places.get(to as usize).copied().unwrap_or(u32::MAX);
        for (at, step) in (0..).zip(&mut plan.steps) {
            let bit = match step {
                Step::Rule { index, jump } => {
                    if let Flow::Jump(to) = rules[*index as usize].flow {
                        *jump = place(to);
                    }
                    let in_filter = bits.get(*index as usize).copied().flatten();
                    // Whatever a later link needs, the links before it run.
                    in_filter.and_then(|(link, bit)| (link == 0).then_some(bit))
                }
                Step::Jump(to) => {
                    *to = place(*to);
                    None
                }
                Step::Set(_) => None,
            };
            match bit {
                None => plan.unproposed.push(at),
                Some(bit) => {
                    // A bit whose rule never runs gets the next step, so that bits and steps stay in the same order.
                    plan.proposed.resize(usize::from(bit) + 1, at);
                }
            }
        }
        plan.drop_idle_jumps();
        plan
    }

    fn next(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// A jump to the next step does nothing, so the walk need not visit it.
    fn drop_idle_jumps(&mut self) {
        let steps = &self.steps;
        self.unproposed
            .retain(|&at| !matches!(steps.get(at as usize), Some(Step::Jump(to)) if *to == at + 1));
    }

    /// `hot`: the bits of the rules that are proposed for some value; None if every rule runs.
    pub(super) fn walk(&self, hot: Option<Row>) -> Walk<'_> {
        Walk {
            unproposed: &self.unproposed,
            proposed: &self.proposed,
            hot,
            at: 0,
            end: self.next(),
        }
    }
}

impl Walk<'_> {
    /// Skips the steps before this one.
    pub(super) fn skip_to(&mut self, step: u32) {
        // Never back: that would run rules twice, perhaps for ever.
        self.at = self.at.max(step);
    }
}

impl Iterator for Walk<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let Some(hot) = &mut self.hot else {
            let at = self.at;
            self.at += 1;
            return (at < self.end).then_some(at);
        };
        while let [first, rest @ ..] = self.unproposed
            && *first < self.at
        {
            self.unproposed = rest;
        }
        let mut place = None;
        while let Some(bit) = hot.first() {
            // Bits beyond the list belong to rules that the plan left out; all later ones do too.
            let Some(&at) = self.proposed.get(usize::from(bit)) else {
                *hot = Row::default();
                break;
            };
            if at >= self.at {
                place = Some(at);
                break;
            }
            hot.remove(bit);
        }
        let next = match (self.unproposed.first(), place) {
            (Some(&a), Some(b)) => a.min(b),
            (Some(&a), None) => a,
            (None, Some(b)) => b,
            (None, None) => return None,
        };
        self.at = next + 1;
        Some(next)
    }
}

/// What is known of a rule at load.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RuleOutcome {
    Runs,
    /// It can never match, or never be reached.
    Never,
    /// It always matches, and this is all that it does.
    Decided {
        sets: Vec<(u32, Slice)>,
        jump: Option<u32>,
    },
}

/// What the plans of a rule set are made from.
pub(super) struct Source<'a> {
    pub rules: &'a [Rule],
    pub phases: &'a [Vec<u32>; 5],
    pub literals: &'a Text,
    pub names: &'a Names,
    /// What is set before the first rule.
    pub initial: &'a [(u32, Slice)],
    pub bits: &'a [Option<(u16, u16)>],
}

impl Source<'_> {
    /// Plans with every rule in its place.
    pub(super) fn whole(&self) -> [Plan; 5] {
        std::array::from_fn(|phase| {
            let list = &self.phases[phase];
            Plan::new(
                list,
                &vec![RuleOutcome::Runs; list.len()],
                self.rules,
                self.bits,
            )
        })
    }

    /// Plans without the decided rules; None if no rule may be left out.
    pub(super) fn decided(&self) -> Option<[Plan; 5]> {
        // A rule that is left out does not set `MATCHED_VAR`.
        if self.rules.iter().any(reads_last_match) {
            return None;
        }
        let mut varying = vec![false; self.names.len()];
        // Captures depend on the request.
        varying[..CAPTURE_SLOTS].fill(true);
        let outcomes = loop {
            let mut belief = Belief::new(self, &varying);
            let outcomes: [Vec<RuleOutcome>; 5] =
                std::array::from_fn(|p| belief.walk(&self.phases[p], p == 0, p == 4));
            if belief.found == varying {
                break outcomes;
            }
            // Each turn adds a variable at least, so the turns end.
            varying = belief.found;
        };
        let plan = |p: usize| Plan::new(&self.phases[p], &outcomes[p], self.rules, self.bits);
        Some(std::array::from_fn(plan))
    }
}

/// One walk over all phases under the assumption that only some variables vary.
struct Belief<'a> {
    source: &'a Source<'a>,
    varying: &'a [bool],
    /// The same, and the variables that this walk found to vary.
    found: Vec<bool>,
    /// The values of the fixed variables at this place.
    values: Vec<Option<Slice>>,
    /// Rules that an earlier rule may remove with `ctl`.
    removable: Vec<&'a RuleSelection>,
    removals: Vec<&'a Removal>,
    /// An earlier rule may end its phase with `allow`, so that later rules of the phase do not run.
    may_end: bool,
}

impl<'a> Belief<'a> {
    fn new(source: &'a Source<'a>, varying: &'a [bool]) -> Self {
        let mut values = vec![None; varying.len()];
        for &(slot, value) in source.initial {
            values[slot as usize] = Some(value);
        }
        Self {
            source,
            varying,
            found: varying.to_vec(),
            values,
            removable: Vec::new(),
            removals: Vec::new(),
            may_end: false,
        }
    }

    /// `first`: this is the phase that runs whenever another does. `last`: it also runs after an interruption.
    fn walk(&mut self, list: &[u32], first: bool, last: bool) -> Vec<RuleOutcome> {
        // A rule that the walk does not reach can never run.
        let mut outcomes = vec![RuleOutcome::Never; list.len()];
        // Places to which rules that run may jump.
        let mut landings: Vec<u32> = Vec::new();
        // Rules before this place may have been jumped over.
        let mut unsure = 0;
        let mut at = 0;
        while let Some(&index) = list.get(at as usize) {
            let rule = &self.source.rules[index as usize];
            let always = first && at >= unsure && !self.may_end;
            // Phase 5 runs after an interruption too, in which case other rules may not have run.
            let outcome = if last {
                RuleOutcome::Runs
            } else {
                self.decide(list, at, always)
            };
            let here = at;
            at += 1;
            match &outcome {
                RuleOutcome::Runs => {
                    self.meet(rule);
                    if let Flow::Jump(to) = rule.flow {
                        landings.push(to);
                        unsure = unsure.max(to);
                    }
                }
                RuleOutcome::Never => {}
                RuleOutcome::Decided { sets, jump } => {
                    for &(slot, value) in sets {
                        self.values[slot as usize] = Some(value);
                    }
                    if let &Some(to) = jump {
                        // Another jump may land between here and the target: the rules from there on can still be
                        // reached.
                        let landing = landings.iter().copied().filter(|&l| l > here).min();
                        at = landing.map_or(to, |l| l.min(to)).max(at);
                        if at < to || here < unsure {
                            unsure = unsure.max(to);
                        }
                        landings.push(to);
                    }
                }
            }
            outcomes[here as usize] = outcome;
        }
        outcomes
    }

    /// `always`: nothing keeps the rule at this place from running.
    fn decide(&self, list: &[u32], at: u32, always: bool) -> RuleOutcome {
        let index = list[at as usize] as usize;
        let rule = &self.source.rules[index];
        match self.known_match(rule) {
            None => return RuleOutcome::Runs,
            Some(false) => return RuleOutcome::Never,
            Some(true) => {}
        }
        // A rule with any other effect must run in every transaction.
        let silent = !rule.log
            && rule.disruptive == Disruptive::Pass
            && rule.about.severity.is_none()
            && rule.links.len() == 1;
        if !silent || self.removals.iter().any(|r| r.rules.contains(index)) {
            return RuleOutcome::Runs;
        }
        let Some(sets) = self.sets(&rule.links[0]) else {
            return RuleOutcome::Runs;
        };
        let removers = || self.removable.iter().filter(|s| s.contains(index));
        // What it sets is only fixed if nothing can keep it from running.
        if !sets.is_empty() && (!always || removers().next().is_some()) {
            return RuleOutcome::Runs;
        }
        let jump = match rule.flow {
            Flow::Next => None,
            Flow::Jump(to) => Some(to),
        };
        // If `ctl` removed it, the rules that it jumps over would run, unless they are removed as well.
        let end = jump.map_or(at + 1, |to| to.max(at + 1)) as usize;
        let over = list.get(at as usize + 1..end).unwrap_or_default();
        if !removers().all(|s| over.iter().all(|&r| s.contains(r as usize))) {
            return RuleOutcome::Runs;
        }
        RuleOutcome::Decided { sets, jump }
    }

    /// Whether the rule matches, if that is known at load.
    fn known_match(&self, rule: &Rule) -> Option<bool> {
        let first = rule.links.first()?;
        let Some(test) = &first.test else {
            return (rule.links.len() == 1).then_some(true);
        };
        let Test {
            operator: Operator::Compare(comparison),
            chain: 0,
            multi_match: false,
            capture: false,
            ..
        } = test
        else {
            return None;
        };
        let only = test.targets.only_slot?;
        let argument = match &test.argument {
            Template::Literal(slice) => number(self.source.literals.at(*slice)),
            Template::Parts(parts) => match **parts {
                // What is not set expands to nothing, which is the number 0.
                [Part::Macro(Macro::Tx(slot))] => self
                    .fixed(slot)?
                    .map_or(0, |s| number(self.source.literals.at(s))),
                _ => return None,
            },
        };
        let value = match (self.fixed(only.slot)?, only.count) {
            (value, true) => i64::from(value.is_some()),
            (Some(value), false) => number(self.source.literals.at(value)),
            // There is no value to test, so not even a negated operator matches.
            (None, false) => return Some(false),
        };
        Some(comparison.holds_for(argument, value) != test.negated)
    }

    /// The value of a variable at this place; the outer None if it varies.
    fn fixed(&self, slot: u32) -> Option<Option<Slice>> {
        let slot = slot as usize;
        (!self.varying[slot]).then(|| self.values[slot])
    }

    /// Everything that the effects of the link do; None if they do more than set fixed variables.
    fn sets(&self, link: &Link) -> Option<Vec<(u32, Slice)>> {
        let mut sets: Vec<(u32, Slice)> = Vec::new();
        for effect in &link.effects {
            let Effect::SetVariable {
                place: Place::Slot(slot),
                change: Change::Set(value),
            } = effect
            else {
                return None;
            };
            let value = match value {
                Template::Literal(slice) => *slice,
                Template::Parts(parts) => match **parts {
                    [Part::Macro(Macro::Tx(from))] => {
                        // An effect may read what the one before it wrote.
                        let own = sets.iter().rev().find(|s| s.0 == from).map(|s| s.1);
                        own.or(self.fixed(from)?).unwrap_or_default()
                    }
                    _ => return None,
                },
            };
            if self.varying[*slot as usize] {
                return None;
            }
            sets.push((*slot, value));
        }
        Some(sets)
    }

    /// Notes what a rule that runs may change for later ones.
    fn meet(&mut self, rule: &'a Rule) {
        // `allow` for the whole transaction ends all phases but 5, which is never decided.
        self.may_end |= matches!(
            rule.disruptive,
            Disruptive::Allow(AllowScope::Phase | AllowScope::Request)
        );
        for effect in rule.links.iter().flat_map(|l| &l.effects) {
            match effect {
                Effect::SetVariable { place, .. } => match place {
                    Place::Slot(slot) => self.found[*slot as usize] = true,
                    Place::Named(name) => self.find_named(name),
                    Place::Collection(..) => {}
                },
                Effect::Control(Control::RemoveRules(removal)) => {
                    self.removable.push(&removal.rules);
                }
                Effect::Control(Control::RemoveTargets(removal)) => self.removals.push(removal),
                _ => {}
            }
        }
    }

    /// Notes every variable that a name with macros may become.
    fn find_named(&mut self, name: &Template) {
        let prefix = match name {
            Template::Parts(parts) => match parts.first() {
                Some(Part::Literal(slice)) => self.source.literals.at(*slice),
                _ => b"",
            },
            Template::Literal(slice) => self.source.literals.at(*slice),
        };
        for (found, name) in self.found.iter_mut().zip(self.source.names.iter()) {
            let start = name.as_bytes().get(..prefix.len());
            *found |= start.is_some_and(|s| s.eq_ignore_ascii_case(prefix));
        }
    }
}

/// Whether a rule reads which value matched last, of whatever rule.
fn reads_last_match(rule: &Rule) -> bool {
    let is_last = |v: Variable| matches!(v, Variable::MatchedVar | Variable::MatchedVarName);
    let reads = |template: &Template| match template {
        Template::Literal(_) => false,
        Template::Parts(parts) => parts.iter().any(|part| match part {
            Part::Macro(Macro::Scalar(v) | Macro::Keyed(v, _)) => is_last(*v),
            Part::Macro(Macro::Tx(_)) | Part::Literal(_) => false,
        }),
    };
    let Some(link) = rule.links.first() else {
        return false;
    };
    if let Some(test) = &link.test {
        let targets = &test.targets.targets;
        return targets.iter().any(|t| is_last(t.variable)) || reads(&test.argument);
    }
    let told = [&rule.about.message, &rule.about.data];
    told.into_iter().flatten().any(reads)
        || rule.about.tags.iter().any(reads)
        || link
            .effects
            .iter()
            .any(|effect| templates(effect).into_iter().flatten().any(reads))
}

fn templates(effect: &Effect) -> [Option<&Template>; 2] {
    match effect {
        Effect::SetVariable { place, change } => {
            let name = match place {
                Place::Slot(_) => None,
                Place::Named(name) | Place::Collection(_, name) => Some(name),
            };
            let value = match change {
                Change::Set(value) | Change::Add(value) | Change::Subtract(value) => Some(value),
                Change::Remove => None,
            };
            [name, value]
        }
        Effect::ExpireVariable { name, seconds, .. } => [Some(name), Some(seconds)],
        Effect::DeprecateVariable { name, .. } | Effect::Mask(_, name) => [Some(name), None],
        Effect::OpenCollection { key, .. } | Effect::SetId { key, .. } => [Some(key), None],
        Effect::SetEnvironment { name, value } => [Some(name), Some(value)],
        Effect::MaskMatched | Effect::Control(_) => [None, None],
    }
}

#[cfg(test)]
mod tests;
