//! A rule before it is compiled: exclusions change it, and `advice` inspects it.

use std::sync::Arc;

use seclang::{ActionSyntax, OperatorSyntax, Span, TargetSyntax};

use crate::outcome::Phase;

/// A rule before it is compiled.
pub(super) struct Draft {
    pub id: u64,
    pub phase: Phase,
    pub links: Vec<DraftLink>,
    /// The `SecDefaultAction` in force at its place in the files.
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
    pub(super) fn is_chain(&self) -> bool {
        self.links.len() > 1
    }

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

/// Whether the id belongs to the Core Rule Set, its exclusion packages or its plugins, by the ranges of their registry.
pub(super) fn is_of_crs(id: u64) -> bool {
    (900_000..=999_999).contains(&id) || (9_000_000..=9_999_999).contains(&id)
}

pub(super) fn actions(draft: &Draft) -> impl Iterator<Item = &ActionSyntax> {
    draft.links.iter().flat_map(|link| &link.actions)
}

/// Without exclusions.
pub(super) fn targets(draft: &Draft) -> impl Iterator<Item = &TargetSyntax> {
    let all = draft.links.iter().flat_map(|link| &link.targets);
    all.filter(|target| !target.exclude)
}

pub(super) fn is(action: &ActionSyntax, name: &str) -> bool {
    action.name.node.eq_ignore_ascii_case(name)
}
