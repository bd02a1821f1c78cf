//! Notes the exclusions of the teams' own files, with the rules that they concern.

#![allow(
    clippy::indexing_slicing,
    reason = "places were found in the same list of drafts"
)]

use seclang::{ActionSyntax, Selector, Span, TargetSyntax};

use super::Report;
use super::rule_draft::{Draft, DraftLink, is};
use crate::exclusion::{
    ByRule, Condition, ExcludedTarget, Exclusion, ExclusionKind, NamedBy, selector_fits,
};

/// An exclusion, and what it means among the drafts.
pub(super) struct Noted {
    pub exclusion: Exclusion,
    /// The rules that it names, by their places.
    pub places: Vec<usize>,
    pub targets: Vec<TargetSyntax>,
}

impl Noted {
    /// One that names rules in this place. `named_by`: `byid`, `bytag` or `bymsg`.
    pub(super) fn new(
        kind: ExclusionKind,
        named_by: &str,
        written: String,
        span: Span,
        report: &Report<'_>,
    ) -> Self {
        let named_by = match named_by {
            "byid" => NamedBy::Id,
            "bytag" => NamedBy::Tag,
            "bymsg" => NamedBy::Message,
            _ => NamedBy::All,
        };
        Self {
            exclusion: Exclusion {
                at: report.locate(span),
                written,
                kind,
                named_by,
                by: None,
                rules: Vec::new(),
                targets: Vec::new(),
                concerned: Vec::new(),
            },
            places: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// The same, made by the link at this place of a rule.
    pub(super) fn by(mut self, draft: &Draft, link: usize) -> Self {
        // The conditions up to the `ctl` are those under which it holds.
        let (before, after) = draft.links.split_at((link + 1).min(draft.links.len()));
        let conditions = before.iter().filter_map(|link| condition(link, draft));
        self.exclusion.by = Some(ByRule {
            id: draft.id,
            phase: draft.phase,
            conditions: conditions.collect(),
            later_conditions: after.iter().filter(|link| link.operator.is_some()).count(),
        });
        self
    }

    /// The same for these rules and targets.
    pub(super) fn of(
        mut self,
        drafts: &[Draft],
        places: Vec<usize>,
        targets: &[TargetSyntax],
    ) -> Self {
        let exclusion = &mut self.exclusion;
        let selected = || places.iter().map(|&place| &drafts[place]);
        exclusion.rules = selected().map(|draft| draft.id).collect();
        let target = |target: &TargetSyntax| ExcludedTarget {
            variable: target.variable.node.to_ascii_uppercase(),
            selector: target
                .selector
                .as_ref()
                .map(|selector| selector.node.clone()),
            is_looked_at: selected().any(|draft| looks_at(draft, target)),
        };
        exclusion.targets = targets.iter().map(target).collect();
        let is_concerned = |draft: &&Draft| {
            targets.is_empty() || targets.iter().any(|target| looks_at(draft, target))
        };
        let concerned = selected().filter(is_concerned);
        exclusion.concerned = concerned.map(|draft| draft.id).collect();
        self.places = places;
        self.targets = targets.to_vec();
        self
    }
}

/// Whether a rule can look at a value that the target excludes. Only the first link of a chain counts, as for the
/// exclusion itself.
fn looks_at(draft: &Draft, excluded: &TargetSyntax) -> bool {
    let targets = draft
        .links
        .first()
        .into_iter()
        .flat_map(|link| &link.targets);
    let mut targets = targets.filter(|target| !target.exclude);
    let name = |target: &TargetSyntax| match target.variable.node.to_ascii_uppercase() {
        // The older way to write a header field.
        name if name.starts_with("HTTP_") => "REQUEST_HEADERS".to_owned(),
        name => name,
    };
    targets.any(|target| name(target) == name(excluded) && may_overlap(target, excluded))
}

fn may_overlap(target: &TargetSyntax, excluded: &TargetSyntax) -> bool {
    let selector = |target: &TargetSyntax| target.selector.as_ref().map(|s| s.node.clone());
    match (selector(target), selector(excluded)) {
        (Some(Selector::Name(own)), Some(other)) => selector_fits(&other, &own),
        (Some(own), Some(Selector::Name(other))) => selector_fits(&own, &other),
        // Two patterns, or one side that means all values.
        _ => true,
    }
}

/// What the link asks; None for `SecAction`.
fn condition(link: &DraftLink, draft: &Draft) -> Option<Condition> {
    let operator = link.operator.as_ref()?;
    let targets: Vec<String> = link.targets.iter().map(written).collect();
    let mut transformations = Vec::new();
    let inherited = draft.defaults.iter().flat_map(|defaults| defaults.iter());
    let all = inherited.chain(&link.actions);
    for action in all.filter(|action: &&ActionSyntax| is(action, "t")) {
        let name = action
            .argument
            .as_ref()
            .map(|a| a.node.to_ascii_lowercase());
        match name.as_deref() {
            // As at run time: `t:none` takes back what the default action and earlier actions asked for.
            Some("none") | None => transformations.clear(),
            Some(name) => transformations.push(name.to_owned()),
        }
    }
    Some(Condition {
        targets: targets.join("|"),
        is_negated: operator.negated,
        operator: operator.name.node.to_ascii_lowercase(),
        argument: operator.argument.node.clone(),
        transformations,
    })
}

fn written(target: &TargetSyntax) -> String {
    let mark = match (target.exclude, target.count) {
        (true, _) => "!",
        (false, true) => "&",
        (false, false) => "",
    };
    let name = target.variable.node.to_ascii_uppercase();
    match target.selector.as_ref().map(|selector| &selector.node) {
        None => format!("{mark}{name}"),
        Some(Selector::Name(key)) => format!("{mark}{name}:{}", key.to_ascii_lowercase()),
        Some(Selector::Regex(pattern)) => format!("{mark}{name}:/{pattern}/"),
    }
}
