//! Which rules a verb works on: those of a policy in the configuration, or files.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap_complete::engine::ArgValueCompleter;

use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::offline;
use crate::config::{Config, Policy, baseline};
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
        let config = offline::load(&self.config)?;
        let policy = find_policy(&config, self.policy.as_ref(), self.route.as_ref())?;
        let rules = policy.rules.live().cloned();
        rules.ok_or_else(|| has_no_rules(policy))
    }
}

/// The policy of this name, else that of the route, else the only one or that of the name "default".
///
/// # Errors
/// There is no such policy or route.
pub(super) fn find_policy<'c>(
    config: &'c Config,
    policy: Option<&String>,
    route: Option<&String>,
) -> Result<&'c Policy, CommandError> {
    let policies = &config.policies;
    let routed = route.map(|route| policy_of(config, route)).transpose()?;
    let name = match routed.as_ref().or(policy) {
        Some(name) => name,
        // The only policy is used whatever its name, so that most users need no option.
        None if policies.len() == 1 => policies.keys().next().map_or("default", String::as_str),
        None => "default",
    };
    let found = policies.get(name).map(|policy| &**policy);
    found.ok_or_else(|| {
        let known: Vec<&str> = policies.keys().map(String::as_str).collect();
        CommandError::Problem(format!(
            "{}: there is no policy {name:?}; there is {}",
            config.source.display(),
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        ))
    })
}

/// A policy cannot be used, since it inspects nothing.
pub(super) fn has_no_rules(policy: &Policy) -> CommandError {
    let name = &policy.name;
    CommandError::Problem(format!("policy {name:?} has mode \"off\": it has no rules"))
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
