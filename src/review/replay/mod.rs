//! What other rules would have done with requests that are there.

pub(crate) mod compare;
mod fault;
mod har;
pub(crate) mod report;
pub(crate) mod source;

use std::sync::Arc;

pub use self::fault::EntryFault;
pub use self::har::{Har, HarError, RawRequest};

use super::error::ReviewError;
use crate::config::{self, PolicyMode, Recipe, baseline};
use crate::recorded::Request;
use waf::{Problems, RuleSet, RuleSetBuilder};

/// The two rule sets of a replay: what is live, and the candidate for it.
///
/// Both block and have no time budget: the question is what they would stop, and the answer must not depend on the
/// speed of this machine.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) candidate: Arc<RuleSet>,
    pub(crate) live: Arc<RuleSet>,
}

impl Sides {
    /// Why one of them would judge the request by what its record lacks.
    fn lack_claims_of(&self, request: &Request) -> Option<String> {
        let mut sides = [&self.live, &self.candidate].into_iter();
        sides.find_map(|rules| request.lacks_claims_for(rules))
    }
}

/// The rule set of this recipe with other files, if there are any, and with these variables instead of its own.
pub(crate) fn build(
    mut recipe: Recipe,
    files: &[String],
    variables: &[(String, String)],
) -> Result<Arc<RuleSet>, ReviewError> {
    recipe.mode = PolicyMode::Block;
    recipe.budget = None;
    // A replay repeats requests, and their records were written when they came.
    recipe.audited = false;
    let mut changed = variables.to_vec();
    // Before the recipe's own variables go: one name here can stand for several of them.
    config::expand_levels(&mut changed);
    let is_changed = |name: &String| changed.iter().any(|(other, _)| other == name);
    recipe.variables.retain(|(name, _)| !is_changed(name));
    recipe.variables.extend(changed);
    if !files.is_empty() {
        // The exclusions go too: they were written for the rules that are replaced.
        recipe.sources.clear();
    }
    let builder = config::builder_of(&recipe);
    let built = files.iter().fold(builder, add_rules).build();
    built.map_err(|Problems(problems)| ReviewError::Diagnostics(problems))
}

/// Adds the files of a glob, or for `@baseline` the rules that are compiled into the binary.
pub(crate) fn add_rules(builder: RuleSetBuilder, pattern: &String) -> RuleSetBuilder {
    if pattern != "@baseline" {
        return builder.files(pattern);
    }
    baseline::FILES
        .iter()
        .fold(builder, |builder, (name, text)| builder.text(*name, *text))
}
