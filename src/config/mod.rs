//! The configuration: from `drawbridge.toml` to what is ready to run.
//!
//! Three steps, in three places:
//!
//! 1. `written` parses the text, without I/O.
//! 2. `resolved` looks up names and reads the files that are named.
//! 3. `last_good` chooses what stands in for what is broken, while a configuration runs.
//!
//! [`load`] either makes a [`Config`] or names everything that is wrong, each problem with its place.

pub mod baseline;
mod console_settings;
mod inputs;
mod inventory;
mod last_good;
mod model;
mod policy_settings;
pub mod reference;
mod rehearsal;
mod resolved;
mod route_settings;
mod section_kind;
mod sources;
mod written;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use inputs::{Contents, Inputs, Stamps};
pub use model::*;
pub use rehearsal::RehearsedChain;
pub use resolved::admin::{TokenError, token_from};
pub(crate) use resolved::identity::read_own_keys;
pub(crate) use resolved::policies::builder_of;
pub use resolved::service::installed_admin;
pub use section_kind::SectionKind;
pub(crate) use written::crs_variables::{expand_levels, parse_assignment};
pub use written::malformed::Malformed;
pub use written::policies::{Promotion, PromotionError};
pub(crate) use written::values::parse_age;

use last_good::LastGood;
use resolved::context::Context;
use seclang::diagnostic::{Diagnostic, Location};
use written::diagnostics::Diagnostics;
use written::document::Document;
use written::reader::{self, Given};

/// A configuration that can be run, and what to report about it.
#[derive(Debug)]
pub struct Loaded {
    /// What can be run.
    pub config: Config,
    /// Problems that do not prevent it.
    pub warnings: Vec<Diagnostic>,
    /// The parts that were not taken; only [`load_next`] has any.
    pub refused: Vec<Refused>,
}

/// Reads the configuration at `path` and everything it names.
///
/// # Errors
/// Every problem at once, warnings included, in the order of files and lines; at least one is an error.
pub fn load(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let (loaded, _, contents) = read(path, &LastGood::default());
    let mut loaded = loaded?;
    loaded.config.contents = contents;
    Ok(loaded)
}

/// Like [`load`], while `previous` runs. A certificate, a trust bundle, a revocation list or a policy's rules that
/// cannot be used do not fail the load: the last good version stays in use, and the part is reported as refused. If
/// there is none, a new listener stays closed and a new upstream is not [`live`](Upstream::live).
///
/// The inputs are everything that was read, usable or not, with what it held: the watcher must see when a broken file is
/// repaired.
pub fn load_next(
    path: &Path,
    previous: &Config,
) -> (Result<Loaded, Vec<Diagnostic>>, Inputs, Contents) {
    read(path, &LastGood::of(previous))
}

fn read(path: &Path, last_good: &LastGood) -> (Result<Loaded, Vec<Diagnostic>>, Inputs, Contents) {
    let ((loaded, inputs), read) = inputs::noting(|| resolve(path, last_good));
    // As they were read, because a file may have changed since it was judged.
    let contents = inputs.contents_as_read(read);
    (loaded, inputs, contents)
}

fn resolve(path: &Path, last_good: &LastGood) -> (Result<Loaded, Vec<Diagnostic>>, Inputs) {
    let diagnostics = Diagnostics::default();
    let mut inputs = Inputs::default();
    // Before it is read, so that its repair is a change even if nobody can read it now.
    inputs.file(path);
    let resolved = with_document(path, &diagnostics, &mut inputs, |document, inputs| {
        let written = written::parse(document);
        // The included files are inputs already; what the sections name is added to them.
        let mut context = Context::new(&diagnostics, last_good, std::mem::take(inputs));
        let config = resolved::resolve(&written, &mut context);
        *inputs = context.inputs;
        (config, context.refused)
    });
    let (config, refused) = match resolved {
        Ok(resolved) => resolved,
        Err(found) => return (Err(found), inputs),
    };
    let failed = diagnostics.has_errors();
    let found = diagnostics.into_sorted();
    let loaded = match config {
        // A faulty section may have its default here, so that a value alone does not mean that all is well.
        Some(config) if !failed => Ok(Loaded {
            config: Config {
                source: path.to_owned(),
                inputs: inputs.clone(),
                listeners: drop_invalid_listeners(config.listeners),
                ..config
            },
            warnings: found,
            refused,
        }),
        _ => {
            // Nothing is taken, so the reasons to refuse a part are reasons to refuse the whole.
            let reasons = refused.into_iter().flat_map(|refused| refused.reasons);
            Err(found.into_iter().chain(reasons).collect())
        }
    };
    (loaded, inputs)
}

