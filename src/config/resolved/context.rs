//! What the resolving step collects: problems, files that were read, parts that are refused.
//!
//! Invariant: a part without a value was reported, either as an error or as refused. So whatever needs it reports
//! nothing more.

use std::path::{Path, PathBuf};

use crate::config::inputs::Inputs;
use crate::config::last_good::{Choice, LastGood};
use crate::config::model::{Certificates, Refused, Unit};
use crate::config::written::diagnostics::{Diagnostics, Problem};
use crate::config::written::source::At;
use crate::tls::{Finding, readable_by_others};
use seclang::diagnostic::{Diagnostic, Severity};

#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) diagnostics: &'a Diagnostics,
    pub(crate) last_good: &'a LastGood,
    /// Every file that was read, or that was looked for.
    pub(crate) inputs: Inputs,
    /// Every certified key that is used.
    pub(crate) certificates: Certificates,
    /// Parts whose last good version stays in use, or that stay closed.
    pub(crate) refused: Vec<Refused>,
}

/// Why a part has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The part was refused and no version of it ran. What needs it stays closed; the rest is unaffected.
    Closed,
    /// It was reported as an error, so the configuration cannot be taken.
    Faulty,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        diagnostics: &'a Diagnostics,
        last_good: &'a LastGood,
        inputs: Inputs,
    ) -> Self {
        Self {
            diagnostics,
            last_good,
            inputs,
            certificates: Certificates::new(),
            refused: Vec::new(),
        }
    }

    pub(crate) fn note_files(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        self.inputs.files.extend(files);
    }

    pub(crate) fn report(&self, problems: Vec<Problem>) {
        for problem in problems {
            self.diagnostics.add(problem);
        }
    }

    /// Refuses this unit for these errors. Warnings among the problems are only reported.
    pub(crate) fn refuse(&mut self, unit: &Unit, problems: Vec<Problem>) {
        let (errors, others): (Vec<_>, Vec<_>) = problems
            .into_iter()
            .partition(|problem| problem.diagnostic.is_error());
        // Warnings are not why the unit is refused, and hold whichever version is used.
        self.report(others);
        // The parser guessed the value at such a place, so a problem with that value would mislead.
        let reported = errors.into_iter();
        let reported = reported.filter(|problem| !self.diagnostics.is_broken(problem));
        let reasons = reported.map(|problem| problem.diagnostic).collect();
        self.refuse_for(unit, reasons);
    }

    pub(crate) fn refuse_for(&mut self, unit: &Unit, reasons: Vec<Diagnostic>) {
        let mut known = self.refused.iter_mut();
        match known.find(|known| known.unit == *unit) {
            // Several files of one listener may be broken: it is refused once, for all of them.
            Some(known) => known.reasons.extend(reasons),
            None => self.refused.push(Refused {
                unit: unit.clone(),
                reasons,
            }),
        }
    }

    /// Reports the problems, or refuses the unit for them, as the choice demands.
    ///
    /// # Errors
    /// The part has no value.
    pub(crate) fn settle<T>(
        &mut self,
        unit: &Unit,
        choice: Choice<T>,
        problems: Vec<Problem>,
    ) -> Result<T, Broken> {
        match choice {
            Choice::New(value) => {
                self.report(problems);
                Ok(value)
            }
            // A value, and refused all the same: it runs, and `status` says that its files are broken.
            Choice::LastGood(value) => {
                self.refuse(unit, problems);
                Ok(value)
            }
            Choice::Closed => {
                self.refuse(unit, problems);
                Err(Broken::Closed)
            }
            Choice::Faulty => {
                self.report(problems);
                Err(Broken::Faulty)
            }
        }
    }
}

/// The warning about a secret's file that too many people can read. A missing file has an error of its own.
pub(crate) fn open_secret(at: At<'_>, path: &Path) -> Option<Problem> {
    let finding = readable_by_others(path).filter(|_| path.exists())?;
    Some(problem_of(at, finding))
}

/// A finding about a file, as a problem at the place that names the file.
pub(crate) fn problem_of(at: At<'_>, finding: Finding) -> Problem {
    let problem = match finding.severity {
        Severity::Error => Problem::error(at, finding.message),
        Severity::Warning => Problem::warning(at, finding.message),
    };
    match finding.help {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}
