//! The two rule sets of a replay: what is live, and the candidate for it.
//!
//! Both block and have no time budget: the question is what they would stop, and the answer must not depend on the
//! speed of this machine.

use std::path::PathBuf;
use std::sync::Arc;

use clap_complete::engine::ArgValueCompleter;

use super::super::source::{add_rules, find_policy, has_no_rules};
use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::offline;
use crate::config::{self, PolicyMode, Recipe};
use waf::{Problems, RuleSet};

type Variable = (String, String);

#[derive(Debug, clap::Args)]
pub(super) struct SidesArgs {
    /// Rule files of the candidate, in the order given, instead of the policy's; @baseline is the built-in set
    #[arg(long, value_name = "GLOB")]
    rules: Vec<String>,
    /// Variables of the CRS for the candidate, beside the policy's, e.g. paranoia_level=2
    #[arg(long, value_name = "NAME=VALUE", value_parser = config::parse_assignment)]
    crs: Vec<Variable>,
    #[command(flatten)]
    config: ConfigFile,
    /// The policy, whose settings both have [default: the only one, or "default"]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::policies))]
    policy: Option<String>,
    /// The route whose policy it is
    #[arg(long, value_name = "NAME", conflicts_with = "policy",
        add = ArgValueCompleter::new(config_file::routes))]
    route: Option<String>,
    /// Rule files of what is live, instead of the policy's
    #[arg(long, value_name = "GLOB")]
    against: Vec<String>,
    /// Variables of the CRS for what is live, beside the policy's
    #[arg(long, value_name = "NAME=VALUE", value_parser = config::parse_assignment)]
    against_crs: Vec<Variable>,
    /// What is live is the policy of this configuration
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    against_config: Option<PathBuf>,
}

impl SidesArgs {
    /// The configuration of the candidate.
    pub(super) fn config_file(&self) -> &ConfigFile {
        &self.config
    }

    /// # Errors
    /// The options name only one rule set.
    pub(super) fn check(&self) -> Result<(), ReplayError> {
        let changes_candidate = !self.rules.is_empty() || !self.crs.is_empty();
        let changes_live = !self.against.is_empty() || !self.against_crs.is_empty();
        if changes_candidate || changes_live || self.against_config.is_some() {
            return Ok(());
        }
        let problem = "there is nothing to compare the policy with: name a candidate with --rules or --crs, or what is \
                       live with --against or --against-config";
        Err(ReplayError::Usage(problem.to_owned()))
    }
}

/// Why nothing was replayed.
#[derive(Debug)]
pub(super) enum ReplayError {
    Usage(String),
    Failed(CommandError),
}

impl From<CommandError> for ReplayError {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

#[derive(Debug)]
pub(super) struct Sides {
    pub(super) candidate: Arc<RuleSet>,
    pub(super) live: Arc<RuleSet>,
}

impl Sides {
    /// # Errors
    /// One of them does not load.
    pub(super) fn load(args: &SidesArgs) -> Result<Self, CommandError> {
        let names_policy =
            args.config.config.is_some() || args.policy.is_some() || args.route.is_some();
        let by_files_alone = !args.rules.is_empty() && !args.against.is_empty() && !names_policy;
        let policy = match by_files_alone {
            true => Recipe::default(),
            false => recipe_of(&args.config, args)?,
        };
        let other = match &args.against_config {
            Some(path) => recipe_of(
                &ConfigFile {
                    config: Some(path.clone()),
                },
                args,
            )?,
            None => policy.clone(),
        };
        Ok(Self {
            candidate: build(policy, &args.rules, &args.crs)?,
            live: build(other, &args.against, &args.against_crs)?,
        })
    }
}

/// What the policy of a configuration is made of.
fn recipe_of(file: &ConfigFile, args: &SidesArgs) -> Result<Recipe, CommandError> {
    let config = offline::load(file)?;
    let policy = find_policy(&config, args.policy.as_ref(), args.route.as_ref())?;
    let recipe = config.recipe_of(policy);
    recipe.cloned().ok_or_else(|| has_no_rules(policy))
}

/// The rule set of this recipe with other files, if there are any, and with these variables instead of its own.
fn build(
    mut recipe: Recipe,
    files: &[String],
    variables: &[Variable],
) -> Result<Arc<RuleSet>, CommandError> {
    recipe.mode = PolicyMode::Block;
    recipe.budget = None;
    recipe.audited = false;
    let mut changed = variables.to_vec();
    config::expand_levels(&mut changed);
    let is_changed = |name: &String| changed.iter().any(|(other, _)| other == name);
    recipe.variables.retain(|(name, _)| !is_changed(name));
    recipe.variables.extend(changed);
    if !files.is_empty() {
        recipe.sources.clear();
    }
    let builder = config::builder_of(&recipe);
    let built = files.iter().fold(builder, add_rules).build();
    built.map_err(|Problems(problems)| CommandError::Diagnostics(problems))
}
