//! Runs a corpus of the CRS's tests in process, and says which did not do as expected.

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use drawbridge::ftw::{self, InProcess, Overrides, Report, TestFile, TestResult};

/// A folder of the CRS with its tests, and what is known of them.
pub struct Corpus {
    /// The variable that may name the folder.
    pub variable: &'static str,
    /// Its name in the shared folder.
    pub folder: &'static str,
    /// Beside this file's folder.
    pub overrides: &'static str,
    /// How many tests there are at least.
    pub tests: usize,
}

impl Corpus {
    /// Where it is; None where there is none, which only a developer's machine may lack.
    ///
    /// # Panics
    /// In CI, where it must be.
    pub fn find(&self) -> Option<PathBuf> {
        let shared = env::var_os("SHARED_DIR").map(PathBuf::from);
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
        let found = env::var_os(self.variable)
            .map(PathBuf::from)
            .into_iter()
            .chain(shared.map(|dir| dir.join(self.folder)))
            .chain([beside.join(self.folder)])
            .find(|dir| dir.join("regression").is_dir());
        if found.is_none() {
            assert!(
                env::var_os("CI").is_none(),
                "CI must have the CRS: set {} or SHARED_DIR",
                self.variable
            );
            say(&format!(
                "skipped: there is no CRS with tests; set {} to its folder (rules/, regression/)",
                self.variable
            ));
        }
        found
    }

    /// Runs every test and asserts that all do as expected, no more and no less.
    ///
    /// # Panics
    /// Where one does not.
    pub fn run(&self) {
        let Some(crs) = self.find() else { return };
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

    pub fn load(&self, crs: &Path) -> Vec<TestFile> {
        ftw::load(&[crs.join("regression")]).unwrap_or_else(|problems| {
            let text: String = problems.iter().map(|p| p.render(false)).collect();
            panic!("the tests do not load:\n{text}");
        })
    }

    pub fn overrides(&self) -> Overrides {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(self.overrides);
        Overrides::load(&path).unwrap_or_else(|problem| panic!("{}", problem.render(false)))
    }
}

/// Past the test harness, which hides what a test prints.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}: {text}", env!("CARGO_CRATE_NAME"));
}

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
