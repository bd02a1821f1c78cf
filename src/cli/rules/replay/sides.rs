//! Which two rule sets a replay compares, as options name them.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;

use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::offline;
use crate::config::{self, Recipe};
use crate::review::policy::{find_policy, has_no_rules};
use crate::review::replay::{Sides, build};

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

impl SidesArgs {
    /// # Errors
    /// One of the rule sets does not load.
    pub(super) fn load(&self) -> Result<Sides, CommandError> {
        // Whoever names both sets of files needs no configuration; whoever names a policy wants its settings for both.
        let names_policy =
            self.config.config.is_some() || self.policy.is_some() || self.route.is_some();
        let by_files_alone = !self.rules.is_empty() && !self.against.is_empty() && !names_policy;
        let policy = match by_files_alone {
            true => Recipe::default(),
            false => self.recipe_in(&self.config)?,
        };
        let other = match &self.against_config {
            Some(path) => self.recipe_in(&ConfigFile {
                config: Some(path.clone()),
            })?,
            // Both sides have the same settings, so that only what the options name can differ.
            None => policy.clone(),
        };
        Ok(Sides {
            candidate: build(policy, &self.rules, &self.crs)?,
            live: build(other, &self.against, &self.against_crs)?,
        })
    }

    /// What the policy of a configuration is made of.
    fn recipe_in(&self, file: &ConfigFile) -> Result<Recipe, CommandError> {
        let config = offline::load(file)?;
        let policy = find_policy(&config, self.policy.as_ref(), self.route.as_ref())?;
        let recipe = config.recipe_of(policy);
        Ok(recipe.cloned().ok_or_else(|| has_no_rules(policy))?)
    }
}
