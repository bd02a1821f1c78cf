//! Which configuration a verb works on, and the names in it that a shell can complete.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap_complete::engine::CompletionCandidate;

use crate::config::{self, NamedKind};

/// Where a verb looks, in this order, when the command line and the environment name no file.
const PLACES: [&str; 2] = ["drawbridge.toml", "/etc/drawbridge/drawbridge.toml"];
/// Names the configuration for every verb; empty counts as unset.
const VARIABLE: &str = "DRAWBRIDGE_CONFIG";

/// The configuration that a verb works on.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigFile {
    /// The configuration [default: $DRAWBRIDGE_CONFIG, ./drawbridge.toml or
    /// /etc/drawbridge/drawbridge.toml, the first that is there]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConfigFile {
    /// # Errors
    /// No file was named and none stands at the usual places; in words for the user.
    pub fn find(&self) -> Result<PathBuf, String> {
        find(self.config.as_deref())
    }
}

/// The named file, else that of the environment, else the first of the usual places that is there.
///
/// # Errors
/// There is none; in words for the user.
pub fn find(named: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let usual = PLACES.into_iter().map(PathBuf::from);
    usual.clone().find(|path| path.exists()).ok_or_else(|| {
        format!(
            "there is no configuration: neither {} is there. Name one with --config FILE or {VARIABLE}",
            PLACES.join(" nor ")
        )
    })
}

/// Completes the names of upstreams.
pub fn upstreams(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Upstream, typed)
}

/// Completes the names of exposures.
pub fn exposures(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Exposure, typed)
}

/// Completes the names of trust bundles.
pub fn trust_bundles(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Trust, typed)
}

/// Completes the names of policies.
pub fn policies(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Policy, typed)
}

/// Completes the names of routes.
pub fn routes(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(NamedKind::Route, typed)
}

/// A shell gets no message: where there is no configuration, there are no names.
fn candidates(kind: NamedKind, typed: &OsStr) -> Vec<CompletionCandidate> {
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

/// The words that are completed stand on this process's own command line.
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
    fn a_named_file_is_taken_as_it_is() {
        let named = Path::new("no/such/file.toml");
        assert_eq!(find(Some(named)).as_deref(), Ok(named));
    }
}
