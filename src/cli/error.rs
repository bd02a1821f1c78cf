//! Why a verb failed, and how it reports that: in words on standard error, or as JSON on standard output.
//!
//! With `--output json` a script always gets one JSON object, also after a failure.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::Value;

use super::exit;
use super::output::{Output, wants_colour};
use crate::review::error::{ReviewError, failure_json};
use seclang::diagnostic::Diagnostic;

/// A verb could not do what was asked.
#[derive(Debug)]
pub(super) enum CommandError {
    /// One problem, in words for the user.
    Problem(String),
    /// Problems in the user's files, each with its place.
    Diagnostics(Vec<Diagnostic>),
}

/// The end of a verb whose result was written: 0, or the report of why it could not be. A reader that hung up (`| head`)
/// has seen what it wanted.
pub(super) fn shown_or_reported(written: io::Result<()>, output: Output) -> ExitCode {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            CommandError::from(error).report(output)
        }
        _ => ExitCode::SUCCESS,
    }
}

impl CommandError {
    /// The problem in the words of an error.
    pub(super) fn because(error: impl fmt::Display) -> Self {
        Self::Problem(error.to_string())
    }

    /// Reports it and returns exit code 1.
    pub(super) fn report(&self, output: Output) -> ExitCode {
        self.report_as(output, exit::PROBLEM)
    }

    /// Reports it and returns this exit code.
    pub(super) fn report_as(&self, output: Output, code: u8) -> ExitCode {
        // A reader that hung up has seen what it wanted; the exit code still counts.
        let _ = match output {
            Output::Human => self.report_in_words(),
            Output::Json => writeln!(io::stdout().lock(), "{:#}", self.to_json()),
        };
        ExitCode::from(code)
    }

    fn report_in_words(&self) -> io::Result<()> {
        let mut err = io::stderr().lock();
        match self {
            Self::Problem(problem) => writeln!(err, "drawbridge: {problem}"),
            Self::Diagnostics(found) => {
                let colour = wants_colour(&io::stderr());
                // Warnings are left out: they did not cause the failure, and `check` shows them.
                let errors = found.iter().filter(|found| found.is_error());
                errors
                    .map(|error| error.render(colour))
                    .try_for_each(|text| err.write_all(text.as_bytes()))
            }
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Problem(problem) => failure_json(problem, &[]),
            Self::Diagnostics(found) => failure_json(&self.to_string(), found),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => f.write_str(problem),
            // A message has room for one problem; the reports list them all.
            Self::Diagnostics(found) => match found.iter().find(|found| found.is_error()) {
                Some(first) => first.fmt(f),
                None => Ok(()),
            },
        }
    }
}

impl std::error::Error for CommandError {}

impl From<String> for CommandError {
    fn from(problem: String) -> Self {
        Self::Problem(problem)
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::because(error)
    }
}

impl From<ReviewError> for CommandError {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::NotFound(problem) | ReviewError::Problem(problem) => {
                Self::Problem(problem)
            }
            ReviewError::Diagnostics(found) => Self::Diagnostics(found),
        }
    }
}
