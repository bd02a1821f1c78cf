//! Collects every problem, each with its place.
//!
//! Problems may be found in any order; they are reported in the order of files and lines. A problem at a place that is
//! not valid TOML is dropped, since the parser guessed the value there.
//!
//! `RefCell`, because sections and items share this while they are read. No borrow outlives a method, so none fails.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};

use super::source::At;
use crate::config::section_kind::SectionKind;
use seclang::diagnostic::{Diagnostic, Severity};

/// The index of a file, and a byte offset in it.
type Order = (usize, usize);

/// The order of problems in rule files: after those of the configuration.
const FOREIGN: Order = (usize::MAX, 0);

#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    found: RefCell<Vec<(Order, Diagnostic)>>,
    /// The places where a file is not valid TOML. The parser guesses values there, so a second message about such a
    /// place would mislead.
    broken: RefCell<HashSet<Order>>,
    /// The foreign problems that are already in `found`.
    foreign: RefCell<HashSet<String>>,
    /// The keys that were looked for, present or not. The tests compare them with the reference.
    asked: RefCell<BTreeSet<(SectionKind, &'static str)>>,
}

/// A problem that is not reported yet, because it may refuse only a part of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    order: Order,
    pub(crate) diagnostic: Diagnostic,
}

impl Problem {
    pub(crate) fn new(at: At<'_>, diagnostic: Diagnostic) -> Self {
        Self {
            order: at.order(),
            diagnostic,
        }
    }

    pub(crate) fn error(at: At<'_>, message: impl Into<String>) -> Self {
        Self::new(at, Diagnostic::error(at.location(), message))
    }

    pub(crate) fn warning(at: At<'_>, message: impl Into<String>) -> Self {
        Self::new(at, Diagnostic::warning(at.location(), message))
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            diagnostic: self.diagnostic.with_help(help),
            ..self
        }
    }
}

impl Diagnostics {
    pub(crate) fn error(&self, at: At<'_>, message: impl Into<String>) {
        self.add(Problem::error(at, message));
    }

    pub(crate) fn warning(&self, at: At<'_>, message: impl Into<String>) {
        self.add(Problem::warning(at, message));
    }

    pub(crate) fn error_with_help(
        &self,
        at: At<'_>,
        message: impl Into<String>,
        help: Option<impl Into<String>>,
    ) {
        let diagnostic = Diagnostic::error(at.location(), message);
        let diagnostic = match help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        };
        self.add(Problem::new(at, diagnostic));
    }

    pub(crate) fn add(&self, Problem { order, diagnostic }: Problem) {
        if !self.broken.borrow().contains(&order) {
            self.found.borrow_mut().push((order, diagnostic));
        }
    }

    /// Reports a place where a file is not valid TOML.
    pub(crate) fn add_broken(&self, at: At<'_>, message: &str) {
        self.broken.borrow_mut().insert(at.order());
        let diagnostic = Diagnostic::error(at.location(), message);
        self.found.borrow_mut().push((at.order(), diagnostic));
    }

    /// Reports a problem in a rule file, once.
    pub(crate) fn add_foreign(&self, diagnostic: Diagnostic) {
        // Several policies may load the same file and find the same problem.
        if self.foreign.borrow_mut().insert(diagnostic.to_string()) {
            self.found.borrow_mut().push((FOREIGN, diagnostic));
        }
    }

    /// Returns the result of `work` and the errors it found, which are not reported yet. Its warnings are reported.
    pub(crate) fn capture<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Problem>) {
        let mark = self.found.borrow().len();
        let value = work();
        // Borrowed only now, because `work` reports into the same list.
        let mut found = self.found.borrow_mut();
        let later = found.split_off(mark);
        let (errors, others): (Vec<_>, Vec<_>) = later.into_iter().partition(|(_, d)| d.is_error());
        found.extend(others);
        let errors = errors.into_iter();
        let errors = errors.map(|(order, diagnostic)| Problem { order, diagnostic });
        (value, errors.collect())
    }

    /// Returns the result of `work`, and whether it found an error.
    pub(crate) fn watch<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        let mark = self.found.borrow().len();
        let value = work();
        let found = self.found.borrow();
        let mut later = found.iter().skip(mark);
        (value, later.any(|(_, d)| d.severity == Severity::Error))
    }

    /// Whether the problem is at a place where a file is not valid TOML.
    pub(crate) fn is_broken(&self, problem: &Problem) -> bool {
        self.broken.borrow().contains(&problem.order)
    }

    pub(crate) fn has_broken_files(&self) -> bool {
        !self.broken.borrow().is_empty()
    }

    pub(crate) fn has_errors(&self) -> bool {
        let found = self.found.borrow();
        found.iter().any(|(_, d)| d.severity == Severity::Error)
    }

    pub(crate) fn note_asked(&self, kind: SectionKind, key: &'static str) {
        self.asked.borrow_mut().insert((kind, key));
    }

    /// Every key that was looked for, by the kind of its section.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<(SectionKind, &'static str)> {
        self.asked.borrow().clone()
    }

    /// In the order of files and places.
    pub(crate) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        // The sort is stable, so problems at one place keep the order in which they were found.
        found.sort_by_key(|(order, _)| *order);
        let found = found.into_iter();
        found.map(|(_, diagnostic)| diagnostic).collect()
    }
}
