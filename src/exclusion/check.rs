//! Whether the exclusions of a file still do what their tests say. Every load of the rules asks this.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ftw::{InProcess, Overrides};
use seclang::diagnostic::{Diagnostic, Location};
use seclang::files;
use waf::RuleSet;

use super::record::{self, Entry, tests_of};

/// This long before its end an exclusion is a warning.
const NEAR: Duration = Duration::from_secs(14 * 86_400);

/// Every problem of the exclusions in this file, which these rules were compiled with. `ends`: an exclusion whose last
/// day is over no longer holds.
#[must_use]
pub fn check(path: &Path, rules: &Arc<RuleSet>, ends: bool, now: SystemTime) -> Vec<Diagnostic> {
    let text = match files::read_text(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot be read: {error}");
            return vec![Diagnostic::error(Location::file(path), message)];
        }
    };
    let (entries, mut problems) = record::parse(path, &text);
    let own: Vec<_> = rules.summaries().filter(|rule| rule.file == path).collect();
    for rule in &own {
        // A rule without an owner and an end would hold for ever, and this file promises that none does.
        if !entries.iter().any(|entry| entry.id == rule.id) {
            let at = Location {
                line: rule.line,
                ..Location::file(path)
            };
            let message = format!("rule {} has no comments that say who wants it", rule.id);
            let help = "write `# exclusion ID` and its owner, reason and until above it; or move the rule to a file of `rules`";
            problems.push(Diagnostic::error(at, message).with_help(help));
        }
    }
    // The other way round too: a comment whose rule is gone would look like an exclusion that holds.
    for entry in &entries {
        if !own.iter().any(|rule| rule.id == entry.id) {
            let message = format!("exclusion {} has no rule of this id", entry.id);
            problems.push(Diagnostic::error(entry.at.clone(), message));
            continue;
        }
        let end = entry.purpose.until.end();
        problems.extend(near_its_end(entry, ends, now));
        // The tests of one that has ended would fail, and rightly so.
        if !(ends && end <= now) {
            problems.extend(run_tests(entry, path, rules));
        }
    }
    problems
}

fn near_its_end(entry: &Entry, ends: bool, now: SystemTime) -> Option<Diagnostic> {
    let (id, until) = (entry.id, &entry.purpose.until);
    let owner = &entry.purpose.owner;
    let message = match until.end() {
        // A warning and no error: what is over must not refuse the reload of everything else.
        end if end <= now && ends => {
            format!("exclusion {id} ended on {until} and no longer holds (owner: {owner})")
        }
        end if end <= now => {
            format!("exclusion {id} should have ended on {until} (owner: {owner})")
        }
        end if end <= now + NEAR => format!("exclusion {id} ends on {until} (owner: {owner})"),
        _ => return None,
    };
    let help = "remove it, or ask its owner for a later day";
    Some(Diagnostic::warning(entry.at.clone(), message).with_help(help))
}

fn run_tests(entry: &Entry, path: &Path, rules: &Arc<RuleSet>) -> Vec<Diagnostic> {
    let error = |message: String| Diagnostic::error(entry.at.clone(), message);
    let id = entry.id;
    let tests = tests_of(path, id);
    let read = files::read_text(&tests).map_err(|why| {
        error(format!(
            "exclusion {id} has no tests: {}: {why}",
            tests.display()
        ))
    });
    let file = match read.and_then(|text| ftw::parse(&tests, &text)) {
        // A file without tests proves nothing, and must not pass for one whose tests hold.
        Ok(file) => file.filter(|file| !file.tests.is_empty()),
        Err(problem) => return vec![problem],
    };
    let Some(file) = file else {
        return vec![error(format!(
            "exclusion {id} has no tests: {} is empty",
            tests.display()
        ))];
    };
    // Under the rules as they were just compiled, which may not be those that run.
    let played = InProcess::new(Arc::clone(rules));
    let report = ftw::run(&played, &[file], &Overrides::default(), &|_| {});
    let failed = report.tests.iter().filter(|test| !test.passed());
    failed
        .map(|test| {
            let failures = test.stages.iter().flat_map(|stage| &stage.failures);
            let failures: Vec<&str> = failures.map(String::as_str).collect();
            let (what, why) = (test.description.trim(), failures.join(", "));
            error(format!(
                "exclusion {id} does not do what its tests say: \"{what}\": {why}"
            ))
            .with_help(format!("the test is {} in {}", test.id, tests.display()))
        })
        .collect()
}
