//! Tests whose expectation does not hold here, and the reason: the CRS's format for overrides.
//!
//! Unknown keys are errors: a misspelled one would silently judge by the wrong expectation.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::fault::StageFault;
use super::yaml::{OutputYaml, from_yaml, unreadable};
use super::{Output, TestId};
use seclang::diagnostic::{Diagnostic, Location};

/// Expectations that replace those of the tests.
#[derive(Debug, Default)]
pub struct Overrides {
    list: Vec<Override>,
}

/// What is expected instead, of which stages of which tests.
#[derive(Debug)]
pub struct Override {
    /// The rule whose tests are meant.
    pub rule_id: u64,
    /// Empty for all of the rule's tests.
    pub test_ids: Vec<u64>,
    /// Empty for all stages; they count from 0.
    pub stage_ids: Vec<usize>,
    /// Why the test's own expectation does not hold here.
    pub reason: String,
    /// What is expected instead.
    pub output: Output,
}

/// Why an override cannot be used. Whoever wrote it erred.
#[derive(Debug, Clone, PartialEq)]
enum OverrideFault {
    /// It does not say why the test's own expectation does not hold.
    NoReason,
    /// What it expects instead is faulty.
    Output(StageFault),
}

impl Overrides {
    /// Reads an overrides file.
    ///
    /// # Errors
    /// What is not the format's, with its line.
    pub fn load(path: &Path) -> Result<Self, Diagnostic> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        Self::parse(path, &text)
    }

    /// Reads the text of an overrides file.
    ///
    /// # Errors
    /// What is not the format's, with its line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Diagnostic> {
        let file: FileYaml = from_yaml(path, text)?;
        let list = file
            .test_overrides
            .into_iter()
            .map(|entry| {
                let rule_id = entry.rule_id;
                entry.into_override().map_err(|fault| {
                    let message = format!("override of rule {rule_id}: {fault}");
                    Diagnostic::error(Location::file(path), message)
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { list })
    }

    /// The override of a stage, if there is one. The last in the file wins.
    #[must_use]
    pub fn of(&self, id: &TestId, stage: usize) -> Option<&Override> {
        // A team adds its own below those of the CRS, and they go before.
        self.list.iter().rev().find(|o| o.concerns(id, stage))
    }

    /// How many tests are named; all tests of a rule count as one.
    #[must_use]
    pub fn tests(&self) -> usize {
        // An override that names no test is for all tests of its rule.
        let named = self.list.iter().map(|o| o.test_ids.len().max(1));
        named.sum()
    }

    /// Whether nothing is overridden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl Override {
    fn concerns(&self, id: &TestId, stage: usize) -> bool {
        self.rule_id == id.rule
            && (self.test_ids.is_empty() || self.test_ids.contains(&id.test))
            && (self.stage_ids.is_empty() || self.stage_ids.contains(&stage))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileYaml {
    // Keys of the format without a meaning here are named, because any other key is an error.
    #[serde(default, rename = "version")]
    _version: Option<String>,
    #[serde(default, rename = "meta")]
    _meta: Option<MetaYaml>,
    test_overrides: Vec<OverrideYaml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetaYaml {
    #[serde(default, rename = "engine")]
    _engine: Option<String>,
    #[serde(default, rename = "platform")]
    _platform: Option<String>,
    #[serde(default, rename = "annotations")]
    _annotations: Option<AnnotationsYaml>,
}

/// A map, or the list of maps that the CRS's own files have.
#[derive(Deserialize)]
#[serde(untagged)]
enum AnnotationsYaml {
    Map(#[allow(dead_code)] BTreeMap<String, String>),
    List(#[allow(dead_code)] Vec<BTreeMap<String, String>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideYaml {
    rule_id: u64,
    #[serde(default)]
    test_ids: Vec<u64>,
    #[serde(default)]
    stage_ids: Vec<usize>,
    reason: String,
    #[serde(default, rename = "expect_failure")]
    _expect_failure: Option<bool>,
    #[serde(default, rename = "retry_once")]
    _retry_once: Option<bool>,
    output: OutputYaml,
}

impl OverrideYaml {
    fn into_override(self) -> Result<Override, OverrideFault> {
        // An override without a reason hides a failure that nobody can check later.
        if self.reason.trim().is_empty() {
            return Err(OverrideFault::NoReason);
        }
        Ok(Override {
            rule_id: self.rule_id,
            test_ids: self.test_ids,
            stage_ids: self.stage_ids,
            reason: self.reason.trim().to_owned(),
            output: self.output.into_output().map_err(OverrideFault::Output)?,
        })
    }
}

impl fmt::Display for OverrideFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReason => f.write_str("there is no reason"),
            Self::Output(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for OverrideFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoReason => None,
            Self::Output(fault) => Some(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(rule: u64, test: u64) -> TestId {
        TestId {
            rule,
            test,
            title: None,
        }
    }

    #[test]
    fn overrides_are_found_by_rule_test_and_stage() {
        let overrides = Overrides::parse(
            Path::new("o.yaml"),
            "version: v0.0.0\nmeta: {engine: x, platform: y, annotations: [{a: b}]}\ntest_overrides:\n\
             - {rule_id: 1, test_ids: [2, 3], reason: first, output: {status: 400}}\n\
             - {rule_id: 4, reason: all, stage_ids: [1], output: {log: {expect_ids: [4]}}}\n",
        )
        .unwrap();
        let reason = |id: TestId, stage| overrides.of(&id, stage).map(|o| o.reason.as_str());
        assert_eq!(reason(id(1, 3), 0), Some("first"));
        assert_eq!(reason(id(1, 4), 0), None);
        assert_eq!(reason(id(4, 9), 1), Some("all"));
        assert_eq!(reason(id(4, 9), 0), None);
    }

    #[test]
    fn an_override_needs_a_reason_and_known_keys() {
        for text in [
            "test_overrides: [{rule_id: 1, output: {}}]",
            "test_overrides: [{rule_id: 1, reason: ' ', output: {}}]",
            "test_overrides: [{rule_id: 1, reason: x, outputs: {}}]",
            "test_overrides: [{rule_id: 1, reason: x, output: {statuss: 1}}]",
            "test_override: []",
        ] {
            assert!(Overrides::parse(Path::new("o"), text).is_err(), "{text}");
        }
    }
}
