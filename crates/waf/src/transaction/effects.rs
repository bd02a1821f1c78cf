//! What a match changes: the non-disruptive actions.
//!
//! A variable of a persistent collection is changed in the store, under its lock; everything else belongs to the
//! transaction.

use super::Transaction;
use super::state::{Entry, Name};
use super::watch::Watch;
use crate::macros::{Macro, Part, Template};
use crate::rule::{Change, Control, Effect, Place};
use crate::ruleset::RuleSet;
use crate::variables::{Slice, Variable, atoi};

impl Transaction {
    pub(super) fn perform(&mut self, rules: &RuleSet, effects: &[Effect]) {
        for effect in effects {
            self.perform_one(rules, effect);
        }
    }

    fn perform_one(&mut self, rules: &RuleSet, effect: &Effect) {
        match effect {
            Effect::SetVariable { place, change } => self.set_variable(rules, place, change),
            Effect::ExpireVariable {
                collection,
                name,
                seconds,
            } => {
                let name = self.context.expand(rules, name);
                let seconds = self.context.expand(rules, seconds);
                // A time in the past expires the variable at once.
                let seconds = u64::try_from(atoi(self.context.text().at(seconds))).unwrap_or(0);
                if let Some(key) = self.opened_key(*collection) {
                    rules
                        .store
                        .expire(*collection, key, self.context.text().at(name), seconds);
                }
            }
            Effect::DeprecateVariable {
                collection,
                name,
                amount,
                seconds,
            } => {
                let name = self.context.expand(rules, name);
                if let Some(key) = self.opened_key(*collection) {
                    rules.store.deprecate(
                        *collection,
                        key,
                        self.context.text().at(name),
                        *amount,
                        *seconds,
                    );
                }
            }
            Effect::OpenCollection { collection, key } => {
                let key = self.context.expand(rules, key);
                self.open(rules, *collection, key);
            }
            Effect::SetId { collection, key } => {
                let key = self.context.expand(rules, key);
                let collections = self.context.state_mut().collections_mut();
                collections.set_identity(*collection, key);
                self.open_for_application(rules, *collection, key);
            }
            Effect::SetEnvironment { name, value } => {
                let name = self.context.expand(rules, name);
                let value = self.context.expand(rules, value);
                self.context.set_environment(name, Some(value));
            }
            Effect::Mask(variable, name) => {
                let name = self.context.expand(rules, name);
                self.context
                    .state_mut()
                    .controls_mut()
                    .mask(*variable, name);
            }
            Effect::MaskMatched => {
                let state = self.context.state_mut();
                if let Some(value) = state.matching().value() {
                    let key = value.key.unwrap_or_default();
                    state.controls_mut().mask(value.variable, key);
                }
            }
            Effect::Control(control) => self.control(rules, control),
        }
    }

    fn set_variable(&mut self, rules: &RuleSet, place: &Place, change: &Change) {
        match place {
            Place::Slot(slot) => self.set_tx(rules, Name::Slot(*slot), change),
            Place::Named(template) => {
                let name = self.context.expand(rules, template);
                // Beyond the limit of names the variable stays unset.
                if let Some(name) = self.context.resolve_tx(rules, name) {
                    self.set_tx(rules, name, change);
                }
            }
            Place::Collection(Variable::Env, template) => {
                let name = self.context.expand(rules, template);
                let value = match change {
                    Change::Set(value) | Change::Add(value) | Change::Subtract(value) => {
                        Some(self.context.expand(rules, value))
                    }
                    Change::Remove => None,
                };
                self.context.set_environment(name, value);
            }
            Place::Collection(collection, template) => {
                let name = self.context.expand(rules, template);
                self.set_persistent(rules, *collection, name, change);
            }
        }
    }

    fn set_tx(&mut self, rules: &RuleSet, name: Name, change: &Change) {
        let entry = match change {
            Change::Remove => Entry::Unset,
            Change::Set(value) => Entry::Text(self.context.expand(rules, value)),
            Change::Add(value) => self.shifted(rules, name, value, 1),
            Change::Subtract(value) => self.shifted(rules, name, value, -1),
        };
        // Before the change: the trace shows the old value too.
        self.matches.trace_set(rules, &self.context, name, entry);
        self.context.state_mut().tx_mut().set(name, entry);
    }

