//! Why there is no answer, and problems of files as JSON.

use std::fmt;

use serde_json::{Value, json};

use seclang::diagnostic::{Diagnostic, Severity};

/// A question could not be answered.
#[derive(Debug)]
pub(crate) enum ReviewError {
    /// There is no event, policy or file of this name.
    NotFound(String),
    /// One problem, in words for the user.
    Problem(String),
    /// Problems in the user's files, each with its place.
    Diagnostics(Vec<Diagnostic>),
}

impl ReviewError {
    /// The problem in the words of an error.
    pub(crate) fn because(error: impl fmt::Display) -> Self {
        Self::Problem(error.to_string())
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::NotFound(problem) | Self::Problem(problem) => failure_json(problem, &[]),
            Self::Diagnostics(found) => failure_json(&self.to_string(), found),
        }
    }
}

impl fmt::Display for ReviewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(problem) | Self::Problem(problem) => f.write_str(problem),
            Self::Diagnostics(found) => match found.iter().find(|found| found.is_error()) {
                Some(first) => first.fmt(f),
                None => Ok(()),
            },
        }
    }
}

impl std::error::Error for ReviewError {}

/// `ok`, `error` (the first problem in words) and `problems`, each with its place.
pub(crate) fn failure_json(error: &str, problems: &[Diagnostic]) -> Value {
    json!({ "ok": false, "error": error, "problems": problems_json(problems) })
}

/// An array of the problems, each with its place.
pub(crate) fn problems_json(found: &[Diagnostic]) -> Value {
    found.iter().map(problem_json).collect()
}

fn problem_json(diagnostic: &Diagnostic) -> Value {
    let at = &diagnostic.location;
    json!({
        "severity": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "file": at.path.to_string_lossy(),
        "line": at.line,
        "column": at.column,
        "width": at.width,
        "text": at.text,
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
}
