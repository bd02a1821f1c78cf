//! The regression tests of the OWASP Core Rule Set (CRS): their format, and a runner.
//!
//! The format is the FTW schema (coreruleset/ftw-tests-schema, version 2), or the older one that the tests of CRS 3.3
//! are written in. A test says which request to send and what a web application firewall must log.
//!
//! [`load`] reads files into [`TestFile`]s, and [`run()`] plays every test and judges its outcome. A test is played by
//! [`InProcess`] against a rule set without a socket, or by [`Target`] against a server and its log.
//!
//! ```
//! # extern crate waf as drawbridge_waf;
//! use std::path::Path;
//!
//! use drawbridge_ftw::{InProcess, Overrides, parse, run};
//! use drawbridge_waf::{EngineMode, RuleSet};
//!
//! let rules = RuleSet::builder()
//!     .engine(EngineMode::On)
//!     .text("own.conf", r#"SecRule REQUEST_METHOD "@streq TRACE" "id:100000,phase:1,deny,status:405,log""#)
//!     .build()?;
//! let tests = parse(
//!     Path::new("100000.yaml"),
//!     "tests:
//! - test_id: 1
//!   stages:
//!   - input: {method: TRACE, headers: {Host: localhost}}
//!     output: {status: 405, log: {expect_ids: [100000]}}
//! ",
//! )?;
//! let files = Vec::from_iter(tests);
//! let report = run(&InProcess::new(rules), &files, &Overrides::default(), &|_done| {});
//! assert_eq!((report.passed(), report.failed()), (1, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod engine;
mod fault;
mod judge;
mod overrides;
mod request;
mod run;
mod setup;
mod target;
mod yaml;

use std::fmt;
use std::path::PathBuf;

pub use backend::{Reply, reply};
pub use engine::{Body, InProcess, TEST_NAME, read_body};
pub use judge::failures;
pub use overrides::{Override, Overrides};
pub use run::{Outcome, Play, Report, StageResult, TestResult, run};
pub use setup::{CRS_TEST_SETUP, crs_rules};
pub use target::{Connection, NoTls, StartTls, Target, TargetError};
pub use yaml::{load, parse};

use regex::bytes::Regex;

/// The tests of one file, all for one rule.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// Where the file is.
    pub path: PathBuf,
    /// The rule that all its tests are for.
    pub rule_id: u64,
    /// In the order of the file.
    pub tests: Vec<Test>,
}

/// One test: requests that are sent one after the other.
#[derive(Debug, Clone)]
pub struct Test {
    /// Names it.
    pub id: TestId,
    /// Empty if the file has none.
    pub description: String,
    /// In the order they are sent.
    pub stages: Vec<Stage>,
}

/// `920100-4`: the rule a test is for, and its number among that rule's tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestId {
    /// The rule's id.
    pub rule: u64,
    /// The test's number, from 1.
    pub test: u64,
    /// What the older format calls it, e.g. `944200-0FP`.
    pub title: Option<String>,
}

/// One request, and the expected outcome.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The request.
    pub input: Input,
    /// What is expected.
    pub output: Output,
}

/// A request as a test file writes it.
#[derive(Debug, Clone)]
pub enum Input {
    /// Bytes that are sent as they are.
    Raw(Vec<u8>),
    /// Parts that the bytes are built from, as go-ftw builds them.
    Parts(Parts),
}

/// The parts of a request.
#[derive(Debug, Clone)]
pub struct Parts {
    /// `GET` where the file names none.
    pub method: String,
    /// The request target; `/` where the file names none.
    pub uri: String,
    /// `HTTP/1.1` where the file names none.
    pub version: String,
    /// In the order they are sent.
    pub headers: Vec<(String, String)>,
    /// The body before it is completed as `autocomplete_headers` says.
    pub data: Vec<u8>,
    /// Whether Content-Type, Connection and Content-Length are added if they are missing.
    pub autocomplete_headers: bool,
    /// Whether that includes `Content-Length: 0` for methods that may have a body; not so in the older format.
    pub length_of_nothing: bool,
}

/// What is expected of a request. Everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// One of these; empty where any will do.
    pub status: Vec<u16>,
    /// The response matches.
    pub response_contains: Option<Regex>,
    /// These rules are logged.
    pub expect_ids: Vec<u64>,
    /// None of these rules is logged.
    pub no_expect_ids: Vec<u64>,
    /// A log line matches.
    pub match_regex: Option<Regex>,
    /// No log line matches.
    pub no_match_regex: Option<Regex>,
    /// The server must not answer at all.
    pub expect_error: bool,
    /// No rule but the expected one may match.
    pub isolated: bool,
}

impl fmt::Display for TestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.title {
            Some(title) => f.write_str(title),
            None => write!(f, "{}-{}", self.rule, self.test),
        }
    }
}

/// What is expected, in words.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.expect_error {
            parts.push("no answer".to_owned());
        }
        if !self.status.is_empty() {
            parts.push(format!("status {}", join(&self.status, " or ")));
        }
        if !self.expect_ids.is_empty() {
            let only = if self.isolated { " and no other" } else { "" };
            parts.push(format!("rule {}{only}", join(&self.expect_ids, " and ")));
        }
        if !self.no_expect_ids.is_empty() {
            parts.push(format!("not rule {}", join(&self.no_expect_ids, " nor ")));
        }
        for (regex, what) in [
            (&self.match_regex, "a log line like"),
            (&self.no_match_regex, "no log line like"),
            (&self.response_contains, "a response with"),
        ] {
            parts.extend(regex.iter().map(|r| format!("{what} /{r}/")));
        }
        f.write_str(&parts.join(", "))
    }
}

fn join<T: ToString>(items: &[T], with: &str) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join(with)
}
