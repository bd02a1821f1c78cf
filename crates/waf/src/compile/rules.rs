//! Second pass: from drafts to rules, sorted into phases, with jumps resolved.
//!
//! The index of a rule is its place among the drafts that no exclusion removed.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::exclusion::{Exclusion, ExclusionKind};
use crate::macros::Template;
use crate::operators::{CompileContext, Operator};
use crate::rule::{About, Disruptive, Flow, Link, Removal, Rule, RuleSelection, Test};
use crate::ruleset::{Facts, RuleSummary, Touched};
use crate::settings::{EngineMode, Settings};
use crate::variables::Slice;
use seclang::diagnostic::Diagnostic;
use seclang::{ActionSyntax, OperatorSyntax, Span};

use super::actions::{Actions, Decision, Reader};
use super::advice;
use super::noted::Noted;
use super::program::{Item, Program};
use super::rule_draft::{Draft, DraftLink, is_of_crs};
use super::settings::{AuditSaid, Said};
use super::unset::assigned_tx;
use super::{Report, Shared, suggest};

/// Everything a [`crate::RuleSet`] holds.
pub(crate) struct Compiled {
    pub settings: Settings,
    pub shared: Shared,
    pub rules: Vec<Rule>,
    pub touched: Vec<Touched>,
    pub removed: Vec<RuleSummary>,
    pub facts: Facts,
    /// The claims that macros name; an empty name is all of them.
    pub claims: Vec<Box<[u8]>>,
    pub exclusions: Vec<Exclusion>,
    /// What every transaction excludes from its beginning.
    pub standing: Vec<Arc<Removal>>,
    /// Indexes of rules, per phase, in load order.
    pub phases: [Vec<u32>; 5],
    /// `TX` variables set before the first rule.
    pub initial: Vec<(u32, Slice)>,
    pub engine_said: Option<(EngineMode, Span)>,
    pub body_access_said: Option<bool>,
    pub audit_said: AuditSaid,
}

type Read<'a> = &'a dyn Fn(&Path) -> std::io::Result<Vec<u8>>;

pub(super) fn compile(
    program: Program,
    settings: Settings,
    said: Said,
    variables: &[(String, String)],
    read: Read<'_>,
    report: &mut Report<'_>,
) -> Compiled {
    let mut shared = Shared::default();
    let initial = initial_variables(variables, &mut shared);
    // A value of the policy that a file silently overrides would mislead whoever reads the policy.
    check_overrides(&program, variables, report);
    let wanted = advice::asks_for_lookups(&program, variables);
    // Before any rule is compiled: `ctl:ruleRemove...` names rules by index, later ones too.
    let indexes = number(&program, report);
    let mut rules = Vec::new();
    let mut touched = Vec::new();
    let mut skips = Vec::new();
    let runs = indexes.iter().zip(&program.drafts);
    for (_, draft) in runs.filter(|(index, _)| index.is_some()) {
        let mut compiler = RuleCompiler {
            reader: Reader {
                shared: &mut shared,
                drafts: &program.drafts,
                id: draft.id,
                link: 0,
                indexes: &indexes,
                report,
            },
            read,
            quiet: is_of_crs(draft.id) && !wanted,
        };
        let (rule, skip) = compiler.rule(draft);
        rules.push(rule);
        skips.push(skip);
        let by = draft.changed_by.iter().map(|&s| report.locate(s));
        touched.push(Touched {
            by: by
                .map(|at| format!("{}:{}", at.path.display(), at.line))
                .collect(),
        });
    }
    // Last, because a jump may go to any later rule or marker.
    let phases = arrange(&program, &indexes, &mut rules, &skips, report);
    let noted = std::mem::take(&mut report.exclusions);
    let standing = match program.exclusions_run {
        true => standing(&noted, &indexes, &mut shared, report),
        false => Vec::new(),
    };
    advice::advise(&program, &settings, variables, report);
    let claims = std::mem::take(&mut shared.claims);
    Compiled {
        settings,
        claims,
        shared,
        rules,
        touched,
        facts: Facts::of(&program, variables),
        removed: removed(&program, report),
        exclusions: noted.into_iter().map(|noted| noted.exclusion).collect(),
        standing,
        phases,
        initial,
        engine_said: said.engine,
        body_access_said: said.request_body_access.map(|s| s.0),
        audit_said: said.audit,
    }
}

