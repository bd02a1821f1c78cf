//! [`RuleSet`]: the compiled rules.
//!
//! It is immutable and shared by all threads. What changes lives in transactions, or in the [`Store`] behind its own
//! lock.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seclang::diagnostic::Diagnostic;

use super::body::multipart::Flags;
use super::body::xml::path::Path as XmlPath;
use super::exclusion::Exclusion;
use super::names::Names;
use super::persistent::Store;
use super::plan::{self, Plan};
use super::prefilter::{LinkPlace, PhaseFilter};
use super::rule::listing::Listing;
use super::rule::{Chains, Processor, Removal, Rule, Test};
use super::settings::{AuditEngine, EngineMode, Settings, UnparsedBodies};
use super::variables::{Slice, Target, Text, Variable};

/// The compiled rules, immutable and shared by all workers.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) settings: Settings,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) rules: Vec<Rule>,
    pub(super) touched: Vec<Touched>,
    pub(super) removed: Vec<RuleSummary>,
    pub(super) facts: Facts,
    /// The claims that macros name; an empty name is all of them.
    pub(super) claims: Vec<Box<[u8]>>,
    pub(super) exclusions: Vec<Exclusion>,
    /// What every transaction excludes from its beginning.
    pub(super) standing: Vec<Arc<Removal>>,
    pub(super) phases: [Vec<u32>; 5],
    pub(super) literals: Text,
    pub(super) names: Names,
    pub(super) chains: Chains,
    pub(super) list_count: usize,
    /// The paths that `XML:...` targets select, by their place.
    pub(super) xml_paths: Vec<Arc<XmlPath>>,
    pub(super) initial: Vec<(u32, Slice)>,
    pub(super) store: Arc<Store>,
    /// Body processors are chosen by Content-Type if no rule does.
    pub(super) default_processors: bool,
    /// A request whose inspection could not finish is refused.
    pub(super) block_uninspected: bool,
    /// A policy says explicitly that they pass.
    pub(super) passes_uninspected: bool,
    /// None: `REQUEST_BODY` if a rule asks for it, as in ModSecurity v2.
    pub(super) unparsed_bodies: Option<UnparsedBodies>,
    /// How long the rules may work on one transaction.
    pub(super) budget: Option<Duration>,
    /// The same as a count of looks at the clock.
    pub(super) looks: Option<u64>,
    pub(super) unmasked: bool,
    pub(super) constants: Constants,
    /// The prefilter of each phase; None if it has nothing to filter.
    pub(super) filters: [Option<PhaseFilter>; 5],
    /// For each rule: the link that is in its phase's filter, and its bit there.
    pub(super) bits: Vec<Option<(u16, u16)>>,
    /// The plan of each phase with every rule in its place.
    pub(super) whole: [Plan; 5],
    /// The same without the rules that are decided at load, if there are any.
    pub(super) decided: Option<[Plan; 5]>,
}

/// Literals the engine itself needs.
#[derive(Debug)]
pub(super) struct Constants {
    digits: [Slice; 2],
    processors: [Slice; 5],
    slot_names: Vec<Slice>,
}

/// Facts that the embedding server should know about the rules, because its own settings may contradict them.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The id of the first rule that skips others in phase 4 when the response is compressed.
    pub skips_compressed: Option<u64>,
    /// The lists of content types that the CRS's rule 920420 lets through, as the rules set them; none if there
    /// is no such rule.
    pub content_types: Vec<String>,
}

/// Which exclusions touch a rule, for `rules list`.
#[derive(Debug, Clone, Default)]
pub(super) struct Touched {
    /// `file:line` of each.
    pub by: Vec<String>,
}

/// One rule as `rules list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSummary {
    /// The rule's `id`.
    pub id: u64,
    /// 1 to 5.
    pub phase: u8,
    /// 0 (emergency) to 7 (debug), as [`SEVERITIES`](crate::SEVERITIES) names them.
    pub severity: Option<u8>,
    /// The text of `msg`, with its macros; empty if there is none.
    pub message: String,
    /// The texts of `tag`.
    pub tags: Vec<String>,
    /// The file that the rule is in.
    pub file: PathBuf,
    /// The line that the rule begins in, from 1.
    pub line: u32,
    /// `file:line` of each exclusion that changes it.
    pub changed_by: Vec<String>,
    /// `file:line` of the directive that took it out.
    pub removed_by: Option<String>,
}

