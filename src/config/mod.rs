//! What the user wrote, and what is ready to run.
//!
//! [`load`] reads `drawbridge.toml` and what it includes, every certificate and every rule file, and
//! either makes a [`Config`] or names everything that is wrong, each with its place.

mod admin;
pub mod baseline;
mod exposures;
mod files;
mod glob;
mod listeners;
mod model;
mod policies;
mod reader;
mod routes;
mod settings;
mod suggest;
mod upstreams;
mod values;

use std::path::Path;

pub use admin::token_from;
pub use model::*;

use crate::diagnostic::{Diagnostic, Location};
use reader::{Report, Source};

/// A configuration that can be run, and what should be told about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Diagnostic>,
}

/// Reads the configuration at `path` and everything it names.
///
/// # Errors
/// Every problem at once, warnings included, in the order of files and lines; at least one is an error.
pub fn load(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let report = Report::default();
    let main = read_main(path)?;
    let main_table = main.parse(&report);
    let included = files::read_included(&main, &main_table, &report);
    let tables: Vec<_> = included
        .iter()
        .map(|source| source.parse(&report))
        .collect();
    let all = std::iter::once((&main, &main_table)).chain(included.iter().zip(&tables));
    let document = files::Document::new(all, &report);

    let config = settings::resolve(&document, &report);
    let failed = report.has_errors();
    let found = report.into_sorted();
    match config {
        Some(config) if !failed => Ok(Loaded {
            config,
            warnings: found,
        }),
        _ => Err(found),
    }
}

/// Only where the admin address of the configuration at `path` is, whatever else is wrong with it.
///
/// # Errors
/// The file cannot be read, or what it says of the admin address is wrong.
pub fn admin_of(path: &Path) -> Result<Option<Admin>, Vec<Diagnostic>> {
    let report = Report::default();
    let main = read_main(path)?;
    let main_table = main.parse(&report);
    let included = files::read_included(&main, &main_table, &report);
    let tables: Vec<_> = included
        .iter()
        .map(|source| source.parse(&report))
        .collect();
    let all = std::iter::once((&main, &main_table)).chain(included.iter().zip(&tables));
    match admin::read(&files::Document::new(all, &report)) {
        Some(Some(admin)) => Ok(Some(admin)),
        None => Ok(None),
        Some(None) => Err(report.into_sorted()),
    }
}

fn read_main(path: &Path) -> Result<Source, Vec<Diagnostic>> {
    Source::read(path, 0).map_err(|why| {
        let message = format!("cannot read the configuration: {why}");
        vec![Diagnostic::error(Location::file(path), message)]
    })
}