/// The rules that directives removed, and which directive.
fn removed(program: &Program, report: &Report<'_>) -> Vec<RuleSummary> {
    let place = |span: Span| {
        let at = report.locate(span);
        (at.path, at.line)
    };
    let summary = |draft: &Draft, by: Span| {
        let (file, line) = place(draft.span);
        let (by, by_line) = place(by);
        RuleSummary {
            id: draft.id,
            phase: draft.phase as u8,
            severity: None,
            // Of several the last one counts, as for a rule that runs.
            message: draft.arguments("msg").last().unwrap_or_default().to_owned(),
            tags: draft.arguments("tag").map(str::to_owned).collect(),
            file,
            line,
            changed_by: Vec::new(),
            removed_by: Some(format!("{}:{by_line}", by.display())),
        }
    };
    let drafts = program.drafts.iter();
    drafts
        .filter_map(|draft| Some(summary(draft, draft.removed_by?)))
        .collect()
}

fn initial_variables(variables: &[(String, String)], shared: &mut Shared) -> Vec<(u32, Slice)> {
    variables
        .iter()
        .map(|(name, value)| {
            (
                shared.names.intern(name),
                shared.literals.push(value.as_bytes()),
            )
        })
        .collect()
}

/// Reports a `SecAction` that sets a variable of the policy to another value.
fn check_overrides(program: &Program, variables: &[(String, String)], report: &mut Report<'_>) {
    let live = program.drafts.iter().filter(|d| d.removed_by.is_none());
    for action in live
        .flat_map(|d| &d.links)
        // Only a `SecAction` has no condition; a rule may set another value on purpose.
        .filter(|l| l.operator.is_none())
        .flat_map(|l| &l.actions)
    {
        let Some((name, value)) = assigned_tx(action) else {
            continue;
        };
        let ours = variables
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(&name));
        let Some((_, ours)) = ours.filter(|(_, ours)| Some(ours.trim()) != value) else {
            continue;
        };
        let change = match value {
            Some(value) => format!("set to `{value}`"),
            None => "removed".to_owned(),
        };
        report.error_with_help(
            action.span,
            format!("tx.{name} is {change} here, but the policy sets it to `{ours}`"),
            "say it in one place: remove the key from the policy's `crs`, or this setvar",
        );
    }
}

/// The exclusions of directives, which each transaction makes.
fn standing(
    noted: &[Noted],
    indexes: &[Option<usize>],
    shared: &mut Shared,
    report: &mut Report<'_>,
) -> Vec<Arc<Removal>> {
    let mut standing = Vec::new();
    for (place, noted) in (0..).zip(noted) {
        let excludes = [ExclusionKind::Rules, ExclusionKind::Targets];
        // What a rule excludes with `ctl` holds only once that rule has matched.
        if noted.exclusion.by.is_some() || !excludes.contains(&noted.exclusion.kind) {
            continue;
        }
        let mut rules = RuleSelection::default();
        let selected = noted.places.iter().filter_map(|&place| indexes[place]);
        selected.for_each(|index| rules.insert(index));
        let targets = noted.targets.iter();
        let targets = targets.filter_map(|target| shared.target(target, &[], report));
        standing.push(Arc::new(Removal {
            rules,
            targets: targets.collect(),
            place: Some(place),
        }));
    }
    standing
}

/// The index each draft's rule will have; None for removed ones.
fn number(program: &Program, report: &Report<'_>) -> Vec<Option<usize>> {
    let mut next = 0;
    // What a plugin removes is not tried, and stays away.
    let is_tried = |by: Span| program.exclusions_run && !report.is_plugin(by);
    let number_one = |draft: &Draft| {
        draft.removed_by.is_none_or(is_tried).then(|| {
            next += 1;
            next - 1
        })
    };
    program.drafts.iter().map(number_one).collect()
}

struct RuleCompiler<'a, 'r, 's, 'f> {
    reader: Reader<'a, 'r, 's>,
    read: Read<'f>,
    /// Inert operators get no warning: the rule is one of the CRS that nothing asks for.
    quiet: bool,
}

/// Where a match continues, as the rule says it.
enum Skip {
    None,
    Rules(u32),
    After(String, Span),
}

