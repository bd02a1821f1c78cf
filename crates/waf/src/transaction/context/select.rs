//! Targets and what they select: the values that a rule looks at.

use super::super::inputs::{Collection, Item, XmlPart};
use super::super::state::{Entry, Name};
use super::Context;
use crate::macros::Template;
use crate::rule::Removal;
use crate::ruleset::RuleSet;
use crate::variables::{Select, Slice, Target, TargetList, Value, Variable};

impl Context {
    /// Appends all values of a target list to `out`, in the order of ModSecurity v2: left to right. An exclusion
    /// removes only what stands before it.
    ///
    /// `base` gives the first of the prefilter's rows for the values of a variable, if there are any.
    pub(crate) fn collect(
        &mut self,
        rules: &RuleSet,
        list: &TargetList,
        base: impl Fn(Variable) -> Option<u32>,
        out: &mut Vec<Value>,
    ) {
        let first = out.len();
        for target in &list.targets {
            if target.exclude {
                // Values before `first` belong to other lists.
                let mut kept = first;
                for at in first..out.len() {
                    if out.get(at).is_some_and(|v| !self.is_covered(target, v)) {
                        out.swap(kept, at);
                        kept += 1;
                    }
                }
                out.truncate(kept);
                continue;
            }
            if target.count {
                let before = out.len();
                self.select(rules, target.variable, &target.select, None, out);
                let count = out.len() - before;
                out.truncate(before);
                let text = self
                    .text
                    .push_number(i64::try_from(count).unwrap_or(i64::MAX));
                out.push(Value::new(
                    target.variable,
                    self.select_key(rules, &target.select),
                    text,
                ));
                continue;
            }
            let base = base(target.variable);
            self.select(rules, target.variable, &target.select, base, out);
        }
    }

    /// The name that a counted target shows.
    fn select_key(&mut self, rules: &RuleSet, select: &Select) -> Option<Slice> {
        match select {
            Select::Key(key) => Some(self.text.push(key)),
            Select::Slot(slot) => Some(self.text.push(rules.names.name(*slot).as_bytes())),
            Select::All | Select::Regex(_) | Select::Path(_) => None,
        }
    }

    /// Whether a `ctl:ruleRemoveTarget...` took this value from this rule.
    pub(crate) fn is_excluded(&self, rule: u32, value: &Value) -> bool {
        let mut removals = self.state.exclusions().of_rule(rule);
        removals.any(|removal| self.covers(removal, value))
    }

    /// Whether a removal of targets means this value.
    pub(crate) fn covers(&self, removal: &Removal, value: &Value) -> bool {
        removal.targets.iter().any(|t| self.is_covered(t, value))
    }

    /// Whether an exclusion means this value.
    fn is_covered(&self, target: &Target, value: &Value) -> bool {
        // The text of the document and its attributes have a path, not a name.
        if let (Variable::Xml, Select::Key(wanted)) = (target.variable, &target.select) {
            let xml = self.inputs.body().xml();
            let is_text = xml.is_text(value.text);
            // A value that a path selects is neither text nor attribute, so these exclusions do not cover it.
            let is_selected = || xml.is_selected(value.text);
            let path: &[u8] = if is_text { b"/*" } else { b"//@*" };
            return value.variable == Variable::Xml
                && **wanted == *path
                && (is_text || !is_selected());
        }
        let key = value.key.map(|k| self.text.at(k));
        target.covers(value.variable, key, self.text.at(value.text))
    }

    /// Appends the values of one variable. `base` is the first of the prefilter's rows for its values, if there are
    /// any.
    pub(crate) fn select(
        &mut self,
        rules: &RuleSet,
        variable: Variable,
        select: &Select,
        base: Option<u32>,
        out: &mut Vec<Value>,
    ) {
        if let Some(collection) = self.inputs.collection(variable) {
            return self.items(variable, select, &collection, base, out);
        }
        match variable {
            // Uploads are never written to files, and there is no geographic database.
            Variable::FilesTmpNames | Variable::FilesTmpContent | Variable::Geo => {}
            Variable::Xml => self.xml(select, base, out),
            Variable::Tx => self.tx_values(rules, select, out),
            Variable::Env => self.environment_values(select, out),
            Variable::Ip
            | Variable::Global
            | Variable::Resource
            | Variable::Session
            | Variable::User => {
                self.persistent_values(rules, variable, select, out);
            }
            Variable::MatchedVars => self.matched_values(select, out),
            Variable::MatchedVarsNames => self.matched_names(select, out),
            Variable::Rule => self.rule_values(rules, select, out),
            scalar => {
                if let Some(text) = self.scalar(rules, scalar) {
                    out.push(Value::new(scalar, None, text).with_item(base, 0));
                }
            }
        }
    }

    fn items(
        &self,
        variable: Variable,
        select: &Select,
        collection: &Collection<'_>,
        base: Option<u32>,
        out: &mut Vec<Value>,
    ) {
        let mut take = |index: u32, item: &Item| {
            let text = if collection.of_names {
                item.key
            } else {
                item.value
            };
            let value = Value::new(variable, Some(item.key), text);
            out.push(value.with_item(base, index));
        };
        let is_wanted = |item: &Item| match select {
            // Most names differ in length.
            Select::Key(key) if key.len() != item.key.len() => false,
            _ => select.matches(self.text.at(item.key)),
        };
        let items = (0u32..).zip(collection.items);
        if matches!(select, Select::All) {
            items.for_each(|(index, item)| take(index, item));
        } else {
            let wanted = items.filter(|(_, item)| is_wanted(item));
            wanted.for_each(|(index, item)| take(index, item));
        }
    }

