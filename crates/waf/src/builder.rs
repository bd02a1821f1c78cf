//! [`RuleSetBuilder`]: from files and a policy's choices to a [`RuleSet`].

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seclang::diagnostic::{Diagnostic, Location};
use seclang::{self, Files, Input};

use super::compile::settings::record_relevant;
use super::compile::{self, Report};
use super::persistent::Store;
use super::prefilter::PhaseFilter;
use super::reads::{Noted, Reads};
use super::ruleset::{Constants, RuleSet};
use super::settings::{EngineMode, UnparsedBodies};
use super::transaction::probe;

/// Why a rule set could not be built. Never empty; may hold warnings beside at least one error.
#[derive(Debug)]
pub struct Problems(pub Vec<Diagnostic>);

/// Collects the parts of a policy; [`RuleSetBuilder::build`] compiles it.
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
    exclusions_run: bool,
    budget: Option<Duration>,
    looks: Option<u64>,
    store: Option<Arc<Store>>,
}

impl RuleSet {
    /// Begins a rule set without rules.
    #[must_use]
    pub fn builder() -> RuleSetBuilder {
        RuleSetBuilder::default()
    }
}

impl RuleSetBuilder {
    /// Uses this mode whatever `SecRuleEngine` says; a different one is a warning.
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

    /// Sets `tx.NAME` before the first rule of every transaction; a rule file that sets it to something else is an
    /// error.
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

    /// Defaults of a front door, if the rules do not say otherwise: request bodies are inspected, JSON and XML bodies
    /// are parsed by their Content-Type, the bytes of other bodies are `REQUEST_BODY`, and a body that cannot be parsed
    /// is reported.
    #[must_use]
    pub fn front_door(mut self) -> Self {
        self.front_door = true;
        self
    }

    /// Audit records are written. If the rules do not say which, ModSecurity's recommended configuration decides.
    #[must_use]
    pub fn audited(mut self, audited: bool) -> Self {
        self.audited = audited;
        self
    }

    /// Whether a body that was not inspected because of a limit or a parser error is refused if no rule decides.
    #[must_use]
    pub fn block_uninspected(mut self, block: bool) -> Self {
        self.block_uninspected = block;
        // Not merely the opposite: both are false if nobody has chosen.
        self.passes_uninspected = !block;
        self
    }

    /// What a front door does with bodies for which there is no parser.
    #[must_use]
    pub fn unparsed_bodies(mut self, choice: UnparsedBodies) -> Self {
        self.unparsed_bodies = Some(choice);
        self
    }

    /// How long the engine may work on one transaction, in all phases but the last, without the time between them. What
    /// is not inspected by then is judged as [`RuleSetBuilder::block_uninspected`] says; a refusal is 503.
    #[must_use]
    pub fn budget(mut self, budget: Option<Duration>) -> Self {
        self.budget = budget;
        self
    }

    /// The same as a count of looks at the clock. Tests prove with it where work ends, whatever the speed.
    #[doc(hidden)]
    #[must_use]
    pub fn looks(mut self, looks: u64) -> Self {
        self.looks = Some(looks);
        self
    }

    /// Shows secrets in matched rules, log lines and audit records; for requests that the operator wrote.
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.unmasked = true;
        self
    }

    /// Every rule tests every value itself. For tests that compare verdicts, which must be the same.
    #[doc(hidden)]
    #[must_use]
    pub fn without_prefilter(mut self) -> Self {
        self.without_prefilter = true;
        self
    }

    /// What `SecRuleRemove...` and `SecRuleUpdateTarget...` exclude is excluded by each transaction, so that
    /// [`Transaction::watch`](crate::Transaction::watch) can do without one of them. For tools.
    #[must_use]
    pub fn exclusions_run(mut self) -> Self {
        self.exclusions_run = true;
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

    /// Like [`RuleSetBuilder::build`], with a list of the files that were read, even if the build fails.
    pub fn build_noted(self) -> (Result<Arc<RuleSet>, Problems>, Reads) {
        let files = Noted::default();
        let built = self.build_from(&files);
        (built, files.into_reads())
    }

    fn build_from(self, files: &Noted) -> Result<Arc<RuleSet>, Problems> {
        let loaded = seclang::load(self.inputs, files);
        let mut report = Report::new(&loaded.sources, loaded.diagnostics);
        let read = |path: &Path| files.read(path);
        let mut compiled = compile::compile(
            loaded.directives,
            &self.variables,
            &read,
            self.exclusions_run,
            &mut report,
        );
        if let (Some(mode), Some((said, span))) = (self.engine, compiled.engine_said)
            && mode != said
        {
            let location = loaded.sources.locate(span);
            report.diagnostics.push(mode_differs(location, said, mode));
        }
        let warnings = report.diagnostics;
        // A rule set with an error is never used, not even in part: a missing rule would be a hole that nobody sees.
        if warnings.iter().any(Diagnostic::is_error) {
            return Err(Problems(warnings));
        }
        let settings = &mut compiled.settings;
        // The policy wins: it is what the operator looks at to know whether requests are blocked.
        settings.engine = self.engine.unwrap_or(settings.engine);
        settings.request_body_limit = self
            .request_body_limit
            .unwrap_or(settings.request_body_limit);
        // A rule file that says `Off` wins over the default of a front door.
        if self.front_door && compiled.body_access_said.is_none() {
            settings.request_body_access = true;
        }
        if self.audited && !compiled.audit_said.engine {
            record_relevant(&mut settings.audit, compiled.audit_said);
        }
        // Before the literals are frozen below, because these are literals too.
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
            claims: compiled.claims,
            exclusions: compiled.exclusions,
            standing: compiled.standing,
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
        // The probe in `add_filters` needs plans, and its result changes them: they are made twice.
        RuleSet::add_plans(&mut rules, false);
        if !self.without_prefilter {
            add_filters(&mut rules);
            // A plan that decides rules knows nothing of what transactions exclude from their beginning.
            RuleSet::add_plans(&mut rules, !self.exclusions_run);
            RuleSet::add_listings(&mut rules);
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

/// Builds the prefilters for the rules that ordinary requests reach. Rules of higher paranoia levels than the policy's
/// are jumped over and would only cost time. A rule outside of the filters runs without them.
fn add_filters(rules: &mut Arc<RuleSet>) {
    let reached = probe(rules);
    // The transactions of the probe have ended, so this is the only reference.
    let Some(rules) = Arc::get_mut(rules) else {
        return;
    };
    for (phase, list) in rules.phases.iter().enumerate() {
        let wanted = list
            .iter()
            .copied()
            .filter(|&i| reached.contains(i as usize));
        let heads = wanted.filter_map(|i| Some((i, rules.rules.get(i as usize)?)));
        let filter = PhaseFilter::build(heads, &rules.chains);
        for (bit, place) in (0u16..).zip(filter.iter().flat_map(PhaseFilter::links)) {
            rules.bits[place.rule as usize] = Some((place.link, bit));
        }
        rules.filters[phase] = filter;
    }
}
