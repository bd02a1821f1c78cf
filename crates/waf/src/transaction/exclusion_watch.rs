//! What a transaction would have done without some exclusions, and how long its rules ran: for tools that ask of what
//! use an exclusion or a rule is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::Context;
use crate::rule::Removal;
use crate::ruleset::RuleSet;
use crate::variables::{Slice, Value};

/// Uses of one exclusion that are noted; a client chooses how many arguments match.
const MOST_USES: usize = 256;

/// What was seen of the rules in one transaction.
#[derive(Debug, Default)]
pub struct Watched {
    /// What the exclusions that did not hold would have kept from matching.
    pub uses: Vec<Use>,
    /// The exclusions that kept a rule from running, or a value from being looked at, by their places in
    /// [`RuleSet::exclusions`]. Where it is sure without a look that nothing would match, nothing was kept.
    pub kept_back: Vec<usize>,
    /// The rules that matched, by their places in [`RuleSet::summaries`].
    pub matched: Vec<usize>,
    /// How long each rule ran, by the same places; shorter where the last ones did not run.
    pub time: Vec<Duration>,
}

/// A match that an exclusion would have prevented.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The exclusion, by its place in [`RuleSet::exclusions`].
    pub exclusion: usize,
    /// The rule.
    pub rule_id: u64,
    /// Like `ARGS:note`: what the first link of its chain matched. None for a rule that looks at nothing.
    pub variable: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct ExclusionWatch {
    /// The exclusions that do not hold.
    without: Vec<usize>,
    /// Those among them that would hold by now, each once.
    set_aside: Vec<(usize, Arc<Removal>)>,
    /// What the first link of the running rule matched, and the exclusion that would have prevented it.
    pending: Vec<(usize, Slice)>,
    /// When the running rule began.
    begun: Option<Instant>,
    seen: Watched,
}

impl ExclusionWatch {
    pub(super) fn new(without: &[usize]) -> Self {
        Self {
            without: without.to_vec(),
            ..Self::default()
        }
    }

    pub(super) fn seen(&self) -> &Watched {
        &self.seen
    }

    /// Whether this exclusion is one of those that must not hold.
    pub(super) fn sets_aside(&mut self, removal: &Arc<Removal>) -> bool {
        let place = removal.place.map(|place| place as usize);
        let Some(place) = place.filter(|place| self.without.contains(place)) else {
            return false;
        };
        // The effect runs at each match of the rule, and a client chooses how many there are.
        if !self.set_aside.iter().any(|(known, _)| *known == place) {
            self.set_aside.push((place, Arc::clone(removal)));
        }
        true
    }

    pub(super) fn begin_rule(&mut self) {
        self.pending.clear();
        self.begun = Some(Instant::now());
    }

    pub(super) fn end_rule(&mut self, rule: u32) {
        let took = self.begun.map(|begun| begun.elapsed()).unwrap_or_default();
        let rule = rule as usize;
        if rule >= self.seen.time.len() {
            self.seen.time.resize(rule + 1, Duration::ZERO);
        }
        if let Some(time) = self.seen.time.get_mut(rule) {
            *time += took;
        }
    }

    /// The rule did not run, or did not look at `value`.
    pub(super) fn keep_back(
        &mut self,
        rules: &RuleSet,
        context: &Context,
        rule: u32,
        value: Option<&Value>,
    ) {
        let exclusions = context.state().exclusions();
        match value {
            Some(value) => {
                let of_rule = exclusions.of_rule(rule);
                let covering = of_rule.filter(|removal| context.covers(removal, value));
                covering.for_each(|removal| self.seen.keep_back(removal.place));
            }
            None => {
                let id = rules.rules.get(rule as usize).map(|rule| rule.id);
                for &place in exclusions.places() {
                    // What holds is known by rule, not by exclusion: each one that names the rule has kept it back.
                    let exclusion = rules.exclusions.get(place as usize);
                    let removes = exclusion.is_some_and(|exclusion| {
                        exclusion.targets.is_empty()
                            && id.is_some_and(|id| exclusion.rules.contains(&id))
                    });
                    if removes {
                        self.seen.keep_back(Some(place));
                    }
                }
            }
        }
    }

    /// The first link of a rule matched this value as received.
    pub(super) fn note_hit(&mut self, context: &mut Context, rule: u32, value: Value) {
        for (place, removal) in &self.set_aside {
            let is_excluded = removal.rules.contains(rule as usize)
                && (removal.targets.is_empty() || context.covers(removal, &value));
            if is_excluded && self.pending.len() < MOST_USES {
                self.pending.push((*place, context.push_name(value)));
            }
        }
    }

    /// The rule matched to its last link.
    pub(super) fn conclude(&mut self, rules: &RuleSet, context: &Context, rule: u32) {
        let index = rule as usize;
        // Matches of one rule follow each other.
        if self.seen.matched.last() != Some(&index) {
            self.seen.matched.push(index);
        }
        let Some(rule) = rules.rules.get(index) else {
            return;
        };
        let rule_id = rule.id;
        // There is nothing in such a link that `note_hit` could have noted.
        if rule.links.first().is_some_and(|link| link.test.is_none()) {
            let of_rule = |(_, removal): &&(usize, Arc<Removal>)| removal.rules.contains(index);
            for (place, _) in self.set_aside.iter().filter(of_rule) {
                self.seen.note_use(*place, rule_id, None);
            }
        }
        for (place, name) in self.pending.drain(..) {
            let name = context.text().at(name).to_vec();
            self.seen.note_use(place, rule_id, Some(name));
        }
    }
}

impl Watched {
    fn keep_back(&mut self, place: Option<u32>) {
        let place = place.map(|place| place as usize);
        let new = place.filter(|place| !self.kept_back.contains(place));
        self.kept_back.extend(new);
    }

    fn note_use(&mut self, exclusion: usize, rule_id: u64, variable: Option<Vec<u8>>) {
        let new = Use {
            exclusion,
            rule_id,
            variable,
        };
        if self.uses.len() < MOST_USES && !self.uses.contains(&new) {
            self.uses.push(new);
        }
    }
}