    /// `/*` selects the text, `//@*` the attributes. All of XML is the text, then the attributes, then the values of
    /// paths.
    fn xml(&self, select: &Select, base: Option<u32>, out: &mut Vec<Value>) {
        for (index, (part, text)) in (0u32..).zip(self.inputs.body().xml().values()) {
            let wanted = match (select, part) {
                (Select::All, _) => true,
                (Select::Path(path), part) => part == XmlPart::Selected(*path),
                (Select::Key(path), XmlPart::Attribute) => &**path == b"//@*",
                (Select::Key(path), XmlPart::Text) => &**path != b"//@*",
                _ => false,
            };
            if wanted {
                out.push(Value::new(Variable::Xml, None, text).with_item(base, index));
            }
        }
    }

    fn tx_values(&mut self, rules: &RuleSet, select: &Select, out: &mut Vec<Value>) {
        let variable = Variable::Tx;
        if let Select::Slot(slot) = select {
            let text = match self.state.tx().entry(Name::Slot(*slot)) {
                Entry::Unset => return,
                Entry::Text(text) => text,
                Entry::Number(number) => self.text.push_number(number),
            };
            let key = Some(rules.slot_name(*slot));
            out.push(Value::new(variable, key, text));
            return;
        }
        if self.selects_deferred(select) {
            self.settle_tx(rules);
        }
        let all: Vec<Name> = match select {
            Select::Regex(pattern) => {
                let known = pattern
                    .slots(rules.names.iter())
                    .iter()
                    .copied()
                    .map(Name::Slot);
                known.chain(self.state.tx().dynamic_names()).collect()
            }
            _ => self.state.tx().iter().map(|(name, _)| name).collect(),
        };
        for name in all {
            let key = self.state.tx().name_text(name, rules);
            // The pattern has chosen these slots by their names already.
            let fits = matches!(name, Name::Slot(_)) && matches!(select, Select::Regex(_));
            if !fits && !select.matches(self.text.at(key)) {
                continue;
            }
            let text = match self.state.tx().entry(name) {
                Entry::Unset => continue,
                Entry::Text(text) => text,
                Entry::Number(number) => self.text.push_number(number),
            };
            out.push(Value::new(variable, Some(key), text));
        }
    }

    /// Whether a variable that was deferred is among the selected ones.
    fn selects_deferred(&self, select: &Select) -> bool {
        let tx = self.state.tx();
        let is_selected = |name: &[u8]| match select {
            Select::Regex(pattern) => pattern.matches(name),
            _ => true,
        };
        tx.any_deferred(&self.text, is_selected)
    }

    fn environment_values(&self, select: &Select, out: &mut Vec<Value>) {
        let chosen = self
            .state
            .collections()
            .environment()
            .iter()
            .filter(|(name, _)| select.matches(self.text.at(*name)));
        out.extend(chosen.map(|&(key, text)| Value::new(Variable::Env, Some(key), text)));
    }

    fn persistent_values(
        &mut self,
        rules: &RuleSet,
        variable: Variable,
        select: &Select,
        out: &mut Vec<Value>,
    ) {
        let Some(key) = self.state.collections().key(variable) else {
            return;
        };
        for (name, value) in rules.store.variables(variable, key) {
            if select.matches(&name) {
                let key = Some(self.text.push(&name));
                let text = self.text.push(&value);
                out.push(Value::new(variable, key, text));
            }
        }
    }

    /// The value at this place of `MATCHED_VARS`, and its name.
    fn matched(&mut self, index: usize) -> Option<(Value, Slice)> {
        let value = *self.state.matching().values().get(index)?;
        Some((value, self.push_name(value)))
    }

    fn matched_values(&mut self, select: &Select, out: &mut Vec<Value>) {
        // By place, because to name a value may add to the text.
        let mut places = 0..;
        while let Some((value, name)) = places.next().and_then(|at| self.matched(at)) {
            if select.matches(self.text.at(name)) {
                out.push(Value::new(Variable::MatchedVars, Some(name), value.text));
            }
        }
    }

    fn matched_names(&mut self, select: &Select, out: &mut Vec<Value>) {
        let mut places = 0..;
        while let Some((_, name)) = places.next().and_then(|at| self.matched(at)) {
            if select.matches(self.text.at(name)) {
                out.push(Value::new(Variable::MatchedVarsNames, Some(name), name));
            }
        }
    }

    fn rule_values(&mut self, rules: &RuleSet, select: &Select, out: &mut Vec<Value>) {
        let rule = self.state.matching().rule();
        let Some(rule) = rule.and_then(|r| rules.rules.get(r as usize)) else {
            return;
        };
        let about = &rule.about;
        let number = |n: Option<u64>| n.map(|n| n.to_string());
        // As written, with macros: a message that names itself would otherwise be expanded without end.
        let shown = |t: &Option<Template>| t.as_ref().map(|t| rules.show(t));
        let fields = [
            ("id", number(Some(rule.id))),
            ("rev", shown(&about.revision)),
            ("severity", number(about.severity.map(u64::from))),
            ("msg", shown(&about.message)),
            ("logdata", shown(&about.data)),
            ("ver", shown(&about.version)),
            ("maturity", number(about.maturity.map(u64::from))),
            ("accuracy", number(about.accuracy.map(u64::from))),
        ];
        for (name, text) in fields {
            let Some(text) = text.filter(|_| select.matches(name.as_bytes())) else {
                continue;
            };
            let key = Some(self.text.push(name.as_bytes()));
            let text = self.text.push(text.as_bytes());
            out.push(Value::new(Variable::Rule, key, text));
        }
    }
}
