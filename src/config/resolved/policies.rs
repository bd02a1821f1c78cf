//! `[policies.*]`: finds and compiles their rule files.
//!
//! Compiling is the slowest step of a load. So policies with equal recipes share a rule set, different ones are
//! compiled at the same time, and a reload keeps those whose files are unchanged.

mod shadow;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::context::Context;
use super::exclusions;
use super::limits;
use super::names::Declared;
use crate::config::baseline;
use crate::config::model::{
    CompiledRules, OnUninspected, Policy, PolicyMode, PolicyRules, Recipe, RuleSource, Unit,
};
use crate::config::written::diagnostics::Problem;
use crate::config::written::policies::{RulePattern, WrittenPolicy, WrittenRules};
use crate::config::written::source::{At, Placed};
use crate::limits::Limit;
use crate::parallel;
use seclang::diagnostic::Diagnostic;
use seclang::{files, glob};
use waf::{EngineMode, FilesNow, Problems, RuleSet, RuleSetBuilder};

/// Bytes, unless a rule file or a key says otherwise. ModSecurity's recommended configuration has the same limit
/// (`SecRequestBodyLimit`).
const REQUEST_BODY_LIMIT: usize = 13_107_200;

/// Rule sets by their recipe, so that policies share them. A failure is kept too, so that it is compiled once.
type Known = HashMap<Recipe, Result<Arc<CompiledRules>, Vec<Diagnostic>>>;

/// What a policy needs; None with mode "off".
type Wanted = Result<Option<Recipe>, NoRules>;

/// Why a policy has no rules to inspect with.
enum NoRules {
    /// It was reported as an error of the configuration.
    Reported,
    /// The rules are broken, for these reasons: the last good policy stays in use.
    Broken(Vec<Diagnostic>),
}

/// `audited` says whether there is a place for audit records.
pub(crate) fn resolve<'s>(
    written: &[WrittenPolicy<'s>],
    audited: bool,
    limits: &mut Declared<'s, Limit>,
    context: &mut Context<'_>,
) -> (Declared<'s, Policy>, Vec<Arc<CompiledRules>>) {
    let mut policies = Declared::new("policy");
    let wanted = written
        .iter()
        .map(|policy| find_recipe(policy, audited, context));
    let wanted: Vec<Wanted> = wanted.collect();
    let shadows: Vec<Wanted> = written
        .iter()
        .zip(&wanted)
        .map(|(policy, live)| shadow::find_recipe(policy, live, context))
        .collect();
    // Only once all are known: equal ones are compiled once, the others at the same time.
    let known = compile_all(wanted.iter().chain(&shadows), context);
    for (policy, wanted) in written.iter().zip(wanted.into_iter().zip(shadows)) {
        let limits = limits::named(&policy.rate_limits, limits, context.diagnostics);
        let resolved = resolve_policy(policy, wanted, limits, &known, context);
        policies.declare(policy.name, policy.at, resolved);
    }
    let compiled = known.into_values().filter_map(Result::ok);
    (policies, compiled.collect())
}

fn resolve_policy(
    written: &WrittenPolicy<'_>,
    (wanted, shadow): (Wanted, Wanted),
    limits: Option<Vec<Arc<Limit>>>,
    known: &Known,
    context: &mut Context<'_>,
) -> Option<Arc<Policy>> {
    let name = written.name;
    let live = wanted.and_then(|recipe| find_rules(written, recipe, known, context));
    let shadow = shadow.and_then(|recipe| shadow::find_rules(written, recipe, known, context));
    let ((rules, rules_digest), shadow) = match both(live, shadow) {
        Ok(found) => found,
        Err(NoRules::Reported) => return None,
        Err(NoRules::Broken(problems)) => return last_good(name, problems, context),
    };
    // With mode "off" nothing above has looked at these. Faulty ones are an error all the same.
    written.variables.as_ref()?;
    let asks_for_identity = written.asks_for_identity.unless_faulty()?;
    let skip = rules.live().and_then(|rules| skips_compressed(rules));
    if let (Some(Placed { value: false, at }), Some(rule)) = (asks_for_identity, skip) {
        let message = format!(
            "clients may ask for compressed answers, which are not inspected: rule {rule} skips the rules on answers"
        );
        context.diagnostics.warning(at, message);
    }
    let asks_for_identity = asks_for_identity.map_or(skip.is_some(), |asked| asked.value);
    let of_rules = rules.live().map(|rules| rules.request_body_limit());
    // The key goes before a directive in the rules, and that before our default.
    let limit = written.request_body_limit.value().or(of_rules);
    Some(Arc::new(Policy {
        name: name.to_owned(),
        mode: written.mode?.value,
        on_uninspected: written.on_uninspected?,
        request_body_limit: limit.unwrap_or(REQUEST_BODY_LIMIT),
        asks_for_identity,
        cost_sample: written.cost_sample?,
        exclusions: exclusions::files(written),
        rules,
        rules_digest,
        shadow,
        rate_limits: limits?,
    }))
}

