//! The CRS's regression tests: their format, and how to run them.
//!
//! The format is the FTW schema (coreruleset/ftw-tests-schema, version 2), and the older one that CRS 3.3's
//! tests are written in. A test says which raw request to send and what a web application firewall must log.
//!
//! [`load`] reads files into [`TestFile`]s, [`Stage::request`] builds the bytes as go-ftw sends them,
//! [`InProcess`] plays them against a rule set without a socket, [`Target`] against a server and its log,
//! [`run`] runs them all and judges.

mod backend;
mod engine;
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
pub use engine::{Body, InProcess, read_body};
pub use judge::failures;
pub use overrides::{Override, Overrides};
pub use run::{Outcome, Play, Report, StageResult, TestResult, run};
pub use setup::{CRS_TEST_SETUP, crs_rules};
pub use target::{Connection, NoTls, StartTls, Target};
pub use yaml::{load, parse};

use regex::bytes::Regex;

/// The tests of one file, all for one rule.
#[derive(Debug, Clone)]
pub struct TestFile {
    pub path: PathBuf,
    pub rule_id: u64,
    pub tests: Vec<Test>,
}

#[derive(Debug, Clone)]
pub struct Test {
    pub id: TestId,
    /// Empty where the file has none.
    pub description: String,
    pub stages: Vec<Stage>,
}

/// `920100-4`: the rule a test is for, and its number among that rule's tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestId {
    pub rule: u64,
    pub test: u64,
    /// What the older format calls it, e.g. `944200-0FP`.
    pub title: Option<String>,
}

/// One request, and what is expected of it.
#[derive(Debug, Clone)]
pub struct Stage {
    pub input: Input,
    pub output: Output,
}

#[derive(Debug, Clone)]
pub enum Input {
    /// Bytes that are sent as they are.
    Raw(Vec<u8>),
    Parts(Parts),
}

#[derive(Debug, Clone)]
pub struct Parts {
    pub method: String,
    pub uri: String,
    pub version: String,
    /// In the order they are sent.
    pub headers: Vec<(String, String)>,
    pub data: Vec<u8>,
    /// Whether Content-Type, Connection and Content-Length are added where they are missing.
    pub autocomplete_headers: bool,
    /// Whether that includes `Content-Length: 0` for methods that may have a body; not so in the older format.
    pub length_of_nothing: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Output {
    /// One of these; empty where any will do.
    pub status: Vec<u16>,
    pub response_contains: Option<Regex>,
    pub expect_ids: Vec<u64>,
    pub no_expect_ids: Vec<u64>,
    pub match_regex: Option<Regex>,
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
