//! `ctl`: what an action changes for one transaction.
//!
//! The rules that an exclusion means are found at load, so that a transaction only sets bits.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same text"
)]

use std::sync::Arc;

use seclang::{ActionSyntax, Selector, Spanned, TargetSyntax};

use super::action_names::{CONTROLS, REFUSED_CONTROLS};
use super::actions::{Reader, find};
use super::exclusions::Meant;
use super::noted::Noted;
use super::rule_draft::is_of_crs;
use super::suggest;
use crate::exclusion::ExclusionKind;
use crate::rule::{Control, PartsChange, Processor, Removal, RuleSelection};
use crate::settings::{AuditEngine, EngineMode};

impl Reader<'_, '_, '_> {
    /// Reads one `ctl:OPTION=VALUE`.
    pub(super) fn control(&mut self, action: &ActionSyntax) -> Option<Control> {
        let (option, value) = self.assignment(action)?;
        let word = value.node.trim().to_owned();
        let name = option.node.trim().to_ascii_lowercase();
        if let Some((_, why)) = find(REFUSED_CONTROLS, &name) {
            return self.refuse(&option, why);
        }
        if !CONTROLS.iter().any(|n| n.eq_ignore_ascii_case(&name)) {
            let message = format!("unknown ctl option `{}`", option.node);
            self.report
                .unknown(option.span, message, suggest::control(&name));
            return None;
        }
        Some(match name.as_str() {
            "ruleengine" => {
                let mode = self.engine_mode(&value)?;
                // Every rule behind it is excluded, whatever the rule calls it.
                if mode != EngineMode::On {
                    let written = format!("ctl:ruleEngine={mode:?}");
                    self.note(ExclusionKind::Engine, "", written, &value, Vec::new(), &[]);
                }
                Control::RuleEngine(mode)
            }
            "requestbodyaccess" => Control::RequestBodyAccess(self.on_off(&value)?),
            "responsebodyaccess" => Control::ResponseBodyAccess(self.on_off(&value)?),
            "forcerequestbodyvariable" => Control::ForceRequestBodyVariable(self.on_off(&value)?),
            "requestbodyprocessor" => Control::RequestBodyProcessor(self.processor(&value)?),
            "requestbodylimit" => Control::RequestBodyLimit(self.size(&value)?),
            "responsebodylimit" => Control::ResponseBodyLimit(self.size(&value)?),
            "auditengine" => Control::AuditEngine(match word.to_ascii_lowercase().as_str() {
                "on" => AuditEngine::On,
                "off" => AuditEngine::Off,
                "relevantonly" => AuditEngine::RelevantOnly,
                _ => return self.refuse(&value, "On, Off or RelevantOnly"),
            }),
            "auditlogparts" if !is_parts(word.strip_prefix(['+', '-']).unwrap_or(&word)) => {
                return self.refuse(
                    &value,
                    "parts are letters A to K and Z, all or with + or - before them",
                );
            }
            "auditlogparts" => Control::AuditLogParts(match word.as_bytes().first() {
                Some(b'+') => PartsChange::Add(word[1..].to_owned()),
                Some(b'-') => PartsChange::Remove(word[1..].to_owned()),
                _ => PartsChange::Replace(word),
            }),
            "ruleremovebyid" => self.remove_rules("byid", &value)?,
            "ruleremovebytag" => self.remove_rules("bytag", &value)?,
            "ruleremovebymsg" => self.remove_rules("bymsg", &value)?,
            "ruleremovetargetbyid" => self.remove_targets("byid", &value)?,
            "ruleremovetargetbytag" => self.remove_targets("bytag", &value)?,
            "ruleremovetargetbymsg" => self.remove_targets("bymsg", &value)?,
            _ => return None,
        })
    }

    fn engine_mode(&mut self, value: &Spanned<String>) -> Option<EngineMode> {
        Some(match value.node.trim().to_ascii_lowercase().as_str() {
            "on" => EngineMode::On,
            "off" => EngineMode::Off,
            "detectiononly" => EngineMode::DetectionOnly,
            _ => return self.refuse(value, "On, Off or DetectionOnly"),
        })
    }

    fn on_off(&mut self, value: &Spanned<String>) -> Option<bool> {
        match value.node.trim().to_ascii_lowercase().as_str() {
            "on" => Some(true),
            "off" => Some(false),
            _ => self.refuse(value, "On or Off"),
        }
    }

    fn size(&mut self, value: &Spanned<String>) -> Option<usize> {
        match value.node.trim().parse() {
            Ok(size) => Some(size),
            Err(_) => self.refuse(value, "a number of bytes"),
        }
    }

    fn processor(&mut self, value: &Spanned<String>) -> Option<Processor> {
        Some(match value.node.trim().to_ascii_uppercase().as_str() {
            "URLENCODED" => Processor::Urlencoded,
            "MULTIPART" => Processor::Multipart,
            "JSON" => Processor::Json,
            "XML" => Processor::Xml,
            "RAW" => Processor::Raw,
            _ => return self.refuse(value, "URLENCODED, MULTIPART, JSON, XML or RAW"),
        })
    }

    /// The drafts that an exclusion names, by their places.
    fn covered(&mut self, kind: &str, value: &Spanned<String>) -> Option<Vec<usize>> {
        let meant = match Meant::parse(kind, value.node.trim()) {
            Ok(meant) => meant,
            Err(error) => return self.refuse(value, &error.to_string()),
        };
        let covered = match meant.covered(self.drafts) {
            Ok(covered) => covered,
            Err(error) => return self.refuse(value, &error.to_string()),
        };
        // A rule that a directive removed has no index, and nothing is left to exclude.
        let fits = covered.iter().any(|&place| self.indexes[place].is_some());
        // The exclusion packages of the CRS name rules that a team may not have loaded.
        if !fits && !is_of_crs(self.id) {
            self.report.warning(
                value.span,
                format!("no rule fits `{}`: this exclusion does nothing", value.node),
            );
        }
        Some(covered)
    }

    fn selected(&self, covered: &[usize]) -> RuleSelection {
        let mut selection = RuleSelection::default();
        let indexes = covered.iter().filter_map(|&place| self.indexes[place]);
        indexes.for_each(|index| selection.insert(index));
        selection
    }

    /// Notes an exclusion of a team's own rule; its place among all.
    fn note(
        &mut self,
        kind: ExclusionKind,
        named_by: &str,
        written: String,
        value: &Spanned<String>,
        covered: Vec<usize>,
        targets: &[TargetSyntax],
    ) -> Option<u32> {
        // Those of the CRS are written for every server: one without a use says nothing.
        if is_of_crs(self.id) {
            return None;
        }
        let draft = self.drafts.iter().find(|draft| draft.id == self.id)?;
        let noted = Noted::new(kind, named_by, written, value.span, self.report);
        let noted = noted.by(draft, self.link).of(self.drafts, covered, targets);
        // The transaction notes which exclusions hold by these places, so none is removed from the list again.
        let place = u32::try_from(self.report.exclusions.len()).ok()?;
        self.report.exclusions.push(noted);
        Some(place)
    }

    fn remove_rules(&mut self, kind: &str, value: &Spanned<String>) -> Option<Control> {
        let covered = self.covered(kind, value)?;
        let rules = self.selected(&covered);
        let written = format!("ctl:ruleRemove{}={}", word_of(kind), value.node);
        let place = self.note(ExclusionKind::Rules, kind, written, value, covered, &[]);
        Some(Control::RemoveRules(Arc::new(Removal {
            rules,
            targets: Box::default(),
            place,
        })))
    }

    fn remove_targets(&mut self, kind: &str, value: &Spanned<String>) -> Option<Control> {
        let Some((what, target)) = value.node.split_once(';') else {
            return self.refuse(
                value,
                "RULES;TARGET is needed, for example 942100;ARGS:comment",
            );
        };
        let covered = self.covered(
            kind,
            &Spanned {
                node: what.to_owned(),
                span: value.span,
            },
        )?;
        let mut written = Vec::new();
        let mut targets = Vec::new();
        for target in split_targets(target) {
            let (variable, selector) = match target.split_once(':') {
                Some((variable, selector)) => (variable, Some(selector.trim_matches('\''))),
                None => (target, None),
            };
            // As a directive would have it, so that both find the same variables and selectors.
            let syntax = TargetSyntax {
                exclude: true,
                count: false,
                variable: Spanned {
                    node: variable.to_owned(),
                    span: value.span,
                },
                selector: selector.map(|s| Spanned {
                    node: selector_of(s),
                    span: value.span,
                }),
                span: value.span,
            };
            // Exclusions of XML know only `/*` and `//@*`, which have no namespaces.
            targets.push(self.shared.target(&syntax, &[], self.report)?);
            written.push(syntax);
        }
        let rules = self.selected(&covered);
        let text = format!("ctl:ruleRemoveTarget{}={}", word_of(kind), value.node);
        let place = self.note(ExclusionKind::Targets, kind, text, value, covered, &written);
        Some(Control::RemoveTargets(Arc::new(Removal {
            rules,
            targets: targets.into(),
            place,
        })))
    }
}