/// What the policy needs and what its shadow needs. A policy whose shadow is broken is broken: what its next version
/// would change must be known while it runs.
fn both<A, B>(live: Result<A, NoRules>, shadow: Result<B, NoRules>) -> Result<(A, B), NoRules> {
    match (live, shadow) {
        (Ok(live), Ok(shadow)) => Ok((live, shadow)),
        (Err(NoRules::Broken(mut problems)), Err(NoRules::Broken(more))) => {
            let more = more
                .into_iter()
                // Both load mostly the same files, and one message for each problem is enough.
                .filter(|problem| !problems.contains(problem));
            let more: Vec<_> = more.collect();
            problems.extend(more);
            Err(NoRules::Broken(problems))
        }
        (Err(NoRules::Broken(problems)), _) | (_, Err(NoRules::Broken(problems))) => {
            Err(NoRules::Broken(problems))
        }
        (Err(NoRules::Reported), _) | (_, Err(NoRules::Reported)) => Err(NoRules::Reported),
    }
}

fn find_recipe(written: &WrittenPolicy<'_>, audited: bool, context: &mut Context<'_>) -> Wanted {
    let name = written.name;
    // First, so that a missing file is reported even if another key is faulty.
    let sources = match &written.rules {
        Some(rules) => find_sources(rules, context)?,
        None => None,
    };
    let sources = sources.map(|sources| exclusions::add(sources, written, context));
    let Some(Settings { mode, recipe }) = settings_of(written, audited) else {
        return Err(NoRules::Reported);
    };
    if mode.value == PolicyMode::Off {
        let message = format!("policy \"{name}\" is off: nothing is inspected");
        context.diagnostics.warning(mode.at, message);
        // Nothing reads them, so they are no inputs otherwise: such a file would look new to the watcher.
        let files = sources.into_iter().flatten().filter_map(RuleSource::file);
        context.note_files(files);
        return Ok(None);
    }
    let (Some(sources), Some(variables)) = (sources, &written.variables) else {
        return Err(NoRules::Reported);
    };
    let recipe = Recipe {
        variables: variables.clone(),
        sources,
        ..recipe
    };
    if recipe.sources.is_empty() {
        report_no_rule(written, context);
        return Err(NoRules::Reported);
    }
    Ok(Some(recipe))
}

fn find_rules(
    written: &WrittenPolicy<'_>,
    recipe: Option<Recipe>,
    known: &Known,
    context: &Context<'_>,
) -> Result<(PolicyRules, String), NoRules> {
    let Some(recipe) = recipe else {
        return Ok((PolicyRules::Off, String::new()));
    };
    match known.get(&recipe).ok_or(NoRules::Reported)? {
        Ok(compiled) => {
            // Rules that exclude every rule, or files that are empty, would inspect nothing without saying so.
            if compiled.rules.summaries().next().is_none() {
                report_no_rule(written, context);
            }
            let rules = PolicyRules::Live(Arc::clone(&compiled.rules));
            Ok((rules, compiled.digest()))
        }
        Err(problems) => Err(NoRules::Broken(problems.clone())),
    }
}

/// The mode, and a recipe without its sources and variables.
struct Settings<'s> {
    mode: Placed<'s, PolicyMode>,
    recipe: Recipe,
}

