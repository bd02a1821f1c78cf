//! Which rules a verb works on: those of a policy in the configuration, or files.

use std::sync::Arc;

use clap_complete::engine::ArgValueCompleter;

use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::offline;
use crate::review::policy::{find_policy, has_no_rules};
use crate::review::replay::add_rules;
use waf::{Problems, RuleSet};

#[derive(Debug, Clone, clap::Args)]
pub(super) struct RuleSource {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// The policy whose rules to use [default: the only one, or "default"]
    #[arg(long, value_name = "NAME", conflicts_with = "rules",
        add = ArgValueCompleter::new(config_file::policies))]
    pub(super) policy: Option<String>,
    /// The route whose policy to use
    #[arg(long, value_name = "NAME", conflicts_with_all = ["policy", "rules"],
        add = ArgValueCompleter::new(config_file::routes))]
    pub(super) route: Option<String>,
    /// Rule files instead of a policy; may be given several times, loaded in the order given
    #[arg(long, value_name = "GLOB", conflicts_with = "config")]
    pub(super) rules: Vec<String>,
}

impl RuleSource {
    /// Loads and compiles the rules. Only `check` shows warnings.
    ///
    /// # Errors
    /// The rules have errors, or there is no such policy or route.
    pub(super) fn load(&self) -> Result<Arc<RuleSet>, CommandError> {
        if self.rules.is_empty() {
            return self.load_policy();
        }
        let built = self
            .rules
            .iter()
            .fold(RuleSet::builder(), add_rules)
            .build();
        built.map_err(|Problems(problems)| CommandError::Diagnostics(problems))
    }

    fn load_policy(&self) -> Result<Arc<RuleSet>, CommandError> {
        let config = offline::load(&self.config)?;
        let policy = find_policy(&config, self.policy.as_ref(), self.route.as_ref())?;
        let rules = policy.rules.live().cloned();
        Ok(rules.ok_or_else(|| has_no_rules(policy))?)
    }
}
