//! What the user wrote, and what is ready to run.
//!
//! [`load`] reads `drawbridge.toml` and what it includes, every certificate and every rule file, and
//! either makes a [`Config`] or names everything that is wrong, each with its place.

mod admin;
mod balancing;
pub mod baseline;
mod exposures;
mod files;
mod inputs;
mod inventory;
mod kept;
mod listeners;
mod model;
mod policies;
mod reader;
mod rotation;
mod routes;
mod service;
mod settings;
mod upstreams;
mod values;

use std::path::Path;
use std::sync::Arc;

pub use admin::token_from;
pub use inputs::{Contents, Inputs, Stamps};
pub use kept::{Certificates, Refused};
pub use model::*;
pub use policies::Built;
pub use service::installed_admin;

use kept::Kept;
use reader::{Report, Source};
use seclang::diagnostic::{Diagnostic, Location};
use seclang::{glob, suggest};

/// A configuration that can be run, and what should be told about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Diagnostic>,
    /// What goes on in its last good version; only [`load_next`] has any.
    pub refused: Vec<Refused>,
}

/// Reads the configuration at `path` and everything it names.
///
/// # Errors
/// Every problem at once, warnings included, in the order of files and lines; at least one is an error.
pub fn load(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    read(path, Report::default()).0
}

/// Like [`load`], while `previous` runs: a certificate, a trust bundle, a revocation list or a policy's
/// rules that cannot be used keeps its last good version and is told as refused. A listener that did not
/// run yet stays shut for it, and an upstream is not [`live`](Upstream::live). What was read comes back in
/// any case.
pub fn load_next(path: &Path, previous: &Config) -> (Result<Loaded, Vec<Diagnostic>>, Inputs) {
    read(path, Report::with_kept(Kept::of(previous)))
}

fn read(path: &Path, report: Report) -> (Result<Loaded, Vec<Diagnostic>>, Inputs) {
    report.inputs.borrow_mut().file(path);
    let config = match with_document(path, &report, |d| settings::resolve(d, &report)) {
        Ok(config) => config,
        Err(found) => return (Err(found), report.inputs.into_inner()),
    };
    let failed = report.has_errors();
    let inputs = report.inputs.take();
    let refused = report.refused.take();
    let found = report.into_sorted();
    let loaded = match config {
        Some(config) if !failed => Ok(Loaded {
            config: Config {
                source: path.to_owned(),
                inputs: inputs.clone(),
                listeners: able(config.listeners),
                ..config
            },
            warnings: found,
            refused,
        }),
        _ => {
            // Where all stays as it is, these stand in the way as well.
            let reasons = refused.into_iter().flat_map(|refused| refused.reasons);
            Err(found.into_iter().chain(reasons).collect())
        }
    };
    (loaded, inputs)
}

/// What `resolve` makes of the file at `path` and all that it includes.
///
/// # Errors
/// The file cannot be read; what is wrong in it goes to `report`.
fn with_document<T>(
    path: &Path,
    report: &Report,
    resolve: impl FnOnce(&files::Document<'_, '_>) -> T,
) -> Result<T, Vec<Diagnostic>> {
    let main = read_main(path)?;
    let main_table = main.parse(report);
    let included = files::read_included(&main, &main_table, report);
    let tables: Vec<_> = included.iter().map(|source| source.parse(report)).collect();
    let all = std::iter::once((&main, &main_table)).chain(included.iter().zip(&tables));
    Ok(resolve(&files::Document::new(all, report)))
}

/// Without those that were refused and never ran.
fn able(mut listeners: Vec<Arc<Listener>>) -> Vec<Arc<Listener>> {
    listeners.retain(|listener| !listener.is_shut());
    listeners
}

/// Only where the admin address of the configuration at `path` is, whatever else is wrong with it; that of
/// the service where it has none.
///
/// # Errors
/// The file cannot be read, or what it says of the admin address is wrong.
pub fn admin_of(path: &Path) -> Result<Option<Admin>, Vec<Diagnostic>> {
    let report = Report::default();
    match with_document(path, &report, admin::read)? {
        Some(Some(admin)) => Ok(Some(admin)),
        None => Ok(service::admin()),
        Some(None) => Err(report.into_sorted()),
    }
}

/// What has names in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Upstream,
    Exposure,
    Trust,
    Policy,
    Route,
}

/// The names of a kind in the configuration at `path`, in the file's order, whatever is wrong with
/// the rest; none where it cannot be read. No certificate and no rule is read.
#[must_use]
pub fn names_in(path: &Path, kind: Kind) -> Vec<String> {
    let report = Report::default();
    let named = |document: &files::Document<'_, '_>, key, word| {
        let found = document.named(key, word).into_iter();
        found.map(|named| named.name.to_owned()).collect()
    };
    let names = with_document(path, &report, |document| match kind {
        Kind::Upstream => named(document, "upstreams", "upstream"),
        Kind::Exposure => named(document, "exposures", "exposure"),
        Kind::Trust => named(document, "trust", "trust"),
        Kind::Policy => named(document, "policies", "policy"),
        Kind::Route => {
            let routes = document.repeated("routes", "a route").into_iter();
            let names = routes.filter_map(|route| route.item("name")?.string());
            names.map(|name| name.value.to_owned()).collect()
        }
    });
    names.unwrap_or_default()
}

fn read_main(path: &Path) -> Result<Source, Vec<Diagnostic>> {
    Source::read(path, 0).map_err(|why| {
        let message = format!("cannot read the configuration: {why}");
        vec![Diagnostic::error(Location::file(path), message)]
    })
}
