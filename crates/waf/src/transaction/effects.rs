//! Non-disruptive actions at run time.

use std::sync::Arc;

use super::tx::{Entry, Name};
use super::{RuleSet, Transaction};
use crate::rule::{Change, Control, Effect, PartsChange, Place};
use crate::variables::{Slice, Variable, atoi};

/// Environment variables one transaction may set.
const MOST_ENVIRONMENT: usize = 256;

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
                let name = self.expand(rules, name);
                let seconds = self.expand(rules, seconds);
                let seconds = u64::try_from(atoi(self.text.at(seconds))).unwrap_or(0);
                if let Some(key) = self.opened_key(*collection) {
                    rules
                        .store
                        .expire(*collection, key, self.text.at(name), seconds);
                }
            }
            Effect::DeprecateVariable {
                collection,
                name,
                amount,
                seconds,
            } => {
                let name = self.expand(rules, name);
                if let Some(key) = self.opened_key(*collection) {
                    rules
                        .store
                        .deprecate(*collection, key, self.text.at(name), *amount, *seconds);
                }
            }
            Effect::OpenCollection { collection, key } => {
                let key = self.expand(rules, key);
                self.open(rules, *collection, key);
            }
            Effect::SetId { collection, key } => {
                let key = self.expand(rules, key);
                self.identities.retain(|(v, _)| v != collection);
                self.identities.push((*collection, key));
                self.open_for_application(rules, *collection, key);
            }
            Effect::SetEnvironment { name, value } => {
                let name = self.expand(rules, name);
                let value = self.expand(rules, value);
                self.set_environment(name, Some(value));
            }
            Effect::Mask(variable, name) => {
                let name = self.expand(rules, name);
                self.controls.masked.push((*variable, name));
            }
            Effect::MaskMatched => {
                if let Some(value) = self.matching.value {
                    let key = value.key.unwrap_or_default();
                    self.controls.masked.push((value.variable, key));
                }
            }
            Effect::Control(control) => self.control(control),
        }
    }

    fn set_variable(&mut self, rules: &RuleSet, place: &Place, change: &Change) {
        match place {
            Place::Slot(slot) => self.set_tx(rules, Name::Slot(*slot), change),
            Place::Named(template) => {
                let name = self.expand(rules, template);
                if let Some(name) = self.tx.resolve(name, &self.text, &rules.names) {
                    self.set_tx(rules, name, change);
                }
            }
            Place::Collection(Variable::Env, template) => {
                let name = self.expand(rules, template);
                let value = match change {
                    Change::Set(value) | Change::Add(value) | Change::Subtract(value) => {
                        Some(self.expand(rules, value))
                    }
                    Change::Remove => None,
                };
                self.set_environment(name, value);
            }
            Place::Collection(collection, template) => {
                let name = self.expand(rules, template);
                self.set_persistent(rules, *collection, name, change);
            }
        }
    }

    fn set_tx(&mut self, rules: &RuleSet, name: Name, change: &Change) {
        let entry = match change {
            Change::Remove => Entry::Unset,
            Change::Set(value) => Entry::Text(self.expand(rules, value)),
            Change::Add(value) => self.shifted(rules, name, value, 1),
            Change::Subtract(value) => self.shifted(rules, name, value, -1),
        };
        self.trace_set(rules, name, entry);
        self.tx.set(name, entry);
    }

    fn shifted(
        &mut self,
        rules: &RuleSet,
        name: Name,
        by: &crate::macros::Template,
        sign: i64,
    ) -> Entry {
        let by = self.expand(rules, by);
        let by = atoi(self.text.at(by)).saturating_mul(sign);
        let old = match self.tx.entry(name) {
            Entry::Unset => 0,
            Entry::Number(number) => number,
            Entry::Text(text) => atoi(self.text.at(text)),
        };
        // ModSecurity v2 clamps at 0.
        Entry::Number(old.saturating_add(by).max(0))
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
                self.expand(rules, value)
            }
            Change::Remove => Slice::EMPTY,
        };
        let Some(key) = self.opened_key(collection) else {
            return;
        };
        let (name, value) = (self.text.at(name), self.text.at(value));
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

    fn set_environment(&mut self, name: Slice, value: Option<Slice>) {
        let text = &self.text;
        self.environment
            .retain(|(n, _)| !text.at(*n).eq_ignore_ascii_case(text.at(name)));
        if let Some(value) = value.filter(|_| self.environment.len() < MOST_ENVIRONMENT) {
            self.environment.push((name, value));
        }
    }

    /// Users, sessions and resources are those of an application (`SecWebAppId`), as in ModSecurity.
    fn open_for_application(&mut self, rules: &RuleSet, collection: Variable, key: Slice) {
        let application = rules.settings().web_app_id.as_bytes();
        let whole = [application, b"\0", self.text.at(key)].concat();
        let key = self.text.push(&whole);
        self.open(rules, collection, key);
    }

    fn open(&mut self, rules: &RuleSet, collection: Variable, key: Slice) {
        // The first key stands, as in ModSecurity.
        if self.opened_key(collection).is_some() {
            return;
        }
        // A probe at load must leave no trace in what outlives it.
        if self.reached.is_some() {
            return;
        }
        let key = self.text.at(key).to_vec();
        rules
            .store
            .open(collection, &key, rules.settings().collection_timeout);
        self.opened.push((collection, key));
    }

    fn opened_key(&self, collection: Variable) -> Option<&[u8]> {
        self.opened
            .iter()
            .find(|(v, _)| *v == collection)
            .map(|o| o.1.as_slice())
    }

    fn control(&mut self, control: &Control) {
        match control {
            Control::RemoveRules(selection) => self.trace_excluded(selection, None),
            Control::RemoveTargets(removal) => {
                for target in &removal.targets {
                    self.trace_excluded(&removal.rules, Some(target));
                }
            }
            _ => {}
        }
        let controls = &mut self.controls;
        match control {
            Control::RuleEngine(mode) => self.engine = *mode,
            Control::RequestBodyAccess(on) => controls.request_body_access = *on,
            Control::ResponseBodyAccess(on) => controls.response_body_access = *on,
            Control::RequestBodyProcessor(processor) => controls.processor = Some(*processor),
            Control::ForceRequestBodyVariable(on) => controls.force_request_body = *on,
            Control::RequestBodyLimit(bytes) => controls.request_body_limit = *bytes,
            Control::ResponseBodyLimit(bytes) => controls.response_body_limit = *bytes,
            Control::AuditEngine(engine) => controls.audit_engine = *engine,
            Control::AuditLogParts(change) => change_parts(&mut controls.audit_parts, change),
            Control::RemoveRules(selection) => self.removed.extend(selection),
            Control::RemoveTargets(removal) => {
                // An effect runs at every match; once is enough.
                if !self.removed_targets.iter().any(|r| Arc::ptr_eq(r, removal)) {
                    self.removed_targets.push(Arc::clone(removal));
                }
            }
        }
    }
}

fn change_parts(parts: &mut String, change: &PartsChange) {
    match change {
        PartsChange::Replace(all) => parts.clone_from(all),
        PartsChange::Add(more) => {
            let new: String = more.chars().filter(|c| !parts.contains(*c)).collect();
            parts.push_str(&new);
        }
        PartsChange::Remove(less) => parts.retain(|c| !less.contains(c)),
    }
}