/// The result of `work` for the file at `path` and all files that it includes.
///
/// # Errors
/// The file cannot be read. Problems in it go to `diagnostics`.
fn with_document<T>(
    path: &Path,
    diagnostics: &Diagnostics,
    inputs: &mut Inputs,
    work: impl FnOnce(&Document<'_, '_>, &mut Inputs) -> T,
) -> Result<T, Vec<Diagnostic>> {
    let main = sources::read(path, 0).map_err(|error| {
        let message = format!("cannot read the configuration: {error}");
        vec![Diagnostic::error(Location::file(path), message)]
    })?;
    // Also of a file with errors of syntax: what the parser understood is checked, and names its own problems.
    let main_table = reader::parse(&main, diagnostics);
    let included = sources::read_included(&main, &main_table, diagnostics, inputs);
    let tables = included.iter();
    let tables: Vec<_> = tables.map(|s| reader::parse(s, diagnostics)).collect();
    let all = std::iter::once((&main, &main_table)).chain(included.iter().zip(&tables));
    Ok(work(&Document::new(all, diagnostics), inputs))
}

/// Leaves out the new listeners that were refused. Those that ran stay with what they had.
fn drop_invalid_listeners(mut listeners: Vec<Arc<Listener>>) -> Vec<Arc<Listener>> {
    listeners.retain(|listener| !listener.is_closed());
    listeners
}

/// Finds only the admin address of the configuration at `path`, whatever else is wrong with it: `expose off` must work
/// while the file is being edited. If none is written, it is that of the service, if there is one.
///
/// # Errors
/// The file cannot be read, or what it says of the admin address is wrong.
pub fn admin_of(path: &Path) -> Result<Option<Admin>, Vec<Diagnostic>> {
    let diagnostics = Diagnostics::default();
    let last_good = LastGood::default();
    let mut inputs = Inputs::default();
    let admin = with_document(path, &diagnostics, &mut inputs, |document, _| {
        // Certificates and rules are not read, so this works without the rights to read keys.
        let context = Context::new(&diagnostics, &last_good, Inputs::default());
        match written::admin::parse(document) {
            Given::Value(written) => resolved::admin::resolve(&written, &context).into(),
            Given::Faulty => Given::Faulty,
            Given::Absent => Given::Absent,
        }
    })?;
    match admin {
        Given::Value(admin) => Ok(Some(admin)),
        Given::Absent => Ok(resolved::service::admin()),
        Given::Faulty => Err(diagnostics.into_sorted()),
    }
}

/// Finds only the `state_dir` of the configuration at `path`, whatever else is wrong with it. If none is written, it is
/// that of the service, if there is one.
///
/// # Errors
/// The file cannot be read, or what it says of the `state_dir` is wrong.
pub fn state_dir_of(path: &Path) -> Result<Option<PathBuf>, Vec<Diagnostic>> {
    let diagnostics = Diagnostics::default();
    let last_good = LastGood::default();
    let mut inputs = Inputs::default();
    let folder = with_document(path, &diagnostics, &mut inputs, |document, _| {
        let context = Context::new(&diagnostics, &last_good, Inputs::default());
        let written = written::settings::parse_state_dir(document);
        resolved::resolve_state_dir(&written, &context)
    })?;
    match diagnostics.has_errors() {
        true => Err(diagnostics.into_sorted()),
        false => Ok(folder),
    }
}

/// The kinds of things that have names in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedKind {
    /// `[upstreams.*]`
    Upstream,
    /// `[exposures.*]`
    Exposure,
    /// `[trust.*]`
    Trust,
    /// `[policies.*]`
    Policy,
    /// `[identity.*]`
    Identity,
    /// `[limits.*]`
    Limit,
    /// `[[routes]]`
    Route,
}

