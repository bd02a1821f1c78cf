//! Warnings about variables that nothing fills: misspelled names, and collections that no rule opens.
//!
//! A name with macros may become any name with its prefix, so only names that cannot be set at all are reported.

use std::collections::BTreeSet;

use crate::variables::Variable;
use seclang::suggest::nearest;
use seclang::{ActionSyntax, Selector, Span, TargetSyntax};

use super::Report;
use super::program::{Program, live};
use super::rule_draft::{Draft, actions, is, targets};

/// What the rules of a set fill. Names are in lower case.
pub(super) struct Filled {
    /// `TX` variables.
    names: BTreeSet<String>,
    /// The text before the first macro of a `TX` name that `setvar` sets.
    prefixes: Vec<String>,
    opened: Vec<Variable>,
}

impl Filled {
    pub(super) fn by(program: &Program, variables: &[(String, String)]) -> Self {
        let mut filled = Self {
            names: variables
                .iter()
                .map(|(name, _)| name.to_ascii_lowercase())
                .collect(),
            prefixes: Vec::new(),
            opened: Vec::new(),
        };
        for action in live(program).flat_map(actions) {
            filled.note(action);
        }
        filled
    }

    fn note(&mut self, action: &ActionSyntax) {
        let argument = action.argument.as_ref().map_or("", |a| a.node.trim());
        let opened = match action.name.node.to_ascii_lowercase().as_str() {
            "initcol" => argument
                .split_once('=')
                .and_then(|(name, _)| Variable::from_name(name.trim())),
            "setuid" => Some(Variable::User),
            "setsid" => Some(Variable::Session),
            "setrsc" => Some(Variable::Resource),
            _ => None,
        };
        self.opened.extend(opened);
        let Some((Variable::Tx, name)) = assigned(action) else {
            return;
        };
        let name = name.to_ascii_lowercase();
        // The name is known only at run time; it may be any name with this beginning.
        match name.split_once("%{") {
            Some((prefix, _)) => self.prefixes.push(prefix.to_owned()),
            None => drop(self.names.insert(name)),
        }
    }

    fn has(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        // Captures, and variables that ModSecurity itself sets.
        let is_engines = name.len() == 1 && name.bytes().all(|b| b.is_ascii_digit());
        is_engines
            || name.starts_with("msc_")
            || self.names.contains(&name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Warns about variables that this rule reads or changes in vain.
    pub(super) fn check(&self, draft: &Draft, report: &mut Report<'_>) {
        // `&TX:name` is how a rule asks whether a variable is set.
        for target in targets(draft).filter(|target| !target.count) {
            match (Variable::from_name(&target.variable.node), name_of(target)) {
                (Some(Variable::Tx), Some(name)) if !self.has(name) => {
                    let message =
                        format!("nothing sets TX:{name}, so this rule never sees a value of it");
                    let help = nearest(name, self.names.iter().map(String::as_str));
                    let help = help.map(|known| format!("did you mean `TX:{known}`?"));
                    match help {
                        Some(help) => report.warning_with_help(target.span, message, help),
                        None => report.warning(target.span, message),
                    }
                }
                (Some(variable), _) => self.check_opened(variable, target.variable.span, report),
                _ => {}
            }
        }
        for action in actions(draft) {
            if let Some((variable, _)) = assigned(action) {
                self.check_opened(variable, action.span, report);
            }
        }
    }

    fn check_opened(&self, variable: Variable, span: Span, report: &mut Report<'_>) {
        let how = match variable {
            Variable::Ip => "initcol:ip=%{REMOTE_ADDR}",
            Variable::Global => "initcol:global=global",
            Variable::Resource => "initcol:resource=%{REQUEST_FILENAME}",
            Variable::Session => "setsid",
            Variable::User => "setuid",
            _ => return,
        };
        if !self.opened.contains(&variable) {
            let name = variable.name();
            let message = format!(
                "no rule opens the collection {name}, so it holds nothing and keeps nothing"
            );
            report.warning_with_help(span, message, format!("open it in phase 1: {how}"));
        }
    }
}

/// The collection and name that `setvar` writes.
fn assigned(action: &ActionSyntax) -> Option<(Variable, &str)> {
    if !is(action, "setvar") {
        return None;
    }
    let written = action
        .argument
        .as_ref()?
        .node
        .trim()
        .trim_start_matches('!');
    let target = written
        .split_once('=')
        .map_or(written, |(target, _)| target);
    let (collection, name) = target.trim().split_once(['.', ':'])?;
    Some((Variable::from_name(collection.trim())?, name))
}

/// The `TX` variable that `setvar` writes, in lower case, and its new value; None as value if it is removed.
pub(super) fn assigned_tx(action: &ActionSyntax) -> Option<(String, Option<&str>)> {
    let (Variable::Tx, name) = assigned(action)? else {
        return None;
    };
    let written = action.argument.as_ref()?.node.trim();
    let value = match written.split_once('=') {
        _ if written.starts_with('!') => None,
        Some((_, value)) => Some(value.trim()),
        // `setvar:tx.name` sets the variable to 1.
        None => Some("1"),
    };
    Some((name.trim().to_ascii_lowercase(), value))
}

fn name_of(target: &TargetSyntax) -> Option<&str> {
    match target.selector.as_ref().map(|selector| &selector.node) {
        Some(Selector::Name(name)) => Some(name),
        _ => None,
    }
}