    fn shifted(&mut self, rules: &RuleSet, name: Name, by: &Template, sign: i64) -> Entry {
        let by = self.integer(rules, by).saturating_mul(sign);
        // ModSecurity v2 clamps at 0.
        Entry::Number(self.tx_integer(name).saturating_add(by).max(0))
    }

    /// The number that a template stands for.
    fn integer(&mut self, rules: &RuleSet, template: &Template) -> i64 {
        // Scores are sums of other scores: their digits need not be written and read again.
        if let Template::Parts(parts) = template
            && let [Part::Macro(Macro::Tx(slot))] = **parts
        {
            return self.tx_integer(Name::Slot(slot));
        }
        let text = self.context.expand(rules, template);
        atoi(self.context.text().at(text))
    }

    fn tx_integer(&self, name: Name) -> i64 {
        match self.context.state().tx().entry(name) {
            Entry::Unset => 0,
            Entry::Number(number) => number,
            Entry::Text(text) => atoi(self.context.text().at(text)),
        }
    }

    fn set_persistent(
        &mut self,
        rules: &RuleSet,
        collection: Variable,
        name: Slice,
        change: &Change,
    ) {
        let value = match change {
            Change::Set(value) | Change::Add(value) | Change::Subtract(value) => {
                self.context.expand(rules, value)
            }
            Change::Remove => Slice::EMPTY,
        };
        let Some(key) = self.opened_key(collection) else {
            return;
        };
        let (name, value) = (self.context.text().at(name), self.context.text().at(value));
        // The sum is made under the lock of the store: two transactions that count at once must not lose a count.
        let shift = |old: Option<&[u8]>, by: i64| {
            let sum = atoi(old.unwrap_or_default()).saturating_add(by).max(0);
            Some(sum.to_string().into_bytes())
        };
        rules
            .store
            .update(collection, key, name, |old| match change {
                Change::Remove => None,
                Change::Set(_) => Some(value.to_vec()),
                Change::Add(_) => shift(old, atoi(value)),
                Change::Subtract(_) => shift(old, atoi(value).saturating_neg()),
            });
    }

    /// Users, sessions and resources are those of an application (`SecWebAppId`), as in ModSecurity.
    fn open_for_application(&mut self, rules: &RuleSet, collection: Variable, key: Slice) {
        let application = rules.settings().web_app_id.as_bytes();
        // A separator, so that no two pairs of application and key have the same bytes.
        let whole = [application, b"\0", self.context.text().at(key)].concat();
        let key = self.context.text_mut().push(&whole);
        self.open(rules, collection, key);
    }

    fn open(&mut self, rules: &RuleSet, collection: Variable, key: Slice) {
        // As in ModSecurity, a collection that is open keeps its first key.
        if self.opened_key(collection).is_some() {
            return;
        }
        // The probe at load must not change the store, which outlives the rule set.
        if self.watch.as_deref().is_some_and(Watch::is_probe) {
            return;
        }
        let key = self.context.text().at(key).to_vec();
        rules
            .store
            .open(collection, &key, rules.settings().collection_timeout);
        let collections = self.context.state_mut().collections_mut();
        collections.open(collection, key);
    }

    /// The key that a persistent collection was opened with.
    fn opened_key(&self, collection: Variable) -> Option<&[u8]> {
        self.context.state().collections().key(collection)
    }

    fn control(&mut self, rules: &RuleSet, control: &Control) {
        let (matches, context) = (&mut self.matches, &mut self.context);
        match control {
            // The watch asks what the rules would do without it.
            Control::RemoveRules(removal) | Control::RemoveTargets(removal)
                if self
                    .watch
                    .as_deref_mut()
                    .and_then(Watch::exclusions_mut)
                    .is_some_and(|watch| watch.sets_aside(removal)) =>
            {
                return;
            }
            Control::RemoveRules(removal) => {
                matches.trace_excluded(rules, context, &removal.rules, None);
            }
            Control::RemoveTargets(removal) => {
                for target in &removal.targets {
                    matches.trace_excluded(rules, context, &removal.rules, Some(target));
                }
            }
            _ => {}
        }
        context.state_mut().control(control);
    }
}
