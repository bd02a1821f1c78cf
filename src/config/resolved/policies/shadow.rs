//! The shadow of a policy: what its rules are made of. They are compiled, shared and kept as those of policies.

use std::sync::Arc;

use super::{Known, NoRules, Settings, Wanted, exclusions, find_sources, settings_of};
use crate::config::model::{PolicyMode, Recipe, RuleSource, Shadow};
use crate::config::resolved::context::Context;
use crate::config::written::policies::{WrittenPolicy, WrittenShadow};
use crate::config::written::reader::Given;

/// What the shadow of a policy needs; None if it has none, or if the policy is off.
pub(super) fn find_recipe(
    written: &WrittenPolicy<'_>,
    live: &Wanted,
    context: &mut Context<'_>,
) -> Wanted {
    let shadow = match &written.shadow {
        Given::Absent => return Ok(None),
        Given::Faulty => return Err(NoRules::Reported),
        Given::Value(shadow) => shadow,
    };
    let own = match &shadow.rules {
        Some(rules) => find_sources(rules, context)?,
        None => None,
    };
    let own = own.map(|sources| exclusions::insert(sources, written));
    // Audit records are the policy's. Without a budget, because the verdict of a thread of low priority must not depend
    // on how busy the machine is.
    let Some(Settings { mode, recipe }) = settings_of(written, false) else {
        return Err(NoRules::Reported);
    };
    if mode.value == PolicyMode::Off {
        let message = format!(
            "policy \"{}\" is off: its shadow sees nothing",
            written.name
        );
        context.diagnostics.warning(shadow.at, message);
        let files = own.into_iter().flatten().filter_map(RuleSource::file);
        context.note_files(files);
        return Ok(None);
    }
    let sources = match (own, &shadow.rules, live) {
        (Some(sources), _, _) => sources,
        (None, None, Ok(Some(live))) => live.sources.clone(),
        // The policy has no rules, or the shadow none, which was reported.
        (None, _, _) => return Err(NoRules::Reported),
    };
    let variables = shadow.variables.as_ref().or(written.variables.as_ref());
    let Some(variables) = variables else {
        return Err(NoRules::Reported);
    };
    let recipe = Recipe {
        variables: variables.clone(),
        sources,
        budget: None,
        is_shadow: true,
        ..recipe
    };
    if recipe.sources.is_empty() {
        report_no_rule(written, shadow, context);
        return Err(NoRules::Reported);
    }
    if let Ok(Some(live)) = live
        && (&live.sources, &live.variables) == (&recipe.sources, &recipe.variables)
    {
        let message = format!(
            "the shadow of policy \"{}\" has the policy's own rules and variables: nothing can differ",
            written.name
        );
        context.diagnostics.warning(shadow.at, message);
    }
    Ok(Some(recipe))
}

/// The shadow with its compiled rules.
pub(super) fn find_rules(
    written: &WrittenPolicy<'_>,
    recipe: Option<Recipe>,
    known: &Known,
    context: &Context<'_>,
) -> Result<Option<Shadow>, NoRules> {
    let (Some(recipe), Given::Value(shadow)) = (recipe, &written.shadow) else {
        return Ok(None);
    };
    let compiled = match known.get(&recipe).ok_or(NoRules::Reported)? {
        Ok(compiled) => compiled,
        Err(problems) => return Err(NoRules::Broken(problems.clone())),
    };
    if compiled.rules.summaries().next().is_none() {
        report_no_rule(written, shadow, context);
    }
    Ok(Some(Shadow {
        rules: Arc::clone(&compiled.rules),
        rules_digest: compiled.digest(),
        sample: shadow.sample,
    }))
}

/// A shadow without a rule would call every request newly allowed.
fn report_no_rule(written: &WrittenPolicy<'_>, shadow: &WrittenShadow<'_>, context: &Context<'_>) {
    let name = written.name;
    let message = format!("the shadow of policy \"{name}\" contains no rule");
    context.diagnostics.error(shadow.at, message);
}
