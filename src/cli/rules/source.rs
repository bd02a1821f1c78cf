//! Which rules a verb works on: a policy of the configuration, or files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::fail;
use crate::cli::check::wants_colour;
use crate::config::{self, baseline};
use crate::diagnostic::Diagnostic;
use crate::waf::{Problems, RuleSet, RuleSetBuilder};

#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// The configuration that has the policy [default: drawbridge.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "rules")]
    pub config: Option<PathBuf>,
    /// The policy whose rules are meant [default: the only one, or "default"]
    #[arg(long, value_name = "NAME", conflicts_with = "rules")]
    pub policy: Option<String>,
    /// Rule files instead of a policy; may be given several times, loaded in the order given
    #[arg(long, value_name = "GLOB")]
    pub rules: Vec<String>,
}

impl Source {
    /// The compiled rules. What keeps them from being used is told on standard error; warnings are `check`'s business.
    ///
    /// # Errors
    /// The exit code, when they cannot be used.
    pub fn load(&self) -> Result<Arc<RuleSet>, ExitCode> {
        if self.rules.is_empty() {
            return self.load_policy();
        }
        let built = self.rules.iter().fold(RuleSet::builder(), add).build();
        let rules = built.map_err(|Problems(problems)| {
            tell(&problems);
            ExitCode::FAILURE
        })?;
        Ok(rules)
    }

    fn load_policy(&self) -> Result<Arc<RuleSet>, ExitCode> {
        let path = self
            .config
            .as_deref()
            .unwrap_or(Path::new("drawbridge.toml"));
        let loaded = config::load(path).map_err(|problems| {
            tell(&problems);
            ExitCode::FAILURE
        })?;
        let policies = &loaded.config.policies;
        let name = match &self.policy {
            Some(name) => name,
            None if policies.len() == 1 => policies.keys().next().map_or("default", String::as_str),
            None => "default",
        };
        let Some(policy) = policies.get(name) else {
            let known: Vec<&str> = policies.keys().map(String::as_str).collect();
            return Err(fail(&format!(
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
            fail(&format!(
                "policy {name:?} has mode \"off\": it has no rules"
            ))
        })
    }
}

/// Adds a glob, or the rules that are compiled into the binary.
pub fn add(builder: RuleSetBuilder, pattern: &String) -> RuleSetBuilder {
    if pattern != "@baseline" {
        return builder.files(pattern);
    }
    baseline::FILES
        .iter()
        .fold(builder, |builder, (name, text)| builder.text(*name, *text))
}

/// Tells problems on standard error. A reader that hung up has seen what it wanted.
pub fn tell(problems: &[Diagnostic]) {
    let colour = wants_colour();
    let mut err = io::stderr().lock();
    for problem in problems {
        let _ = err.write_all(problem.render(colour).as_bytes());
    }
}