impl RuleCompiler<'_, '_, '_, '_> {
    fn rule(&mut self, draft: &Draft) -> (Rule, Skip) {
        let mut links = Vec::with_capacity(draft.links.len());
        let mut starter = Actions::default();
        for (position, link) in draft.links.iter().enumerate() {
            let mut actions = Actions::default();
            self.reader.link = position;
            if let Some(defaults) = &draft.defaults {
                let inherited: Vec<ActionSyntax> = defaults
                    .iter()
                    // Of `SecDefaultAction` a chained rule takes only the transformations: decision and logging are
                    // those of the first rule.
                    .filter(|a| position == 0 || a.name.node.eq_ignore_ascii_case("t"))
                    .cloned()
                    .collect();
                self.reader.read(&inherited, &mut actions);
            }
            // Taken out, so that what the rule itself says can be told from it.
            let default_decision = actions.disruptive.take();
            self.reader.read(&link.actions, &mut actions);
            // `block`, and no decision at all, mean the decision of the default.
            if matches!(actions.disruptive, None | Some(Decision::Block)) {
                actions.disruptive = default_decision;
            }
            if let Some(link) = self.link(link, &mut actions) {
                links.push(link);
            }
            if position == 0 {
                starter = actions;
            } else {
                self.merge_chained(link, actions, &mut starter);
            }
        }
        self.finish(draft, links, starter)
    }

    /// Adds what a chained rule says about the whole rule to the first one. ModSecurity refuses disruptive actions and
    /// flow in chained rules.
    fn merge_chained(&mut self, link: &DraftLink, actions: Actions, starter: &mut Actions) {
        let says = |word: &str| {
            link.actions
                .iter()
                .find(|a| a.name.node.eq_ignore_ascii_case(word))
        };
        let report = &mut *self.reader.report;
        for word in [
            "skip",
            "skipafter",
            "deny",
            "drop",
            "allow",
            "block",
            "pass",
            "redirect",
        ] {
            if let Some(action) = says(word) {
                report.error(
                    action.span,
                    format!("`{word}` belongs to the first rule of a chain, not to a chained one"),
                );
            }
        }
        // ModSecurity loads these, and takes them of the first rule only. The CRS's exclusions write them out of habit.
        for word in ["status", "log", "nolog", "auditlog", "noauditlog"] {
            if let Some(action) = says(word).filter(|_| !is_of_crs(self.reader.id)) {
                report.warning_with_help(
                    action.span,
                    format!("`{word}` has no effect in a chained rule"),
                    "write it in the first rule of the chain",
                );
            }
        }
        // If both say it, the first rule wins.
        starter.tags.extend(actions.tags);
        starter.message = starter.message.take().or(actions.message);
        starter.data = starter.data.take().or(actions.data);
        starter.severity = starter.severity.or(actions.severity);
        starter.version = starter.version.take().or(actions.version);
        starter.revision = starter.revision.take().or(actions.revision);
        starter.maturity = starter.maturity.or(actions.maturity);
        starter.accuracy = starter.accuracy.or(actions.accuracy);
    }

    fn finish(&mut self, draft: &Draft, links: Vec<Link>, actions: Actions) -> (Rule, Skip) {
        let report = &self.reader.report;
        let line = report.locate(draft.span).line;
        let sources = report.sources;
        let file = self
            .reader
            .shared
            .files
            .entry(draft.span.file)
            .or_insert_with(|| sources.path(draft.span.file).into());
        // As in ModSecurity (`re.c`), `skipAfter` wins over `skip`.
        let skip = match (actions.skip_after, actions.skip) {
            (Some(marker), _) => Skip::After(marker, draft.span),
            (None, Some(count)) => Skip::Rules(count),
            (None, None) => Skip::None,
        };
        let rule = Rule {
            id: draft.id,
            phase: draft.phase,
            links: links.into(),
            about: About {
                message: actions.message,
                data: actions.data,
                severity: actions.severity,
                tags: actions.tags.into(),
                version: actions.version,
                revision: actions.revision,
                maturity: actions.maturity,
                accuracy: actions.accuracy,
                file: Arc::clone(file),
                line,
            },
            disruptive: match actions.disruptive {
                // `block` without a default decision only logs; `advice` warns about it.
                None | Some(Decision::Pass | Decision::Block) => Disruptive::Pass,
                Some(Decision::Deny) => Disruptive::Deny,
                Some(Decision::Drop) => Disruptive::Drop,
                Some(Decision::Redirect(to)) => Disruptive::Redirect(to),
                Some(Decision::Allow(scope)) => Disruptive::Allow(scope),
            },
            status: actions.status,
            // As in ModSecurity, a rule logs unless it says `nolog`.
            log: actions.log.unwrap_or(true),
            audit_log: actions.audit_log.unwrap_or(true),
            flow: Flow::Next,
            listing: None,
        };
        (rule, skip)
    }

