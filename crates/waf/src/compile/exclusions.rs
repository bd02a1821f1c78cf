//! `SecRuleRemove...` and `SecRuleUpdate...`, which change the rules that stand before them.
//!
//! An exclusion that fits no rule gets a warning. A wrong id or a wrong order is the most frequent mistake, and the
//! rule would go on blocking without a sign.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::fmt;

use seclang::{ActionSyntax, Selector, Span, Spanned, TargetSyntax};

use super::Report;
use super::noted::Noted;
use super::rule_draft::Draft;
use crate::exclusion::ExclusionKind;
use crate::operators::rx::Pattern;
use crate::operators::{CompileError, Limit, PatternOptions};

/// Why it is unknown which rules an exclusion means. The rule file erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExclusionError {
    /// The text is not a list of rule ids and ranges of them.
    NotIds(String),
    /// The pattern for tags or messages cannot be compiled.
    Pattern(CompileError),
    /// The pattern gave up on a rule before it knew whether it matches.
    GaveUp {
        /// The id of the rule.
        rule: u64,
        /// Whose argument the pattern searched: `tag` or `msg`.
        action: &'static str,
        /// What was exceeded.
        limit: Limit,
    },
}

/// Inclusive ranges of rule ids: `1 2-5,"7"`.
pub(super) fn parse_ids(text: &str) -> Option<Vec<(u64, u64)>> {
    let mut ranges = Vec::new();
    for piece in text
        .split([',', ' ', '\t'])
        .map(|p| p.trim_matches(['"', '\'']))
    {
        if piece.is_empty() {
            continue;
        }
        let (low, high) = piece.split_once('-').unwrap_or((piece, piece));
        let range = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        // A range in the wrong order would silently mean no rule.
        if range.0 > range.1 {
            return None;
        }
        ranges.push(range);
    }
    (!ranges.is_empty()).then_some(ranges)
}

pub(super) fn in_ranges(ranges: &[(u64, u64)], id: u64) -> bool {
    ranges.iter().any(|&(low, high)| (low..=high).contains(&id))
}

/// Which rules an exclusion means.
pub(super) enum Meant {
    Ids(Vec<(u64, u64)>),
    Tag(Pattern),
    Message(Pattern),
}

impl Meant {
    /// `kind`: `ById`, `ByTag` or `ByMsg`, in lower case.
    pub(super) fn parse(kind: &str, text: &str) -> Result<Self, ExclusionError> {
        if kind == "byid" {
            return parse_ids(text)
                .map(Self::Ids)
                .ok_or_else(|| ExclusionError::NotIds(text.to_owned()));
        }
        let regex = Pattern::compile(text.as_bytes(), PatternOptions::default())
            .map_err(ExclusionError::Pattern)?;
        Ok(if kind == "bytag" {
            Self::Tag(regex)
        } else {
            Self::Message(regex)
        })
    }

    /// Which of these rules, by their places.
    ///
    /// # Errors
    /// A pattern reached a limit on a rule's tag or message, so the answer is unknown.
    pub(super) fn covered(&self, drafts: &[Draft]) -> Result<Vec<usize>, ExclusionError> {
        let mut covered = Vec::new();
        for (place, draft) in drafts.iter().enumerate() {
            if self.covers(draft)? {
                covered.push(place);
            }
        }
        Ok(covered)
    }

    fn covers(&self, draft: &Draft) -> Result<bool, ExclusionError> {
        let (regex, action) = match self {
            Self::Ids(ranges) => return Ok(in_ranges(ranges, draft.id)),
            Self::Tag(regex) => (regex, "tag"),
            Self::Message(regex) => (regex, "msg"),
        };
        for text in draft.arguments(action) {
            let rule = draft.id;
            let found = regex.is_match(text.as_bytes());
            if found.map_err(|limit| ExclusionError::GaveUp {
                rule,
                action,
                limit,
            })? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl fmt::Display for ExclusionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIds(text) => write!(
                f,
                "`{text}` is not a list of rule ids or ranges such as 942100 or 942100-942199"
            ),
            Self::Pattern(error) => write!(f, "not a regular expression: {error}"),
            Self::GaveUp {
                rule,
                action,
                limit,
            } => write!(f, "rule {rule}, `{action}`: {limit}"),
        }
    }
}

impl std::error::Error for ExclusionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Pattern(error) => Some(error),
            Self::GaveUp { limit, .. } => Some(limit),
            Self::NotIds(_) => None,
        }
    }
}

fn covered(drafts: &[Draft], kind: &str, text: &str) -> Result<Vec<usize>, ExclusionError> {
    Meant::parse(kind, text)?.covered(drafts)
}

/// Handles `SecRuleRemoveById`, `...ByTag` and `...ByMsg`; false for any other directive.
pub(super) fn remove(
    drafts: &mut [Draft],
    name: &Spanned<String>,
    arguments: &[Spanned<String>],
    span: Span,
    report: &mut Report<'_>,
) -> bool {
    let Some(kind) = name
        .node
        .to_ascii_lowercase()
        .strip_prefix("secruleremove")
        .map(str::to_owned)
    else {
        return false;
    };
    if !matches!(kind.as_str(), "byid" | "bytag" | "bymsg") {
        return false;
    }
    if arguments.is_empty() {
        report.error(
            span,
            format!(
                "{} needs rules: write their ids, tags or messages",
                name.node
            ),
        );
    }
    for argument in arguments {
        let covered = match covered(drafts, &kind, &argument.node) {
            Ok(covered) => covered,
            Err(error) => {
                report.error(argument.span, error.to_string());
                continue;
            }
        };
        for &place in &covered {
            // Only marked: `rules list` shows it, and `skipAfter` may name it.
            drafts[place].removed_by.get_or_insert(span);
        }
        // Those of a plugin may well fit nothing, and are not the team's to answer for.
        if report.is_plugin(span) {
            continue;
        }
        if covered.is_empty() {
            report.warning(
                argument.span,
                format!("{} removes nothing: no rule before it fits", name.node),
            );
        }
        let written = format!("{} {}", name.node, argument.node);
        let noted = Noted::new(ExclusionKind::Rules, &kind, written, argument.span, report);
        report.exclusions.push(noted.of(drafts, covered, &[]));
    }
    true
}

