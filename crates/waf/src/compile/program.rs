//! First pass: directives in load order become drafts of rules. Exclusions change the drafts before them, as in
//! ModSecurity.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::path::Path;
use std::sync::Arc;

use seclang::{ActionSyntax, Directive, RuleSyntax, Span, Spanned};

use super::Report;
use super::exclusions;
use super::rule_draft::{Draft, DraftLink};
use super::settings::{self, Said};
use crate::outcome::Phase;
use crate::settings::Settings;

/// Rules and markers in load order.
#[derive(Default)]
pub(super) struct Program {
    pub drafts: Vec<Draft>,
    pub order: Vec<Item>,
    defaults: [Option<Arc<Vec<ActionSyntax>>>; 5],
    /// The last link ends with `chain`, so the next rule belongs to the same draft.
    open: bool,
    /// What directives exclude is excluded by each transaction, so that it can be tried without.
    pub exclusions_run: bool,
    ids: std::collections::HashMap<u64, Span>,
}

pub(super) enum Item {
    Rule(usize),
    Marker(String),
}

impl Program {
    pub(super) fn take(
        &mut self,
        directive: Directive,
        settings: &mut Settings,
        said: &mut Said,
        read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
        report: &mut Report<'_>,
    ) {
        match &directive {
            Directive::Rule(_) | Directive::Action { .. } => {}
            // It is refused, and a chain before it would have continued with it: one error is enough.
            Directive::Setting { name, .. } if name.node == "SecRuleScript" => self.open = false,
            // Only a rule may follow `chain`.
            _ => self.close_chain(report),
        }
        match directive {
            Directive::Rule(RuleSyntax {
                targets,
                operator,
                actions,
                span,
            }) => self.add_link(
                DraftLink {
                    targets,
                    operator: Some(operator),
                    actions,
                    span,
                },
                report,
            ),
            Directive::Action { actions, span } => self.add_link(
                DraftLink {
                    targets: Vec::new(),
                    operator: None,
                    actions,
                    span,
                },
                report,
            ),
            Directive::DefaultAction { actions, span } => self.set_default(actions, span, report),
            Directive::Marker(Spanned { node, .. }) => self.order.push(Item::Marker(node)),
            Directive::UpdateAction { id, actions, span } => {
                exclusions::update_actions(&mut self.drafts, &id, actions, span, report);
            }
            Directive::UpdateTarget {
                name,
                what,
                targets,
                replaced,
                span,
            } => {
                let change = exclusions::TargetChange {
                    name,
                    what,
                    targets,
                    replaced,
                    span,
                };
                exclusions::update_targets(&mut self.drafts, &change, self.exclusions_run, report);
            }
            Directive::Setting {
                name,
                arguments,
                span,
            } => {
                if exclusions::remove(&mut self.drafts, &name, &arguments, span, report) {
                    return;
                }
                settings::apply(&name, &arguments, span, settings, said, read, report);
            }
        }
    }

    /// Reports a chain without its next rule.
    pub(super) fn close_chain(&mut self, report: &mut Report<'_>) {
        if !self.open {
            return;
        }
        self.open = false;
        let Some((draft, before)) = self.drafts.split_last() else {
            return;
        };
        let Some(link) = draft.links.last() else {
            return;
        };
        let stray = before
            .last()
            // A rule without an id right before it is most likely the second part, written first.
            .filter(|stray| stray.id == 0 && !draft.is_chain());
        match stray.map(|stray| report.locate(stray.span).line) {
            Some(line) => report.error_with_help(
                link.span,
                format!("this chain is the wrong way round: the part after `chain` stands before it, at line {line}"),
                "put the rule that says `chain` and has the id first, and the other right after it",
            ),
            None => report.error_with_help(
                link.span,
                "this rule says `chain`, but no rule follows it",
                "remove `chain`, or put the chained SecRule right after it",
            ),
        }
    }

    fn add_link(&mut self, link: DraftLink, report: &mut Report<'_>) {
        let chains = link
            .actions
            .iter()
            .any(|a| a.name.node.eq_ignore_ascii_case("chain"));
        if std::mem::replace(&mut self.open, chains)
            && !self.is_own_rule(&link, report)
            && let Some(draft) = self.drafts.last_mut()
        {
            check_phase(&link, draft, report);
            draft.links.push(link);
            return;
        }
        let id = self.read_id(&link, report);
        // As in ModSecurity, a rule without a phase runs in phase 2.
        let phase = read_phase(&link.actions, report).unwrap_or(Phase::RequestBody);
        self.order.push(Item::Rule(self.drafts.len()));
        self.drafts.push(Draft {
            id,
            phase,
            span: link.span,
            links: vec![link],
            // The default of this moment: a later `SecDefaultAction` is for the rules after it.
            defaults: self.defaults[phase as usize - 1].clone(),
            removed_by: None,
            changed_by: Vec::new(),
        });
    }

