//! [`RuleSet`]: the compiled rules, immutable and shared.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seclang::diagnostic::{Diagnostic, Location};
use seclang::{self, Files, Input};

use super::body::multipart::Flags;
use super::body::xml::path::Path as XmlPath;
use super::compile::{self, Facts, Names, Report, Touched};
use super::persistent::Store;
use super::plan::{self, Plan};
use super::prefilter::Filter;
use super::reads::{Noted, Reads};
use super::rule::{Chains, Processor, Rule};
use super::settings::{Settings, UnparsedBodies};
use super::variables::{Slice, Text, Variable};

/// What `SecRuleEngine` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineMode {
    On,
    DetectionOnly,
    Off,
}

/// Why a rule set could not be built. Never empty; may hold warnings beside at least one error.
#[derive(Debug)]
pub struct Problems(pub Vec<Diagnostic>);

/// Collects what a policy is made of; [`RuleSetBuilder::build`] compiles it.
#[derive(Debug, Default)]
pub struct RuleSetBuilder {
    engine: Option<EngineMode>,
    inputs: Vec<Input>,
    variables: Vec<(String, String)>,
    request_body_limit: Option<usize>,
    front_door: bool,
    audited: bool,
    block_uninspected: bool,
    passes_uninspected: bool,
    unparsed_bodies: Option<UnparsedBodies>,
    unmasked: bool,
    without_prefilter: bool,
    budget: Option<Duration>,
    looks: Option<u64>,
    store: Option<Arc<Store>>,
}

/// The compiled rules, immutable and shared by all workers.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) settings: Settings,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) rules: Vec<Rule>,
    touched: Vec<Touched>,
    removed: Vec<RuleSummary>,
    facts: Facts,
    pub(super) phases: [Vec<u32>; 5],
    pub(super) literals: Text,
    pub(super) names: Names,
    pub(super) chains: Chains,
    pub(super) list_count: usize,
    /// What `XML:...` targets select, by their place.
    pub(super) xml_paths: Vec<Arc<XmlPath>>,
    pub(super) initial: Vec<(u32, Slice)>,
    pub(super) store: Arc<Store>,
    /// Body processors are chosen by Content-Type where no rule does.
    pub(super) default_processors: bool,
    /// What inspection could not finish is refused.
    pub(super) block_uninspected: bool,
    /// A policy says in so many words that they pass.
    pub(super) passes_uninspected: bool,
    /// None: `REQUEST_BODY` where a rule asks for it, as in ModSecurity v2.
    pub(super) unparsed_bodies: Option<UnparsedBodies>,
    /// How long the rules may work on one transaction.
    pub(super) budget: Option<Duration>,
    /// The same, counted.
    pub(super) looks: Option<u64>,
    unmasked: bool,
    constants: Constants,
    /// One a phase; None where it has nothing to filter.
    pub(super) filters: [Option<Filter>; 5],
    /// Each rule's bit in its phase's filter.
    bits: Vec<Option<u16>>,
    /// What each phase runs, every rule in its place.
    whole: [Plan; 5],
    /// The same without what was decided at load, where anything was.
    decided: Option<[Plan; 5]>,
}

/// Literals the engine itself needs.
#[derive(Debug)]
struct Constants {
    digits: [Slice; 2],
    processors: [Slice; 5],
    slot_names: Vec<Slice>,
}

/// One rule as `rules list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSummary {
    pub id: u64,
    pub phase: u8,
    pub severity: Option<u8>,
    pub message: String,
    pub tags: Vec<String>,
    pub file: PathBuf,
    pub line: u32,
    /// `file:line` of each exclusion that changes it.
    pub changed_by: Vec<String>,
    /// `file:line` of the directive that took it out.
    pub removed_by: Option<String>,
}

impl RuleSet {
    #[must_use]
    pub fn builder() -> RuleSetBuilder {
        RuleSetBuilder::default()
    }

    /// The persistent collections, for the rule set that follows this one.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// What the files say, or what the builder was told to use instead.
    #[must_use]
    pub fn engine(&self) -> EngineMode {
        self.settings.engine
    }

    #[must_use]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Problems that did not keep it from being built.
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

    /// Bytes of response body the engine wants held (`SecResponseBodyLimit`).
    #[must_use]
    pub fn response_body_limit(&self) -> usize {
        self.settings.response_body_limit
    }

    /// Whether secrets are masked in whatever is told of a transaction.
    #[must_use]
    pub fn masks(&self) -> bool {
        !self.unmasked
    }

    /// What a front door wants to know of the rules it loads.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
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

    /// The rules that `SecRuleRemove...` took out, in load order; their severity is not told.
    #[must_use]
    pub fn removed(&self) -> &[RuleSummary] {
        &self.removed
    }

    /// Whether a rule looks at a body's bytes.
    pub(super) fn looks_at_bytes(&self) -> bool {
        self.has_target(|v| matches!(v, Variable::RequestBody | Variable::FullRequest))
    }