/// None if one is faulty.
fn settings_of<'s>(written: &WrittenPolicy<'s>, audited: bool) -> Option<Settings<'s>> {
    let mode = written.mode?;
    let recipe = Recipe {
        mode: mode.value,
        on_uninspected: written.on_uninspected?,
        audited,
        unparsed_bodies: written.unparsed_bodies?,
        budget: written.waf_budget.unless_faulty()?,
        request_body_limit: written.request_body_limit.unless_faulty()?,
        variables: Vec::new(),
        sources: Vec::new(),
        on_expiry: written.on_expiry?,
        is_shadow: false,
    };
    Some(Settings { mode, recipe })
}

/// The rule that skips the rules on answers if an answer is compressed; None if no rule looks at answers. If there is
/// one, gateways are asked for uncompressed answers by default.
fn skips_compressed(rules: &RuleSet) -> Option<u64> {
    let skip = rules.facts().skips_compressed;
    skip.filter(|_| rules.wants_response_body())
}

/// Reports a policy without a rule. A policy that should inspect nothing must say so by `mode = "off"`.
fn report_no_rule(written: &WrittenPolicy<'_>, context: &Context<'_>) {
    let name = written.name;
    let message = format!("policy \"{name}\" contains no rule: nothing would be inspected");
    let help = Some("write mode = \"off\" if that is intended");
    let diagnostics = context.diagnostics;
    diagnostics.error_with_help(written.at, message, help);
}

/// The policy that replaces one whose rules are broken; None at the start.
fn last_good(
    name: &str,
    problems: Vec<Diagnostic>,
    context: &mut Context<'_>,
) -> Option<Arc<Policy>> {
    if !context.last_good.runs {
        let problems = problems.into_iter();
        problems.for_each(|problem| context.diagnostics.add_foreign(problem));
        return None;
    }
    context.refuse_for(&Unit::Policy(name.to_owned()), problems);
    Some(context.last_good.instead_of_policy(name))
}

/// The rule sets of all recipes, each once.
fn compile_all<'w>(wanted: impl Iterator<Item = &'w Wanted>, context: &mut Context<'_>) -> Known {
    let recipes = wanted.flatten().flatten();
    // Policies with equal recipes share a rule set, so each is made once.
    let recipes: HashSet<&Recipe> = recipes.collect();
    // Rules whose files did not change keep their compiled form.
    let mut read = FilesNow::default();
    let last_good = context.last_good;
    let (kept, new): (Vec<_>, Vec<_>) = recipes
        .into_iter()
        .map(|recipe| (recipe, last_good.rules(recipe, &mut read)))
        .partition(|(_, kept)| kept.is_some());
    // An observer belongs to a thread, and other threads read the files of the rules.
    let observer = files::observer();
    let built = parallel::map(&new, |(recipe, _)| {
        let builder = match recipe.is_shadow {
            true => builder_of(recipe),
            // What was counted outlives a reload. A shadow counts for itself, or it would change what the policy sees.
            false => builder_of(recipe).store(Arc::clone(&last_good.collections)),
        };
        let build = || builder.build_noted();
        files::observe(observer.clone(), build)
    });
    let mut known = Known::new();
    for compiled in kept.into_iter().filter_map(|(_, kept)| kept) {
        context.inputs.reads(&compiled.reads);
        let proven = exclusions::prove(Arc::clone(compiled), context);
        known.insert(compiled.recipe.clone(), proven);
    }
    for ((recipe, _), (rules, reads)) in new.into_iter().zip(built) {
        // Also the files that could not be used: repairing one is a change.
        context.inputs.reads(&reads);
        let recipe = recipe.clone();
        let compiled = rules.map_err(|Problems(problems)| problems).map(|rules| {
            Arc::new(CompiledRules {
                recipe: recipe.clone(),
                reads,
                rules,
            })
        });
        let proven = compiled.and_then(|compiled| exclusions::prove(compiled, context));
        known.insert(recipe, proven);
    }
    // Those of kept rules are reported again, since `check` and each reload list all of them.
    for compiled in known.values().flatten() {
        report_warnings(&compiled.rules, context);
    }
    known
}

fn report_warnings(rules: &RuleSet, context: &Context<'_>) {
    for warning in rules.warnings() {
        context.diagnostics.add_foreign(warning.clone());
    }
}