/// As the name of a `ctl` has it.
fn word_of(kind: &str) -> &'static str {
    match kind {
        "bytag" => "ByTag",
        "bymsg" => "ByMsg",
        _ => "ById",
    }
}

/// Splits `ARGS:a,ARGS:b` at commas, but not within a `/regex/` key.
fn split_targets(text: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut rest = text.trim();
    loop {
        // A comma before the slash belongs to a target in front of this pattern.
        let regex = rest
            .find(":/")
            .or_else(|| rest.find(":'/"))
            .filter(|&at| !rest[..at].contains(','));
        let from = regex
            .and_then(|at| {
                rest[at..]
                    // A pattern may hold slashes and commas. It ends at a slash that a comma follows.
                    .find("/,")
                    .or_else(|| rest[at..].find("/',"))
                    .map(|i| at + i)
            })
            .unwrap_or(if regex.is_some() { rest.len() } else { 0 });
        match rest[from..].find(',') {
            Some(comma) => {
                targets.push(rest[..from + comma].trim());
                rest = rest[from + comma + 1..].trim();
            }
            None => {
                targets.push(rest);
                return targets;
            }
        }
    }
}

/// Whether the letters name parts of an audit record.
pub(super) fn is_parts(letters: &str) -> bool {
    !letters.is_empty() && letters.bytes().all(|b| b"ABCDEFGHIJKZ".contains(&b))
}

fn selector_of(text: &str) -> Selector {
    match text.strip_prefix('/').and_then(|t| t.strip_suffix('/')) {
        Some(regex) if !regex.is_empty() => Selector::Regex(regex.to_owned()),
        _ => Selector::Name(text.to_owned()),
    }
}