    /// Whether a rule decides itself about a multipart body that has these flags.
    pub(super) fn judges_multipart(&self, flags: &Flags) -> bool {
        let asks = |flag: bool, variable| flag && self.has_target(|v| v == variable);
        asks(flags.strict_error(), Variable::MultipartStrictError)
            || asks(
                flags.unmatched_boundary,
                Variable::MultipartUnmatchedBoundary,
            )
    }

    fn has_target(&self, wanted: impl Fn(Variable) -> bool) -> bool {
        let tests = self.rules.iter().flat_map(|r| &r.links);
        let mut targets = tests
            .filter_map(|link| link.test.as_ref())
            .flat_map(|test| &test.targets.targets);
        targets.any(|target| !target.exclude && wanted(target.variable))
    }

    /// The rule's bit in its phase's filter.
    #[inline]
    pub(super) fn bit(&self, rule: u32) -> Option<u16> {
        self.bits.get(rule as usize).copied().flatten()
    }

    /// Builds the prefilters for the rules that ordinary requests reach: those of higher paranoia levels than
    /// the policy's are jumped over and would only cost. A rule outside the filters runs without them.
    fn add_filters(rules: &mut Arc<Self>) {
        let reached = super::transaction::probe(rules);
        let Some(rules) = Arc::get_mut(rules) else {
            return;
        };
        for (phase, list) in rules.phases.iter().enumerate() {
            let wanted = list
                .iter()
                .copied()
                .filter(|&i| reached.contains(i as usize));
            let heads = wanted.filter_map(|i| Some((i, rules.rules.get(i as usize)?)));
            let filter = Filter::build(heads, &rules.chains);
            for (bit, &rule) in (0u16..).zip(filter.iter().flat_map(|f| &f.rules)) {
                rules.bits[rule as usize] = Some(bit);
            }
            rules.filters[phase] = filter;
        }
    }

    /// How the phases run, by what is known of the rules so far.
    fn add_plans(rules: &mut Arc<Self>, decide: bool) {
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
        if let Some(rules) = Arc::get_mut(rules) {
            (rules.whole, rules.decided) = (whole, decided);
        }
    }

    /// What the phases run; `watched`: somebody is told of every rule.
    pub(super) fn plans(&self, watched: bool) -> &[Plan; 5] {
        let decided = self.decided.as_ref().filter(|_| !watched);
        decided.unwrap_or(&self.whole)
    }

    /// Bytes that the prefilters hold, maps of literals included.
    #[must_use]
    pub fn prefilter_memory(&self) -> usize {
        self.filters.iter().flatten().map(Filter::memory).sum()
    }

    /// `0` or `1`
    pub(super) fn digit(&self, digit: u8) -> Slice {
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
    fn new(literals: &mut Text, names: &Names) -> Self {
        Self {
            digits: [b"0", b"1"].map(|d| literals.push(d)),
            processors: ["URLENCODED", "MULTIPART", "JSON", "XML", "RAW"]
                .map(|p| literals.push(p.as_bytes())),
            slot_names: names.iter().map(|n| literals.push(n.as_bytes())).collect(),
        }
    }
}

impl RuleSetBuilder {
    /// This mode counts, whatever a `SecRuleEngine` says; one that differs is a warning.
    #[must_use]
    pub fn engine(mut self, mode: EngineMode) -> Self {
        self.engine = Some(mode);
        self
    }

    /// Overrides `SecRequestBodyLimit` (bytes).
    #[must_use]
    pub fn request_body_limit(mut self, bytes: usize) -> Self {
        self.request_body_limit = Some(bytes);
        self
    }

    /// Sets `tx.NAME` before the first rule of every transaction; a rule file that sets it to something else is an error.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Adds a file or a glob; order is load order. Relative paths are relative to the working directory.
    #[must_use]
    pub fn files(mut self, pattern: impl Into<String>) -> Self {
        self.inputs.push(Input::Files(pattern.into()));
        self
    }

    /// Adds this file, whatever characters are in its path.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.inputs.push(Input::File(path.into()));
        self
    }

    /// Adds rule text that is not in a file.
    #[must_use]
    pub fn text(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.inputs.push(Input::Text {
            path: path.into(),
            text: text.into(),
        });
        self
    }

    /// What a front door wants where the rules are silent: request bodies are inspected, JSON and XML
    /// bodies are parsed by their Content-Type, the bytes of others are `REQUEST_BODY`, and a body that cannot be
    /// parsed is said so.
    #[must_use]
    pub fn front_door(mut self) -> Self {
        self.front_door = true;
        self
    }

    /// Records are written somewhere: where the rules do not say which, it is what ModSecurity's recommended
    /// configuration says.
    #[must_use]
    pub fn audited(mut self, audited: bool) -> Self {
        self.audited = audited;
        self
    }