/// A rule set of this recipe, with persistent collections of its own.
pub(crate) fn builder_of(recipe: &Recipe) -> RuleSetBuilder {
    let mut builder = RuleSet::builder()
        .front_door()
        .block_uninspected(recipe.on_uninspected == OnUninspected::Block)
        .unparsed_bodies(recipe.unparsed_bodies)
        .budget(recipe.budget)
        .audited(recipe.audited)
        .engine(match recipe.mode {
            PolicyMode::Block => EngineMode::On,
            PolicyMode::Detect => EngineMode::DetectionOnly,
            PolicyMode::Off => EngineMode::Off,
        });
    if let Some(limit) = recipe.request_body_limit {
        builder = builder.request_body_limit(limit);
    }
    for (name, value) in &recipe.variables {
        builder = builder.variable(name, value);
    }
    for source in &recipe.sources {
        builder = match source {
            RuleSource::File(path) => builder.file(path),
            RuleSource::Tried(text) => builder.text("exclusions that are tried", text),
            RuleSource::Exclusions(path) => {
                let rules = exclusions::rules_before(recipe, path);
                builder.text("before exclusions", rules).file(path)
            }
            RuleSource::Baseline => {
                let files = baseline::FILES.iter();
                files.fold(builder, |builder, (path, text)| builder.text(*path, *text))
            }
        };
    }
    builder
}

/// The files in load order. None at the start if one is missing, which was reported.
fn find_sources(
    rules: &WrittenRules<'_>,
    context: &mut Context<'_>,
) -> Result<Option<Vec<RuleSource>>, NoRules> {
    let mut problems = rules.problems.clone();
    let mut sources = Vec::new();
    for Placed { value, at } in &rules.sources {
        match value {
            RulePattern::Baseline => sources.push(RuleSource::Baseline),
            RulePattern::Files(pattern) => match find_files(pattern, *at, context) {
                Ok(found) => sources.extend(found.into_iter().map(RuleSource::File)),
                Err(found) => problems.extend(found),
            },
        }
    }
    if problems.is_empty() {
        return Ok(rules.is_whole.then_some(sources));
    }
    if context.last_good.runs {
        let reasons = problems.into_iter().map(|problem| problem.diagnostic);
        return Err(NoRules::Broken(reasons.collect()));
    }
    context.report(problems);
    Ok(None)
}

/// The files that a name or a pattern stands for.
fn find_files(
    pattern: &str,
    at: At<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<PathBuf>, Vec<Problem>> {
    if !glob::is_pattern(pattern) {
        let path = at.resolve(pattern);
        context.inputs.file(&path);
        if path.is_file() {
            return Ok(vec![path]);
        }
        let message = match path.is_dir() {
            true => format!("\"{pattern}\" is a folder: write \"{pattern}/*.conf\""),
            // A link to nothing is there and does not exist, and deserves another message than a missing file.
            false if path.exists() || glob::broken_link(&path).is_some() => {
                let why = glob::no_file(&path).unwrap_or_default();
                format!("cannot read the rule file \"{pattern}\": {why}")
            }
            false => format!("there is no rule file \"{pattern}\""),
        };
        return Err(vec![Problem::error(at, message)]);
    }
    // Noted even if nothing matches: a file that appears later is a change.
    context.inputs.pattern(at.directory(), pattern);
    let found = glob::expand(at.directory(), pattern).map_err(|error| {
        vec![Problem::error(
            at,
            format!("cannot list \"{pattern}\": {error}"),
        )]
    })?;
    // The CRS documents patterns for its plugins, which are usually not installed.
    if found.is_empty() && !glob::asks_for_plugins(pattern) {
        let message = format!("\"{pattern}\" names no file");
        context.diagnostics.warning(at, message);
    }
    let unfit = found.iter().filter_map(|path| {
        let why = glob::no_file(path)?;
        let message = format!("\"{pattern}\" names {}, and {why}", path.display());
        Some(Problem::error(at, message))
    });
    let unfit: Vec<_> = unfit.collect();
    match unfit.is_empty() {
        true => Ok(found),
        false => Err(unfit),
    }
}
