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

    pub(crate) fn remove_rules(&mut self, rules: &RuleSelection) {
        self.rules.extend(rules);
    }

    pub(crate) fn remove_targets(&mut self, removal: &Arc<Removal>) {
        // The effect runs at every match. Without this a client with many matching arguments would make every later
        // rule slower.
        if !self.targets.iter().any(|r| Arc::ptr_eq(r, removal)) {
            self.targets.push(Arc::clone(removal));
        }
    }
}