    /// Whether a body that a limit or a parser error keeps from being inspected is refused where no rule decides.
    #[must_use]
    pub fn block_uninspected(mut self, block: bool) -> Self {
        self.block_uninspected = block;
        self.passes_uninspected = !block;
        self
    }

    /// What a front door does with bodies that no parser takes apart.
    #[must_use]
    pub fn unparsed_bodies(mut self, choice: UnparsedBodies) -> Self {
        self.unparsed_bodies = Some(choice);
        self
    }

    /// How long the engine may work on one transaction, all phases but the last together and waiting not counted. What
    /// is not inspected by then is judged as [`RuleSetBuilder::block_uninspected`] says; refused, it is 503.
    #[must_use]
    pub fn budget(mut self, budget: Option<Duration>) -> Self {
        self.budget = budget;
        self
    }

    /// The same, counted in looks at the clock: tests prove with it where work ends, whatever its speed.
    #[doc(hidden)]
    #[must_use]
    pub fn looks(mut self, looks: u64) -> Self {
        self.looks = Some(looks);
        self
    }

    /// Leaves secrets in matched rules, log lines and audit records; for one's own test requests.
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.unmasked = true;
        self
    }

    /// Every rule tests every value itself. For tests that compare: verdicts are the same.
    #[doc(hidden)]
    #[must_use]
    pub fn without_prefilter(mut self) -> Self {
        self.without_prefilter = true;
        self
    }

    /// Persistent collections that outlive this rule set.
    #[must_use]
    pub fn store(mut self, store: Arc<Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Compiles everything.
    ///
    /// # Errors
    /// Every problem of every file at once.
    pub fn build(self) -> Result<Arc<RuleSet>, Problems> {
        self.build_noted().0
    }

    /// Like [`RuleSetBuilder::build`], with a note of what was read, whether or not it was of use.
    pub fn build_noted(self) -> (Result<Arc<RuleSet>, Problems>, Reads) {
        let files = Noted::default();
        let built = self.build_from(&files);
        (built, files.into_reads())
    }

    fn build_from(self, files: &Noted) -> Result<Arc<RuleSet>, Problems> {
        let loaded = seclang::load(self.inputs, files);
        let mut report = Report {
            sources: &loaded.sources,
            diagnostics: loaded.diagnostics,
        };
        let read = |path: &Path| files.read(path);
        let mut compiled = compile::compile(loaded.directives, &self.variables, &read, &mut report);
        if let (Some(mode), Some((said, span))) = (self.engine, compiled.engine_said)
            && mode != said
        {
            let location = loaded.sources.locate(span);
            report.diagnostics.push(mode_differs(location, said, mode));
        }
        let warnings = report.diagnostics;
        if warnings.iter().any(Diagnostic::is_error) {
            return Err(Problems(warnings));
        }
        let settings = &mut compiled.settings;
        settings.engine = self.engine.unwrap_or(settings.engine);
        settings.request_body_limit = self
            .request_body_limit
            .unwrap_or(settings.request_body_limit);
        if self.front_door && compiled.body_access_said.is_none() {
            settings.request_body_access = true;
        }
        if self.audited && !compiled.audit_said.engine {
            settings.audit.record_relevant(compiled.audit_said);
        }
        let constants = Constants::new(&mut compiled.shared.literals, &compiled.shared.names);
        let mut rules = Arc::new(RuleSet {
            filters: Default::default(),
            whole: Default::default(),
            decided: None,
            bits: vec![None; compiled.rules.len()],
            constants,
            block_uninspected: self.block_uninspected,
            passes_uninspected: self.passes_uninspected,
            unparsed_bodies: self
                .unparsed_bodies
                .or_else(|| self.front_door.then_some(UnparsedBodies::Inspect)),
            budget: self.budget,
            looks: self.looks,
            unmasked: self.unmasked,
            settings: compiled.settings,
            warnings,
            rules: compiled.rules,
            touched: compiled.touched,
            removed: compiled.removed,
            facts: compiled.facts,
            phases: compiled.phases,
            list_count: compiled.shared.list_count(),
            xml_paths: compiled.shared.xml_paths,
            literals: compiled.shared.literals.freeze(),
            names: compiled.shared.names,
            chains: compiled.shared.chains,
            initial: compiled.initial,
            store: self.store.unwrap_or_default(),
            default_processors: self.front_door,
        });
        RuleSet::add_plans(&mut rules, false);
        if !self.without_prefilter {
            RuleSet::add_filters(&mut rules);
            RuleSet::add_plans(&mut rules, true);
        }
        Ok(rules)
    }
}

fn mode_differs(location: Location, said: EngineMode, mode: EngineMode) -> Diagnostic {
    Diagnostic::warning(
        location,
        format!("SecRuleEngine {said:?} has no effect: the policy's mode says {mode:?}"),
    )
}