    /// Whether the rule after `chain` has an id and so is a rule of its own. To take it for a link would silently
    /// disable it.
    fn is_own_rule(&self, link: &DraftLink, report: &mut Report<'_>) -> bool {
        let is_id = |action: &&ActionSyntax| action.name.node.eq_ignore_ascii_case("id");
        let Some(id) = link.actions.iter().find(is_id) else {
            return false;
        };
        let last = self.drafts.last().and_then(|draft| draft.links.last());
        let line = last.map_or(0, |link| report.locate(link.span).line);
        report.error_with_help(
            id.span,
            format!("the rule before, at line {line}, says `chain`, so this one is its next part and has no id of its own"),
            "remove `chain` there if this is a rule of its own, else the id here",
        );
        true
    }

    fn read_id(&mut self, link: &DraftLink, report: &mut Report<'_>) -> u64 {
        let Some(action) = link
            .actions
            .iter()
            .find(|a| a.name.node.eq_ignore_ascii_case("id"))
        else {
            report.error_with_help(
                link.span,
                "a rule without an id",
                "give it an id action, 1 to 99999 are for your own rules; only the parts of a chain after the first have none",
            );
            return 0;
        };
        let id = action
            .argument
            .as_ref()
            .and_then(|a| a.node.trim().parse::<u64>().ok());
        let Some(id) = id.filter(|&id| id > 0) else {
            report.error(action.span, "an id is a whole number above 0");
            return 0;
        };
        // Exclusions name rules by id: with two of them one rule would be changed by mistake.
        if let Some(first) = self.ids.insert(id, action.span) {
            let at = report.locate(first);
            report.error(
                action.span,
                format!(
                    "id {id} is taken: {}:{}:{}",
                    at.path.display(),
                    at.line,
                    at.column
                ),
            );
        }
        id
    }

    fn set_default(&mut self, actions: Vec<ActionSyntax>, span: Span, report: &mut Report<'_>) {
        // As in ModSecurity: these say something about one rule, and a default is for many.
        for action in &actions {
            let name = action.name.node.to_ascii_lowercase();
            if matches!(
                name.as_str(),
                "id" | "rev"
                    | "msg"
                    | "logdata"
                    | "chain"
                    | "skip"
                    | "skipafter"
                    | "ctl"
                    | "setvar"
            ) {
                report.error(action.span, format!("`{name}` cannot be a default action"));
            }
        }
        check_decision(&actions, span, report);
        match read_phase(&actions, report) {
            Some(phase) => self.defaults[phase as usize - 1] = Some(Arc::new(actions)),
            None => report.error(span, "SecDefaultAction needs a phase"),
        }
    }
}

/// As in ModSecurity, a default must name a disruptive action: it is what `block` means.
fn check_decision(actions: &[ActionSyntax], span: Span, report: &mut Report<'_>) {
    let is = |action: &ActionSyntax, names: &[&str]| {
        let mut names = names.iter();
        names.any(|name| action.name.node.eq_ignore_ascii_case(name))
    };
    let help = "name what a rule that says `block` does: pass, deny, drop, redirect:... or allow";
    if let Some(block) = actions.iter().find(|a| is(a, &["block"])) {
        let message = "`block` in SecDefaultAction stands for itself, so a rule that matches would only be logged";
        report.error_with_help(block.span, message, help);
    } else if !actions.iter().any(|a| is(a, DECISIONS)) {
        report.error_with_help(span, "SecDefaultAction needs a disruptive action", help);
    }
}

/// Actions that decide about a request; `block` stands for one of them.
const DECISIONS: &[&str] = &["allow", "deny", "drop", "pass", "redirect"];

/// A chain runs in the phase of its first rule.
fn check_phase(link: &DraftLink, draft: &Draft, report: &mut Report<'_>) {
    let is_phase = |action: &&ActionSyntax| action.name.node.eq_ignore_ascii_case("phase");
    let Some(action) = link.actions.iter().find(is_phase) else {
        return;
    };
    if let Some(phase) = read_phase(&link.actions, report).filter(|phase| *phase != draft.phase) {
        let line = report.locate(draft.span).line;
        let (own, first) = (phase as u8, draft.phase as u8);
        report.error_with_help(
            action.span,
            format!("this part of a chain says phase {own}, but the chain runs in the phase of its first rule, at line {line}: {first}"),
            "say the phase in the chain's first rule only",
        );
    }
}

fn read_phase(actions: &[ActionSyntax], report: &mut Report<'_>) -> Option<Phase> {
    let action = actions
        .iter()
        // Of several words the last one counts, as for other actions.
        .rev()
        .find(|a| a.name.node.eq_ignore_ascii_case("phase"))?;
    let text = action
        .argument
        .as_ref()
        .map(|a| a.node.trim().to_ascii_lowercase());
    // Phases 1 and 3 have no names in ModSecurity.
    let phase = match text.as_deref() {
        Some("1") => Phase::RequestHeaders,
        Some("2" | "request") => Phase::RequestBody,
        Some("3") => Phase::ResponseHeaders,
        Some("4" | "response") => Phase::ResponseBody,
        Some("5" | "logging") => Phase::Logging,
        _ => {
            report.error(
                action.span,
                "a phase is 1 to 5, or request (2), response (4), logging (5)",
            );
            return None;
        }
    };
    Some(phase)
}

/// The rules that no exclusion removed.
pub(super) fn live(program: &Program) -> impl Iterator<Item = &Draft> {
    program
        .drafts
        .iter()
        .filter(|draft| draft.removed_by.is_none())
}