    fn link(&mut self, link: &DraftLink, actions: &mut Actions) -> Option<Link> {
        let effects = std::mem::take(&mut actions.effects).into();
        let Some(operator) = &link.operator else {
            return Some(Link {
                test: None,
                effects,
            });
        };
        let namespaces = namespaces(&link.actions, self.reader.report);
        let targets =
            self.reader
                .shared
                .target_list(&link.targets, &namespaces, self.reader.report);
        // Targets, operator and argument are all read before the first `?`, so that each reports its problems.
        let compiled = self.operator(operator, link.span);
        let argument = self.argument(operator);
        let Some(chain) = self.reader.shared.chains.intern(&actions.transformations) else {
            self.reader
                .report
                .error(link.span, "too many different transformation chains");
            return None;
        };
        Some(Link {
            test: Some(Test {
                targets: targets?,
                chain,
                multi_match: actions.multi_match,
                capture: actions.capture,
                negated: operator.negated,
                operator: compiled?,
                written: written(operator),
                argument: argument?,
            }),
            effects,
        })
    }

    fn operator(&mut self, syntax: &OperatorSyntax, at: Span) -> Option<Operator> {
        // Data files (`@pmFromFile`) are named from the folder of the rule file.
        let directory = self
            .reader
            .report
            .sources
            .path(at.file)
            .parent()
            .unwrap_or(Path::new(""));
        let read_data = |name: &str| (self.read)(&directory.join(name));
        let context = CompileContext {
            read_data: &read_data,
        };
        match Operator::compile(&syntax.name.node, &syntax.argument.node, &context) {
            Ok(operator) => {
                let inert = matches!(operator, Operator::Inert(_));
                if let Some(warning) = operator.warning().filter(|_| !(inert && self.quiet)) {
                    self.reader.report.warning(syntax.name.span, warning);
                }
                Some(operator)
            }
            Err(error) => {
                let span = error
                    .at
                    .as_ref()
                    .map_or(syntax.span, |_| syntax.argument.span);
                let location = self.reader.report.locate(span);
                let mut problem = Diagnostic::error(location, error.message);
                problem.help = error.help;
                self.reader.report.diagnostics.push(problem);
                None
            }
        }
    }

    fn argument(&mut self, syntax: &OperatorSyntax) -> Option<Template> {
        let text = &syntax.argument.node;
        // These operators have compiled their argument and are given none.
        if !Operator::takes_macros(&syntax.name.node) {
            return Some(Template::Literal(Slice::EMPTY));
        }
        let name = &syntax.name.node;
        // A pattern without macros is compiled with its operator, and its text is not needed again.
        let is_pattern = ["rx", "rxGlobal"]
            .iter()
            .any(|rx| name.eq_ignore_ascii_case(rx));
        if is_pattern && !text.contains("%{") {
            return Some(Template::Literal(Slice::EMPTY));
        }
        match self.reader.shared.template(text) {
            Ok(template) => Some(template),
            Err((_, name)) => {
                let message = format!("%{{{name}}}: there is no such variable");
                let help = suggest::macro_name(&name);
                self.reader
                    .report
                    .unknown(syntax.argument.span, message, help);
                None
            }
        }
    }
}

/// Characters of an operator's argument that records show. Patterns of the CRS have thousands.
const SHOWN: usize = 240;

