//! First pass: directives in load order become drafts of rules; exclusions change the drafts before them.

use std::path::Path;
use std::sync::Arc;

use crate::seclang::{
    ActionSyntax, Directive, OperatorSyntax, RuleSyntax, Span, Spanned, TargetSyntax,
};

use super::Report;
use super::exclusions;
use super::settings::{self, Said};
use crate::waf::settings::Settings;
use crate::waf::transaction::Phase;

/// Rules and markers in load order.
#[derive(Default)]
pub(super) struct Program {
    pub drafts: Vec<Draft>,
    pub order: Vec<Item>,
    defaults: [Option<Arc<Vec<ActionSyntax>>>; 5],
    /// The last draft's last link said `chain`.
    open: bool,
    ids: std::collections::HashMap<u64, Span>,
}

pub(super) enum Item {
    Rule(usize),
    Marker(String),
}

/// A rule before it is compiled.
pub(super) struct Draft {
    pub id: u64,
    pub phase: Phase,
    pub links: Vec<DraftLink>,
    /// The `SecDefaultAction` in force where it stands.
    pub defaults: Option<Arc<Vec<ActionSyntax>>>,
    pub span: Span,
    /// The exclusion that removed it.
    pub removed_by: Option<Span>,
    /// Exclusions that changed it.
    pub changed_by: Vec<Span>,
}

pub(super) struct DraftLink {
    pub targets: Vec<TargetSyntax>,
    /// None for `SecAction`.
    pub operator: Option<OperatorSyntax>,
    pub actions: Vec<ActionSyntax>,
    pub span: Span,
}

impl Draft {
    /// The starter's arguments of an action, in order.
    pub(super) fn arguments<'d>(&'d self, action: &'d str) -> impl Iterator<Item = &'d str> {
        self.links
            .first()
            .into_iter()
            .flat_map(|l| &l.actions)
            .filter(move |a| a.name.node.eq_ignore_ascii_case(action))
            .filter_map(|a| a.argument.as_ref())
            .map(|a| a.node.as_str())
    }
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
        let is_link = matches!(directive, Directive::Rule(_) | Directive::Action { .. });
        if !is_link {
            self.close_chain(report);
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
            } => exclusions::update_targets(
                &mut self.drafts,
                &name,
                &what,
                &targets,
                &replaced,
                span,
                report,
            ),
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

    /// A chain whose next link never came.
    pub(super) fn close_chain(&mut self, report: &mut Report<'_>) {
        if !self.open {
            return;
        }
        self.open = false;
        if let Some(link) = self.drafts.last().and_then(|d| d.links.last()) {
            report.error_with_help(
                link.span,
                "this rule says `chain`, but no rule follows it",
                "remove `chain`, or put the chained SecRule right after it",
            );
        }
    }

    fn add_link(&mut self, link: DraftLink, report: &mut Report<'_>) {
        let chains = link
            .actions
            .iter()
            .any(|a| a.name.node.eq_ignore_ascii_case("chain"));
        if self.open {
            if let Some(draft) = self.drafts.last_mut() {
                draft.links.push(link);
            }
            self.open = chains;
            return;
        }
        self.open = chains;
        let id = self.read_id(&link, report);
        let phase = read_phase(&link.actions, report).unwrap_or(Phase::RequestBody);
        self.order.push(Item::Rule(self.drafts.len()));
        self.drafts.push(Draft {
            id,
            phase,
            span: link.span,
            links: vec![link],
            defaults: self.defaults[phase as usize - 1].clone(),
            removed_by: None,
            changed_by: Vec::new(),
        });
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
                "give it an id action; 1 to 99999 are for your own rules",
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
        match read_phase(&actions, report) {
            Some(phase) => self.defaults[phase as usize - 1] = Some(Arc::new(actions)),
            None => report.error(span, "SecDefaultAction needs a phase"),
        }
    }
}

fn read_phase(actions: &[ActionSyntax], report: &mut Report<'_>) -> Option<Phase> {
    let action = actions
        .iter()
        .rev()
        .find(|a| a.name.node.eq_ignore_ascii_case("phase"))?;
    let text = action
        .argument
        .as_ref()
        .map(|a| a.node.trim().to_ascii_lowercase());
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
