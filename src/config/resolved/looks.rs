//! How answers look: `[error_pages.*]` with the files that they name, and `[security_headers.*]`.
//!
//! Pages whose file is broken stay as they run. A table that never ran has the pages of the program.

use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::names::Declared;
use crate::config::last_good::Choice;
use crate::config::model::Unit;
use crate::config::written::WrittenConfig;
use crate::config::written::diagnostics::{Diagnostics, Problem};
use crate::config::written::error_pages::{WrittenErrorPages, WrittenPage};
use crate::config::written::reader::Given;
use crate::config::written::source::Placed;
use crate::config::written::transform::WrittenFields;
use crate::transform::{ErrorPages, MAX_PAGE, PageFor, PageText, SecurityHeaders};
use seclang::diagnostic::{Diagnostic, Location};

/// The tables that listeners and routes name.
pub(crate) struct LookTables<'s> {
    pages: Declared<'s, ErrorPages>,
    security: Declared<'s, SecurityHeaders>,
}

/// What a listener or a route names of them.
#[derive(Default)]
pub(crate) struct Looks {
    pub(crate) pages: Option<Arc<ErrorPages>>,
    pub(crate) security: Option<Arc<SecurityHeaders>>,
}

pub(crate) fn resolve<'s>(
    written: &WrittenConfig<'s>,
    context: &mut Context<'_>,
) -> LookTables<'s> {
    let mut pages = Declared::new("set of error pages");
    for table in &written.error_pages {
        pages.declare(table.name, table.at, resolve_pages(table, context));
    }
    let mut security = Declared::new("set of security headers");
    for table in &written.security_headers {
        security.declare(table.name, table.at, table.set.clone().map(Arc::new));
    }
    LookTables { pages, security }
}

impl<'s> LookTables<'s> {
    /// None if a name is faulty, which was reported.
    pub(crate) fn named(
        &mut self,
        written: &WrittenFields<'_>,
        diagnostics: &Diagnostics,
    ) -> Option<Looks> {
        // Both are looked up before one that is faulty ends this, so that neither is reported as unused.
        let pages = lookup(&mut self.pages, &written.error_pages, diagnostics);
        let security = lookup(&mut self.security, &written.security_headers, diagnostics);
        Some(Looks {
            pages: pages.unless_faulty()?,
            security: security.unless_faulty()?,
        })
    }

    pub(crate) fn warn_unused(&self, diagnostics: &Diagnostics) {
        self.pages.warn_unused(diagnostics);
        self.security.warn_unused(diagnostics);
    }

    /// None if one is faulty.
    pub(crate) fn into_pages(self) -> Option<Vec<Arc<ErrorPages>>> {
        Some(self.pages.into_values()?.into_values().collect())
    }
}

fn lookup<T>(
    tables: &mut Declared<'_, T>,
    name: &Given<Placed<'_, &str>>,
    diagnostics: &Diagnostics,
) -> Given<Arc<T>> {
    name.as_ref()
        .and_then(|name| tables.lookup(name, diagnostics).ok().into())
}

fn resolve_pages(
    written: &WrittenErrorPages<'_>,
    context: &mut Context<'_>,
) -> Option<Arc<ErrorPages>> {
    let mut problems = Vec::new();
    let pages = written.pages.as_ref()?.iter();
    let pages = pages.map(|page| read_page(page, context, &mut problems));
    // All are read before the first that is broken ends this, so that one run reports every problem.
    let pages: Vec<_> = pages.collect();
    let pages: Option<Vec<_>> = pages.into_iter().collect();
    let new = pages.map(|pages| Arc::new(ErrorPages::new(written.name, pages)));
    let unit = Unit::ErrorPages(written.name.to_owned());
    let running = context.last_good.error_pages(written.name).cloned();
    match context.last_good.choose(new, running) {
        Choice::Closed => {
            context.refuse(&unit, problems);
            Some(Arc::new(ErrorPages::new(written.name, Vec::new())))
        }
        choice => context.settle(&unit, choice, problems).ok(),
    }
}

fn read_page(
    written: &WrittenPage<'_>,
    context: &mut Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<(PageFor, PageText)> {
    let file = &written.file;
    let path = file.at.resolve(file.value);
    context.note_files([path.clone()]);
    let text = match seclang::files::read_text(&path) {
        Ok(text) if text.len() <= MAX_PAGE => text,
        Ok(text) => {
            let length = text.len();
            let message = format!(
                "{} has {length} bytes, and a page has at most {MAX_PAGE}",
                path.display()
            );
            problems.push(Problem::error(file.at, message));
            return None;
        }
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            problems.push(Problem::error(file.at, message));
            return None;
        }
    };
    match PageText::parse(&text, written.format) {
        Ok(page) => Some((written.on, page)),
        Err(error) => {
            let location = place(&path, &text, error.at);
            let diagnostic = Diagnostic::error(location, error.to_string());
            problems.push(Problem::new(file.at, diagnostic));
            None
        }
    }
}

/// From a byte to the end of its line.
fn place(path: &Path, text: &str, at: usize) -> Location {
    let rest = text.get(at..).unwrap_or_default();
    let length = rest.find("}}").map_or(1, |end| end + 2);
    Location::in_text(path, text, at, at + length)
}
