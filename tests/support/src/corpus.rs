//! Runs a corpus of the CRS's tests in process, and says which did not do as expected.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ftw::{InProcess, Overrides, Report, TestFile, TestResult};

use crate::materials::{project, say};

/// A folder of the CRS with its tests, and what is known of them.
pub struct Corpus {
    /// Where it is.
    pub folder: fn() -> Option<PathBuf>,
    /// The file of the known differences, from the project's folder.
    pub overrides: &'static str,
    /// How many tests there are at least.
    pub tests: usize,
}

impl Corpus {
    /// Runs every test and asserts that all do as expected, no more and no less.
    ///
    /// # Panics
    /// Where one does not.
    pub fn run(&self) {
        let Some(crs) = (self.folder)() else { return };
        let files = self.load(&crs);
        let overrides = self.overrides();
        let rules = ftw::crs_rules(&crs).build().unwrap_or_else(|problems| {
            let text: String = problems.0.iter().map(|p| p.render(false)).collect();
            panic!("the rules do not load:\n{text}");
        });
        let report = ftw::run(&InProcess::new(rules), &files, &overrides, &|_| {});
        let complaints = complaints(&report, &files);
        say(&format!(
            "{} passed, {} failed",
            report.passed(),
            report.failed()
        ));
        assert!(complaints.is_empty(), "{complaints}");
        assert!(
            report.tests.len() >= self.tests,
            "{} tests ran; there were {}",
            report.tests.len(),
            self.tests
        );
    }

    /// The tests.
    ///
    /// # Panics
    /// They do not load.
    #[must_use]
    pub fn load(&self, crs: &Path) -> Vec<TestFile> {
        ftw::load(&[crs.join("regression")]).unwrap_or_else(|problems| {
            let text: String = problems.iter().map(|p| p.render(false)).collect();
            panic!("the tests do not load:\n{text}");
        })
    }

    /// The known differences.
    ///
    /// # Panics
    /// They do not load.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        let path = project().join(self.overrides);
        Overrides::load(&path).unwrap_or_else(|problem| panic!("{}", problem.render(false)))
    }
}

/// What did not do as expected, a line each.
#[must_use]
pub fn complaints(report: &Report, files: &[TestFile]) -> String {
    let mut text = String::new();
    for test in &report.tests {
        if test.override_unneeded() {
            let _ = writeln!(text, "{}: its override is no longer needed", test.id);
        }
        if !test.passed() {
            describe(test, &files[test.file].path, &mut text);
        }
    }
    text
}

fn describe(test: &TestResult, path: &Path, text: &mut String) {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    for (number, stage) in test.stages.iter().enumerate() {
        for failure in &stage.failures {
            let _ = write!(text, "{file} {} stage {number}: {failure}", test.id);
            let _ = writeln!(
                text,
                "; status {:?}, rules {:?}{}",
                stage.outcome.status,
                stage.outcome.ids,
                stage
                    .outcome
                    .note
                    .as_deref()
                    .map(|n| format!("; {n}"))
                    .unwrap_or_default()
            );
        }
    }
}
