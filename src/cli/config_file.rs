//! Which configuration a verb works on, and the names in it that a shell can complete.
//!
//! Every verb finds its configuration here, so that they all mean the same file.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use clap_complete::engine::CompletionCandidate;

use crate::config::{self, NamedKind};

/// Where a verb looks, in this order, if neither the command line nor the environment names a file.
const SEARCH_PATHS: [&str; 2] = ["drawbridge.toml", "/etc/drawbridge/drawbridge.toml"];
/// The environment variable that names the configuration for every verb; an empty one counts as unset.
const VARIABLE: &str = "DRAWBRIDGE_CONFIG";

/// The configuration that a verb works on.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ConfigFile {
    /// The configuration [default: $DRAWBRIDGE_CONFIG, ./drawbridge.toml or
    /// /etc/drawbridge/drawbridge.toml, the first that exists]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl ConfigFile {
    /// # Errors
    /// No file was named, and none exists in the usual places.
    pub(super) fn find(&self) -> Result<PathBuf, NoConfiguration> {
        find(self.config.as_deref())
    }
}

/// Nobody named a configuration, and none exists in the usual places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoConfiguration;

impl fmt::Display for NoConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no configuration: neither {} exists. Name one with --config FILE or {VARIABLE}",
            SEARCH_PATHS.join(" nor ")
        )
    }
}

impl std::error::Error for NoConfiguration {}

/// The named file, else that of the environment, else the first that exists in the usual places.
///
/// # Errors
/// There is none.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, NoConfiguration> {
    // Nobody looks whether a named file exists: if it is missing, no other may stand in for it.
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    // A variable that is set to nothing names no file.
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let usual = SEARCH_PATHS.into_iter().map(PathBuf::from);
    usual
        .clone()
        .find(|path| path.exists())
        .ok_or(NoConfiguration)
}

/// Completes the names of upstreams.
pub(super) fn upstreams(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Upstream, typed)
}

/// Completes the names of exposures.
pub(super) fn exposures(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Exposure, typed)
}

/// Completes the names of trust bundles.
pub(super) fn trust_bundles(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Trust, typed)
}

/// Completes the names of policies.
pub(super) fn policies(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Policy, typed)
}

/// Completes the names of issuers' tables.
pub(super) fn identities(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Identity, typed)
}

/// Completes the names of limits.
pub(super) fn limits(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Limit, typed)
}

/// Completes the names of routes.
pub(super) fn routes(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Route, typed)
}

/// Names of this kind that begin with `typed`. A shell shows no message during completion, so any failure means no
/// names.
fn candidates(kind: NamedKind, typed: &OsStr) -> Vec<CompletionCandidate> {
    // While a shell completes a word, nobody could read an error.
    let Ok(path) = find(named_on_the_command_line().as_deref()) else {
        return Vec::new();
    };
    let typed = typed.to_string_lossy();
    let names = config::names_in(&path, kind).into_iter();
    names
        .filter(|name| name.starts_with(&*typed))
        .map(CompletionCandidate::new)
        .collect()
}

/// The file that `--config` names. clap has not parsed these words yet: the shell passes the unfinished command line as
/// arguments after `--`.
fn named_on_the_command_line() -> Option<PathBuf> {
    let mut words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        if word == "-c" || word == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word
            .to_str()
            .and_then(|word| word.strip_prefix("--config="))
        {
            return Some(path.into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_is_used_even_if_it_does_not_exist() {
        let named = Path::new("no/such/file.toml");
        assert_eq!(find(Some(named)).as_deref(), Ok(named));
    }
}