/// The names of a kind in the configuration at `path`, in the order of the file, whatever is wrong with the rest; none
/// if it cannot be read. Reads no certificate and no rule, since a shell waits for the completion.
#[must_use]
pub fn names_in(path: &Path, kind: NamedKind) -> Vec<String> {
    let diagnostics = Diagnostics::default();
    let named = |document: &Document<'_, '_>, key, kind, word| {
        let found = document.named(key, kind, word).into_iter();
        found.map(|named| named.name.to_owned()).collect()
    };
    let mut inputs = Inputs::default();
    let names = with_document(path, &diagnostics, &mut inputs, |document, _| match kind {
        NamedKind::Upstream => named(document, "upstreams", SectionKind::Upstream, "upstream"),
        NamedKind::Exposure => named(document, "exposures", SectionKind::Exposure, "exposure"),
        NamedKind::Trust => named(document, "trust", SectionKind::Trust, "trust"),
        NamedKind::Policy => named(document, "policies", SectionKind::Policy, "policy"),
        NamedKind::Identity => named(document, "identity", SectionKind::Identity, "identity"),
        NamedKind::Limit => {
            let limits = written::limits::parse(document).into_iter();
            limits.map(|limit| limit.name.to_owned()).collect()
        }
        NamedKind::Route => {
            let routes = document.repeated("routes", SectionKind::Route, "a route");
            let names = routes.into_iter();
            let names = names.filter_map(|route| route.item("name")?.string());
            names.map(|name| name.value.to_owned()).collect()
        }
    });
    names.unwrap_or_default()
}

/// Compiles the rules of a policy or of a shadow again, in this mode and with this text in the place of the exclusions.
/// What it changes in persistent collections concerns no other rule set.
///
/// # Errors
/// The text or a file of the rules has problems; there are none if the rules are not of this configuration.
pub fn compile_with(
    config: &Config,
    rules: &Arc<waf::RuleSet>,
    mode: PolicyMode,
    text: &str,
) -> Result<Arc<waf::RuleSet>, Vec<Diagnostic>> {
    let mut recipe = config.recipe_of_rules(rules).ok_or_else(Vec::new)?.clone();
    recipe.mode = mode;
    if !text.is_empty() {
        let place = resolved::exclusions::place(&recipe.sources);
        let tried = RuleSource::Tried(text.to_owned());
        // Where its file would be loaded, since an exclusion must run before the rules that it names.
        recipe.sources.insert(place, tried);
    }
    let built = builder_of(&recipe).build();
    built.map_err(|waf::Problems(problems)| problems)
}

/// The edit of the configuration's text that makes the rules of a policy's shadow its own. Nothing is written.
///
/// # Errors
/// A file cannot be read; or, inside, why there is no such edit.
pub fn promote_shadow(
    path: &Path,
    policy: &str,
) -> Result<Result<Promotion, PromotionError>, Vec<Diagnostic>> {
    let diagnostics = Diagnostics::default();
    let mut inputs = Inputs::default();
    with_document(path, &diagnostics, &mut inputs, |document, _| {
        written::policies::promote(document, policy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else the watcher would hash the rules later than they were read, and miss a change in between.
    #[test]
    fn every_thread_that_compiles_rules_notes_what_it_reads() {
        let made = tempfile::tempdir().unwrap();
        let folder = made.path();
        let mut text = String::new();
        for name in ["a", "b", "c"] {
            let rule = format!("SecRule ARGS \"@rx {name}\" \"id:1,phase:2,deny\"");
            std::fs::write(folder.join(name), rule).unwrap();
            text += &format!("[policies.{name}]\nmode = \"block\"\nrules = [\"{name}\"]\n");
        }
        let path = folder.join("drawbridge.toml");
        std::fs::write(&path, text).unwrap();
        let (_, noted) = inputs::noting(|| resolve(&path, &LastGood::default()));
        for name in ["a", "b", "c"] {
            assert!(noted[&folder.join(name)].is_some(), "{name}");
        }
    }
}