impl RuleSet {
    /// Which transactions the rules want recorded (`SecAuditEngine`).
    #[must_use]
    pub fn audit_engine(&self) -> AuditEngine {
        self.settings.audit.engine
    }

    /// The parts of a record that the rules ask for (`SecAuditLogParts`), a letter each.
    #[must_use]
    pub fn audit_parts(&self) -> &str {
        &self.settings.audit.parts
    }

    /// The persistent collections, for the rule set that follows this one.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// What the files say, or what the builder uses instead.
    #[must_use]
    pub fn engine(&self) -> EngineMode {
        self.settings.engine
    }

    #[must_use]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Problems that did not prevent it from being built.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Bytes of request body the engine wants held (`SecRequestBodyLimit`).
    #[must_use]
    pub fn request_body_limit(&self) -> usize {
        self.settings.request_body_limit
    }

    /// How long the engine may work on one transaction.
    #[must_use]
    pub fn budget(&self) -> Option<Duration> {
        self.budget
    }

    /// Whether phase 4 wants the response's body (`SecResponseBodyAccess`).
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        self.settings.response_body_access
    }

    /// Whether secrets are masked in all records of a transaction.
    #[must_use]
    pub fn masks(&self) -> bool {
        !self.unmasked
    }

    /// Facts about the rules for a front door that loads them.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether a rule looks at claims about the caller (`IDENTITY`).
    #[must_use]
    pub fn reads_claims(&self) -> bool {
        !self.claims.is_empty() || self.has_target(|v| v == Variable::Identity)
    }

    /// Whether a rule looks at the claim of this name, alone or among others.
    #[must_use]
    pub fn reads_claim(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let in_macro = |claim: &[u8]| claim.is_empty() || claim.eq_ignore_ascii_case(name);
        self.claims.iter().any(|claim| in_macro(claim))
            || self.targets().any(|target| {
                !target.exclude
                    && target.variable == Variable::Identity
                    && target.select.matches(name)
            })
    }

    /// Every rule in load order.
    pub fn summaries(&self) -> impl Iterator<Item = RuleSummary> {
        self.rules
            .iter()
            .zip(&self.touched)
            .map(|(rule, touched)| RuleSummary {
                id: rule.id,
                phase: rule.phase as u8,
                severity: rule.about.severity,
                message: rule
                    .about
                    .message
                    .as_ref()
                    .map_or(String::new(), |m| self.show(m)),
                tags: rule.about.tags.iter().map(|t| self.show(t)).collect(),
                file: rule.about.file.to_path_buf(),
                line: rule.about.line,
                changed_by: touched.by.clone(),
                removed_by: None,
            })
    }

    /// The rules that `SecRuleRemove...` removed, in load order, without their severity.
    #[must_use]
    pub fn removed(&self) -> &[RuleSummary] {
        &self.removed
    }

    /// The exclusions of the teams' own files, in no order that means anything.
    #[must_use]
    pub fn exclusions(&self) -> &[Exclusion] {
        &self.exclusions
    }

    /// Whether a rule looks at a body's bytes.
    pub(super) fn looks_at_bytes(&self) -> bool {
        self.has_target(|v| matches!(v, Variable::RequestBody | Variable::FullRequest))
    }

    /// Whether a rule looks at these flags of a multipart body, and so decides about it.
    pub(super) fn judges_multipart(&self, flags: &Flags) -> bool {
        // The flag first, because the search goes through all rules.
        let asks = |flag: bool, variable| flag && self.has_target(|v| v == variable);
        asks(flags.strict_error(), Variable::MultipartStrictError)
            || asks(
                flags.unmatched_boundary,
                Variable::MultipartUnmatchedBoundary,
            )
    }

    fn has_target(&self, wanted: impl Fn(Variable) -> bool) -> bool {
        let mut targets = self.targets();
        targets.any(|target| !target.exclude && wanted(target.variable))
    }

    fn targets(&self) -> impl Iterator<Item = &Target> {
        let tests = self.rules.iter().flat_map(|r| &r.links);
        tests
            .filter_map(|link| link.test.as_ref())
            .flat_map(|test| &test.targets.targets)
    }

    /// A link's bit in its phase's filter.
    #[inline]
    pub(super) fn bit(&self, place: LinkPlace) -> Option<u16> {
        let (link, bit) = self.bits.get(place.rule as usize).copied().flatten()?;
        (link == place.link).then_some(bit)
    }

    pub(super) fn test(&self, place: LinkPlace) -> Option<&Test> {
        let rule = self.rules.get(place.rule as usize)?;
        rule.links.get(usize::from(place.link))?.test.as_ref()
    }

    /// Makes the plans of the phases from what is known of the rules so far.
    pub(super) fn add_plans(rules: &mut Arc<Self>, decide: bool) {
        let source = plan::Source {
            rules: &rules.rules,
            phases: &rules.phases,
            literals: &rules.literals,
            names: &rules.names,
            initial: &rules.initial,
            bits: &rules.bits,
        };
        let whole = source.whole();
        let decided = decide.then(|| source.decided()).flatten();
        // The builder has the only reference yet.
        if let Some(rules) = Arc::get_mut(rules) {
            (rules.whole, rules.decided) = (whole, decided);
        }
    }

    /// Notes which rules look for values in a list.
    pub(super) fn add_listings(rules: &mut Arc<Self>) {
        // The builder has the only reference yet.
        let Some(rules) = Arc::get_mut(rules) else {
            return;
        };
        for rule in &mut rules.rules {
            rule.listing = Listing::of(rule, &rules.literals, &rules.names, &rules.chains);
        }
    }

    /// What the phases run; `watched` if every rule is reported.
    pub(super) fn plans(&self, watched: bool) -> &[Plan; 5] {
        let decided = self.decided.as_ref().filter(|_| !watched);
        decided.unwrap_or(&self.whole)
    }

    /// Bytes that the prefilters hold, maps of literals included.
    #[must_use]
    pub fn prefilter_memory(&self) -> usize {
        self.filters.iter().flatten().map(PhaseFilter::memory).sum()
    }

    /// `0` or `1`
    pub(super) fn digit(&self, digit: u8) -> Slice {
        // The mask keeps the index within the two digits.
        self.constants.digits[usize::from(digit & 1)]
    }

    pub(super) fn processor_name(&self, processor: Processor) -> Slice {
        self.constants.processors[processor as usize]
    }

    pub(super) fn slot_name(&self, slot: u32) -> Slice {
        self.constants
            .slot_names
            .get(slot as usize)
            .copied()
            .unwrap_or_default()
    }

    /// A template as it was written.
    pub(super) fn show(&self, template: &super::macros::Template) -> String {
        use super::macros::{Macro, Part, Template};
        let literal =
            |slice: &Slice| String::from_utf8_lossy(self.literals.at(*slice)).into_owned();
        let part = |part: &Part| match part {
            Part::Literal(slice) => literal(slice),
            Part::Macro(Macro::Tx(slot)) => format!("%{{tx.{}}}", self.names.name(*slot)),
            Part::Macro(Macro::Scalar(variable)) => format!("%{{{}}}", variable.name()),
            Part::Macro(Macro::Keyed(variable, key)) => {
                format!("%{{{}.{}}}", variable.name(), String::from_utf8_lossy(key))
            }
        };
        match template {
            Template::Literal(slice) => literal(slice),
            Template::Parts(parts) => parts.iter().map(part).collect(),
        }
    }
}

impl Constants {
    pub(super) fn new(literals: &mut Text, names: &Names) -> Self {
        Self {
            digits: [b"0", b"1"].map(|d| literals.push(d)),
            // In the order of `Processor`, whose values are the indices.
            processors: ["URLENCODED", "MULTIPART", "JSON", "XML", "RAW"]
                .map(|p| literals.push(p.as_bytes())),
            slot_names: names.iter().map(|n| literals.push(n.as_bytes())).collect(),
        }
    }
}