/// `SecRuleUpdateTargetBy... WHAT TARGETS [REPLACED]`
pub(super) struct TargetChange {
    pub name: Spanned<String>,
    pub what: Spanned<String>,
    pub targets: Vec<TargetSyntax>,
    pub replaced: Vec<TargetSyntax>,
    pub span: Span,
}

/// `exclusions_run`: targets that are only excluded are left to the transaction.
pub(super) fn update_targets(
    drafts: &mut [Draft],
    change: &TargetChange,
    exclusions_run: bool,
    report: &mut Report<'_>,
) {
    let TargetChange {
        name, what, span, ..
    } = change;
    let kind = name.node.to_ascii_lowercase();
    let kind = kind.strip_prefix("secruleupdatetarget").unwrap_or_default();
    let covered = match covered(drafts, kind, &what.node) {
        Ok(covered) => covered,
        Err(error) => return report.error(what.span, error.to_string()),
    };
    let is_plugin = report.is_plugin(*span);
    let excluded = change.targets.iter().filter(|target| target.exclude);
    let excluded: Vec<TargetSyntax> = excluded.cloned().collect();
    // Before the change: what a rule looks at is what it looked at until here.
    if !excluded.is_empty() && !is_plugin {
        let written = written(*span, report);
        let noted = Noted::new(ExclusionKind::Targets, kind, written, what.span, report);
        let noted = noted.of(drafts, covered.clone(), &excluded);
        report.exclusions.push(noted);
    }
    let is_left = exclusions_run && change.replaced.is_empty() && !is_plugin;
    let mut touched = false;
    for place in covered {
        let draft = &mut drafts[place];
        // As in ModSecurity, the targets of a chain's first rule change. `SecAction` has none.
        let Some(starter) = draft.links.first_mut().filter(|l| l.operator.is_some()) else {
            continue;
        };
        touched = true;
        let replaced = &change.replaced;
        starter
            .targets
            .retain(|t| !replaced.iter().any(|r| same_target(t, r)));
        for target in change.targets.iter().filter(|t| !(is_left && t.exclude)) {
            if !starter
                .targets
                .iter()
                .any(|t| t.exclude == target.exclude && same_target(t, target))
            {
                starter.targets.push(target.clone());
            }
        }
        // `rules list` shows which directives changed a rule.
        draft.changed_by.push(*span);
    }
    if !touched && !is_plugin {
        report.warning(
            what.span,
            format!("{} changes nothing: no rule before it fits", name.node),
        );
    }
}

/// A directive in one line.
fn written(span: Span, report: &Report<'_>) -> String {
    let text = &report.sources.file(span.file).text;
    let text = text.get(span.start as usize..span.end as usize);
    let words = text.unwrap_or_default().split_whitespace();
    words
        // It only joins the lines of a file.
        .filter(|word| *word != "\\")
        .collect::<Vec<_>>()
        .join(" ")
}

fn same_target(a: &TargetSyntax, b: &TargetSyntax) -> bool {
    let selector = |t: &TargetSyntax| {
        t.selector.as_ref().map(|s| match &s.node {
            Selector::Name(n) => n.to_ascii_lowercase(),
            Selector::Regex(r) => format!("/{r}/"),
        })
    };
    a.variable.node.eq_ignore_ascii_case(&b.variable.node)
        && a.count == b.count
        && selector(a) == selector(b)
}

/// `SecRuleUpdateActionById ID[:LINK] ACTIONS`
pub(super) fn update_actions(
    drafts: &mut [Draft],
    id: &Spanned<String>,
    actions: Vec<ActionSyntax>,
    span: Span,
    report: &mut Report<'_>,
) {
    let (number, link) = id.node.split_once(':').unwrap_or((&id.node, "0"));
    let (Ok(number), Ok(link)) = (number.trim().parse::<u64>(), link.trim().parse::<usize>())
    else {
        return report.error(
            id.span,
            "an id, or an id and a link of its chain: 12345 or 12345:1",
        );
    };
    // These were used when the draft was made.
    for action in &actions {
        if matches!(
            action.name.node.to_ascii_lowercase().as_str(),
            "id" | "phase" | "chain"
        ) {
            report.error(
                action.span,
                format!("`{}` cannot be changed afterwards", action.name.node),
            );
        }
    }
    let Some(place) = drafts.iter().position(|d| d.id == number) else {
        return report.warning(id.span, format!("no rule before it has id {number}"));
    };
    if !report.is_plugin(span) {
        let written = format!("SecRuleUpdateActionById {}", id.node);
        let noted = Noted::new(ExclusionKind::Actions, "byid", written, id.span, report);
        report.exclusions.push(noted.of(drafts, vec![place], &[]));
    }
    let draft = &mut drafts[place];
    draft.changed_by.push(span);
    match draft.links.get_mut(link) {
        // Behind the rule's own: where two words exclude each other, the later one counts.
        Some(link) => link.actions.extend(actions),
        None => report.error(id.span, format!("rule {number} has no link {link}")),
    }
}
