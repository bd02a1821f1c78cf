//! How a verb tells that it failed: in words on standard error, or as JSON on standard output.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::check::{Output, problems_json, wants_colour};
use seclang::diagnostic::Diagnostic;

/// The verb could not do what it was asked for, and why.
#[derive(Debug)]
pub enum Failure {
    /// One problem, in words for the user.
    Problem(String),
    /// Problems of files, each with its place.
    Found(Vec<Diagnostic>),
}

impl From<String> for Failure {
    fn from(problem: String) -> Self {
        Self::Problem(problem)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Problem(error.to_string())
    }
}

impl Failure {
    /// Tells it; the exit code is the verb's.
    #[must_use]
    pub fn tell(&self, output: Output) -> ExitCode {
        self.tell_with(output, 1)
    }

    /// Like [`Failure::tell`], for a verb that has a code of its own for it.
    #[must_use]
    pub fn tell_with(&self, output: Output, code: u8) -> ExitCode {
        // A reader that hung up has seen what it wanted; the exit code still counts.
        let _ = match output {
            Output::Human => self.tell_human(),
            Output::Json => self.tell_json(),
        };
        ExitCode::from(code)
    }

    fn tell_human(&self) -> io::Result<()> {
        let mut err = io::stderr().lock();
        match self {
            Self::Problem(problem) => writeln!(err, "drawbridge: {problem}"),
            Self::Found(found) => {
                let colour = wants_colour();
                let errors = found.iter().filter(|found| found.is_error());
                errors
                    .map(|error| error.render(colour))
                    .try_for_each(|text| err.write_all(text.as_bytes()))
            }
        }
    }

    fn tell_json(&self) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{:#}", self.to_json())
    }

    /// `ok`, `error` (the first problem in words) and `problems`, each with its place.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Problem(problem) => json!({ "ok": false, "error": problem, "problems": [] }),
            Self::Found(found) => {
                let first = found.iter().find(|found| found.is_error());
                json!({
                    "ok": false,
                    "error": first.map(ToString::to_string),
                    "problems": problems_json(found),
                })
            }
        }
    }
}