/// The prefixes and namespaces of `xmlns:prefix=uri` actions; the address may be in quotes.
fn namespaces(actions: &[ActionSyntax], report: &mut Report<'_>) -> Vec<(String, String)> {
    let is_xmlns = |a: &&ActionSyntax| a.name.node.eq_ignore_ascii_case("xmlns");
    let mut found = Vec::new();
    for action in actions.iter().filter(is_xmlns) {
        let argument = action.argument.as_ref();
        match argument.and_then(|a| a.node.split_once('=')) {
            Some((prefix, uri)) if !prefix.trim().is_empty() => {
                let uri = uri.trim().trim_matches(['"', '\'']);
                found.push((prefix.trim().to_owned(), uri.to_owned()));
            }
            _ => report.error(
                action.span,
                "xmlns wants a prefix and its namespace: xmlns:soap=http://...",
            ),
        }
    }
    found
}

fn written(operator: &OperatorSyntax) -> Box<str> {
    let not = if operator.negated { "!" } else { "" };
    let argument = &operator.argument.node;
    // By characters: a cut within one would panic.
    let (argument, more) = match argument.char_indices().nth(SHOWN) {
        Some((end, _)) => (&argument[..end], "..."),
        None => (argument.as_str(), ""),
    };
    let blank = if argument.is_empty() { "" } else { " " };
    format!("{not}@{}{blank}{argument}{more}", operator.name.node).into()
}

/// Lists the rules of each phase and resolves `skip` and `skipAfter`.
fn arrange(
    program: &Program,
    indexes: &[Option<usize>],
    rules: &mut [Rule],
    skips: &[Skip],
    report: &mut Report<'_>,
) -> [Vec<u32>; 5] {
    let mut phases: [Vec<u32>; 5] = Default::default();
    let mut markers: HashMap<&str, Vec<[u32; 5]>> = HashMap::new();
    // Of each draft: its phase and the place right after it.
    let mut after = vec![(0, 0); program.drafts.len()];
    let length = |list: &Vec<u32>| u32::try_from(list.len()).unwrap_or(u32::MAX);
    for item in &program.order {
        match item {
            Item::Marker(name) => {
                // A marker belongs to no phase, so its place in each is noted.
                let place = [0, 1, 2, 3, 4].map(|p: usize| length(&phases[p]));
                markers.entry(name.as_str()).or_default().push(place);
            }
            Item::Rule(draft) => {
                let phase = program.drafts[*draft].phase as usize - 1;
                if let Some(index) = indexes[*draft] {
                    phases[phase].push(u32::try_from(index).unwrap_or(u32::MAX));
                }
                // A removed rule has a place too: `skipAfter` may name its id.
                after[*draft] = (phase, length(&phases[phase]));
            }
        }
    }
    for (phase, list) in phases.iter().enumerate() {
        for (position, &index) in list.iter().enumerate() {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            rules[index as usize].flow = match &skips[index as usize] {
                Skip::None => Flow::Next,
                Skip::Rules(count) => Flow::Jump(
                    position
                        .saturating_add(1)
                        .saturating_add(*count)
                        // Beyond the last rule the phase is over.
                        .min(length(list)),
                ),
                Skip::After(name, span) => {
                    let places = markers.get(name.as_str());
                    let marker = places
                        .into_iter()
                        .flatten()
                        .map(|p| p[phase])
                        // Only forward: a jump back could loop for ever.
                        .find(|&at| at > position);
                    let by_id = || {
                        let id = name.parse::<u64>().ok()?;
                        let draft = program.drafts.iter().position(|d| d.id == id)?;
                        let (of_phase, at) = after[draft];
                        // A removed rule right behind has the same place after it as this rule.
                        let is_ahead = at > position && id != rules[index as usize].id;
                        (of_phase == phase && is_ahead).then_some(at)
                    };
                    let to = marker.or_else(by_id);
                    // Rules of the CRS are written for every server, and a team does not edit them: no warning.
                    if to.is_none() && !is_of_crs(rules[index as usize].id) {
                        let named = places.is_some()
                            || program.drafts.iter().any(|d| d.id.to_string() == *name);
                        report.warning(*span, lost_marker(name, named));
                    }
                    Flow::Jump(to.unwrap_or_else(|| length(list)))
                }
            };
        }
    }
    phases
}

/// `named`: the marker or rule exists, but not after the rule in its phase.
fn lost_marker(name: &str, named: bool) -> String {
    let what = match named {
        true => format!("`{name}` is not ahead of this rule in its phase"),
        false => format!("there is no marker `{name}`"),
    };
    format!("skipAfter: {what}; the rest of the phase is skipped")
}
