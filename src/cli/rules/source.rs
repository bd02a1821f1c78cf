//! Which rules a verb works on: those of a policy in the configuration, or files.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap_complete::engine::ArgValueCompleter;

use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::config::{self, Config, baseline};
use waf::{Problems, RuleSet, RuleSetBuilder};

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
        let path = self.config.find().map_err(CommandError::because)?;
        let loaded = config::load(&path).map_err(CommandError::Diagnostics)?;
        let policies = &loaded.config.policies;
        let routed = match &self.route {
            Some(route) => Some(policy_of(&loaded.config, route)?),
            None => None,
        };
        let name = match routed.as_ref().or(self.policy.as_ref()) {
            Some(name) => name,
            // The only policy is used whatever its name, so that most users need no option.
            None if policies.len() == 1 => policies.keys().next().map_or("default", String::as_str),
            None => "default",
        };
        let Some(policy) = policies.get(name) else {
            let known: Vec<&str> = policies.keys().map(String::as_str).collect();
            return Err(CommandError::Problem(format!(
                "{}: there is no policy {name:?}; there is {}",
                path.display(),
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            )));
        };
        policy.rules.live().cloned().ok_or_else(|| {
            CommandError::Problem(format!("policy {name:?} has mode \"off\": it has no rules"))
        })
    }
}

/// The name of the policy that a route has.
fn policy_of(config: &Config, name: &str) -> Result<String, CommandError> {
    let mut routes = config.routes.iter().map(|(_, route)| route);
    let found = routes.find(|route| route.name == name);
    found.map(|route| route.policy.name.clone()).ok_or_else(|| {
        let known = config.routes.iter().map(|(_, route)| route.name.as_str());
        let known = known.collect::<BTreeSet<_>>().into_iter();
        let known = known.collect::<Vec<_>>().join(", ");
        CommandError::Problem(format!("there is no route {name:?}; there are: {known}"))
    })
}

/// Adds the files of a glob, or for `@baseline` the rules that are compiled into the binary.
pub(super) fn add_rules(builder: RuleSetBuilder, pattern: &String) -> RuleSetBuilder {
    if pattern != "@baseline" {
        return builder.files(pattern);
    }
    baseline::FILES
        .iter()
        .fold(builder, |builder, (name, text)| builder.text(*name, *text))
}
