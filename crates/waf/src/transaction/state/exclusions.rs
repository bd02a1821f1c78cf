//! Rules and targets that `ctl:ruleRemove...` took out of this transaction.

use std::sync::Arc;

use crate::rule::{Removal, RuleSelection};

/// Rules that no longer run, and targets that rules no longer look at.
#[derive(Debug, Default)]
pub(crate) struct Exclusions {
    /// Rules that do not run any more.
    rules: RuleSelection,
    /// Targets that some rules do not look at any more.
    targets: Vec<Arc<Removal>>,
    /// Which exclusions of the teams' own files these are, by their places in the rule set, each once.
    places: Vec<u32>,
}

impl Exclusions {
    #[inline]
    pub(crate) fn removes_rule(&self, rule: u32) -> bool {
        self.rules.contains(rule as usize)
    }

    /// The removals that concern the rule.
    #[inline]
    pub(crate) fn of_rule(&self, rule: u32) -> impl Iterator<Item = &Removal> {
        let of_rule = move |removal: &&Arc<Removal>| removal.rules.contains(rule as usize);
        self.targets
            .iter()
            .filter(of_rule)
            .map(|removal| &**removal)
    }

    /// The exclusions of the teams' own files that hold, by their places in the rule set.
    pub(crate) fn places(&self) -> &[u32] {
        &self.places
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn add(&mut self, removal: &Arc<Removal>) {
        let new = removal.place.filter(|place| !self.places.contains(place));
        self.places.extend(new);
        if removal.targets.is_empty() {
            self.rules.extend(&removal.rules);
        // The effect runs at every match. Without this a client with many matching arguments would make every later
        // rule slower.
        } else if !self.targets.iter().any(|r| Arc::ptr_eq(r, removal)) {
            self.targets.push(Arc::clone(removal));
        }
    }
}
