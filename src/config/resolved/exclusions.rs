//! The exclusions of a policy: where they are loaded, when they end, and whether they do what their tests say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::context::Context;
use crate::config::model::{CompiledRules, ExclusionFile, OnExpiry, Recipe, RuleSource};
use crate::config::written::policies::WrittenPolicy;
use crate::exclusion::{self, Entry};
use seclang::diagnostic::{Diagnostic, Severity};
use seclang::files as rule_files;

/// The files that a policy names, with what they have. What is wrong with them is reported with the rules.
pub(super) fn files(written: &WrittenPolicy<'_>) -> Vec<ExclusionFile> {
    let read = |path: PathBuf| {
        let entries = entries(&path);
        ExclusionFile { path, entries }
    };
    paths(written).map(read).collect()
}

fn paths<'w>(written: &'w WrittenPolicy<'_>) -> impl Iterator<Item = PathBuf> + 'w {
    let named = written.exclusions.iter();
    named.map(|file| file.at.resolve(file.value))
}

/// The exclusions of a file; none if it cannot be read, which the compiler of the rules reports.
fn entries(path: &Path) -> Vec<Entry> {
    let text = rule_files::read_text(path).unwrap_or_default();
    exclusion::parse(path, &text).0
}

/// The sources with the exclusions in the place where the CRS expects them. Warns of files that are not there.
pub(super) fn add(
    sources: Vec<RuleSource>,
    written: &WrittenPolicy<'_>,
    context: &mut Context<'_>,
) -> Vec<RuleSource> {
    for (file, path) in written.exclusions.iter().zip(paths(written)) {
        // Noted even if there is none: a file that appears later is a change.
        context.inputs.file(&path);
        if !path.exists() {
            let message = format!(
                "there are no exclusions in \"{}\" yet: there is no such file",
                file.value
            );
            context.diagnostics.warning(file.at, message);
        }
    }
    insert(sources, written)
}

/// The same without a warning.
pub(super) fn insert(mut sources: Vec<RuleSource>, written: &WrittenPolicy<'_>) -> Vec<RuleSource> {
    let place = place(&sources);
    // A team that has no exclusion yet names the file before the first one is written.
    let there = paths(written).filter(|path| path.exists());
    sources.splice(place..place, there.map(RuleSource::Exclusions));
    sources
}

/// Before the first rules of the CRS or of `@baseline`, but after the CRS's set-up and its own file for exclusions; in
/// front of all rules if there are neither.
pub(crate) fn place(sources: &[RuleSource]) -> usize {
    let is_first = |source: &RuleSource| match source {
        RuleSource::Baseline | RuleSource::Exclusions(_) | RuleSource::Tried(_) => true,
        RuleSource::File(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // The names of the CRS are its load order; its set-up and plugins come before 901.
            name.starts_with("REQUEST-9") && !name.starts_with("REQUEST-900-")
        }
    };
    sources.iter().position(is_first).unwrap_or(0)
}

/// The rules that say when the exclusions of a file do not hold: in the tests of others, and after their last day.
pub(super) fn rules_before(recipe: &Recipe, path: &Path) -> String {
    let entries = entries(path);
    let ends = recipe.on_expiry == OnExpiry::Remove;
    let ends = entries.iter().filter(|_| ends).map(Entry::end_rule);
    entries.iter().map(Entry::alone_rule).chain(ends).collect()
}

/// Runs the tests of all exclusions.
///
/// # Errors
/// An exclusion does not do what it says.
pub(super) fn prove(
    compiled: Arc<CompiledRules>,
    context: &mut Context<'_>,
) -> Result<Arc<CompiledRules>, Vec<Diagnostic>> {
    let ends = compiled.recipe.on_expiry == OnExpiry::Remove;
    let mut errors = Vec::new();
    for source in &compiled.recipe.sources {
        let RuleSource::Exclusions(path) = source else {
            continue;
        };
        let tests = entries(path).into_iter();
        // Also if they are missing: written later, they are a change that a reload must see.
        context.note_files(tests.map(|entry| exclusion::tests_of(path, entry.id)));
        for problem in exclusion::check(path, &compiled.rules, ends, SystemTime::now()) {
            match (problem.is_error(), compiled.recipe.is_shadow) {
                (true, false) => errors.push(problem),
                (false, false) => context.diagnostics.add_foreign(problem),
                (true, true) => context.diagnostics.add_foreign(in_shadow(problem)),
                // The policy's own rules give the same warning.
                (false, true) => {}
            }
        }
    }
    match errors.is_empty() {
        true => Ok(compiled),
        false => Err(errors),
    }
}

/// A shadow stops nobody, so an exclusion that fails its tests there is worth a warning and no more.
fn in_shadow(problem: Diagnostic) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        message: format!("in the shadow of the policy: {}", problem.message),
        ..problem
    }
}
