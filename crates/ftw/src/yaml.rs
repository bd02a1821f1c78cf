//! Test files as they are written, and what they mean.
//!
//! Unknown keys are errors: a misspelled one would let a test pass that checks nothing. Known keys without a meaning
//! here are read and ignored.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use regex::bytes::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fault::StageFault;
use super::request::{decode_base64, render_template};
use super::{Input, Output, Parts, Stage, Test, TestFile, TestId};
use seclang::diagnostic::{Diagnostic, Location};

/// Reads test files; folders are searched for `*.yaml` and `*.yml`, in byte order of their names.
///
/// # Errors
/// The first problem of every file.
pub fn load(paths: &[PathBuf]) -> Result<Vec<TestFile>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        find(path, true, &mut files, &mut problems);
    }
    let mut tests = Vec::new();
    for path in files {
        match fs::read_to_string(&path) {
            Ok(text) => match parse(&path, &text) {
                Ok(file) => tests.extend(file),
                Err(problem) => problems.push(problem),
            },
            Err(error) => problems.push(unreadable(&path, &error)),
        }
    }
    // A run without the broken files would look like one of all tests.
    match problems.is_empty() {
        true => Ok(tests),
        false => Err(problems),
    }
}

/// Reads the text of a test file. None if it holds nothing but comments.
///
/// # Errors
/// What is not the format's, with its line.
pub fn parse(path: &Path, text: &str) -> Result<Option<TestFile>, Diagnostic> {
    let Some(file) = from_yaml::<Option<FileYaml>>(path, text)? else {
        return Ok(None);
    };
    file.into_tests(path).map(Some).map_err(|fault| {
        let at = fault.test().and_then(|id| find_test(path, text, id));
        let at = at.unwrap_or_else(|| Location::file(path));
        Diagnostic::error(at, fault.to_string())
    })
}

/// Reads YAML, with the reader's place for errors.
pub(super) fn from_yaml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Diagnostic> {
    // The diagnostic shows the line itself.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map_or_else(
            || Location::file(path),
            |at| {
                let line = usize::try_from(at.line()).unwrap_or(1).max(1);
                let text = text.lines().nth(line - 1).unwrap_or_default();
                Location {
                    path: path.to_owned(),
                    line: u32::try_from(line).unwrap_or(u32::MAX),
                    column: u32::try_from(at.column()).unwrap_or(1).max(1),
                    width: 1,
                    text: text.to_owned(),
                }
            },
        );
        Diagnostic::error(at, error.to_string())
    })
}

fn find(path: &Path, named: bool, files: &mut Vec<PathBuf>, problems: &mut Vec<Diagnostic>) {
    if !path.is_dir() {
        let yaml = path
            .extension()
            .is_some_and(|ext| ext == "yaml" || ext == "yml");
        // A file that the user names is read whatever its name is.
        if named || yaml {
            files.push(path.to_owned());
        }
        return;
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match entries {
        Ok(entries) => {
            let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
            // The order of a folder is the file system's; reports must be comparable.
            paths.sort();
            for path in paths {
                find(&path, false, files, problems);
            }
        }
        Err(error) => problems.push(unreadable(path, &error)),
    }
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(Location::file(path), format!("cannot be read: {error}"))
}

/// Where a test begins, for problems that are found after the YAML was read.
fn find_test(path: &Path, text: &str, id: &TestId) -> Option<Location> {
    // The reader gives no places for what it has read, so the text is searched.
    let wanted = id.title.clone().unwrap_or_else(|| id.test.to_string());
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start_matches([' ', '-']).trim_end();
        let value = bare
            .strip_prefix("test_id:")
            .or_else(|| bare.strip_prefix("test_title:"));
        if value.is_some_and(|v| v.trim().trim_matches(['"', '\'']) == wanted) {
            let from = start + (line.len() - line.trim_start_matches([' ', '-']).len());
            return Some(Location::in_text(path, text, from, from + bare.len()));
        }
        start += line.len();
    }
    None
}

/// Why a file of the right form cannot be used. Whoever wrote it erred.
#[derive(Debug, Clone, PartialEq)]
enum FileFault {
    /// Neither the file nor its name says for which rule the tests are.
    NoRuleId,
    /// A stage of a test is faulty.
    Stage {
        /// The test.
        test: TestId,
        /// What is wrong with the stage.
        fault: StageFault,
    },
}

impl FileFault {
    /// The test that it is about; None if it is about the whole file.
    fn test(&self) -> Option<&TestId> {
        match self {
            Self::NoRuleId => None,
            Self::Stage { test, .. } => Some(test),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRuleId => f.write_str("there is no rule_id"),
            Self::Stage { test, fault } => write!(f, "test {test}: {fault}"),
        }
    }
}

impl std::error::Error for FileFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoRuleId => None,
            Self::Stage { fault, .. } => Some(fault),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileYaml {
    #[serde(default, rename = "meta")]
    _meta: Option<MetaYaml>,
    /// One of the CRS's files has it outside of `meta`; go-ftw accepts that.
    #[serde(default, rename = "author")]
    _author: Option<String>,
    rule_id: Option<u64>,
    tests: Option<Vec<TestYaml>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetaYaml {
    #[serde(default, rename = "author")]
    _author: Option<String>,
    /// Without meaning since version 2 of the schema.
    #[serde(default, rename = "enabled")]
    _enabled: Option<bool>,
    #[serde(default, rename = "name")]
    _name: Option<String>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default, rename = "version")]
    _version: Option<String>,
    #[serde(default, rename = "tags")]
    _tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestYaml {
    test_title: Option<String>,
    test_id: Option<u64>,
    desc: Option<String>,
    #[serde(default, rename = "tags")]
    _tags: Option<Vec<String>>,
    stages: Vec<StageYaml>,
}

/// `{input, output}`, or the older `{stage: {input, output}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StageYaml {
    stage: Option<InnerStageYaml>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    input: Option<InputYaml>,
    output: Option<OutputYaml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InnerStageYaml {
    input: InputYaml,
    output: OutputYaml,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputYaml {
    // Whoever runs the tests says where.
    #[serde(default, rename = "dest_addr")]
    _dest_addr: Option<String>,
    #[serde(default, rename = "port")]
    _port: Option<u16>,
    #[serde(default, rename = "protocol")]
    _protocol: Option<String>,
    uri: Option<String>,
    version: Option<String>,
    method: Option<String>,
    headers: Option<BTreeMap<String, Option<String>>>,
    ordered_headers: Option<Vec<HeaderYaml>>,
    data: Option<String>,
    encoded_data: Option<String>,
    encoded_request: Option<String>,
    raw_request: Option<String>,
    autocomplete_headers: Option<bool>,
    stop_magic: Option<bool>,
    save_cookie: Option<bool>,
    follow_redirect: Option<bool>,
    #[serde(default, rename = "virtual_host_mode")]
    _virtual_host_mode: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderYaml {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputYaml {
    status: Option<StatusYaml>,
    response_contains: Option<String>,
    log_contains: Option<String>,
    no_log_contains: Option<String>,
    log: Option<LogYaml>,
    expect_error: Option<bool>,
    /// No use here: the log is read up to a marker, so that nothing is late.
    #[serde(default, rename = "retry_once")]
    _retry_once: Option<bool>,
    isolated: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StatusYaml {
    One(u16),
    AnyOf(Vec<u16>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LogYaml {
    expect_ids: Option<Vec<u64>>,
    no_expect_ids: Option<Vec<u64>>,
    match_regex: Option<String>,
    no_match_regex: Option<String>,
}

impl FileYaml {
    fn into_tests(self, path: &Path) -> Result<TestFile, FileFault> {
        let rule_id = self
            .rule_id
            // Files of CRS 3.3 have no `rule_id`; their names are the ids.
            .or_else(|| digits(path.file_name()?.to_str()?))
            .ok_or(FileFault::NoRuleId)?;
        let tests = self.tests.unwrap_or_default();
        let tests = (1..)
            .zip(tests)
            .map(|(place, test)| test.into_test(rule_id, place))
            .collect::<Result<_, _>>()?;
        Ok(TestFile {
            path: path.to_owned(),
            rule_id,
            tests,
        })
    }
}

impl TestYaml {
    fn into_test(self, rule: u64, place: u64) -> Result<Test, FileFault> {
        let after_dash = |title: &String| digits(title.rsplit_once('-')?.1);
        let id = TestId {
            rule,
            test: self
                .test_id
                .or_else(|| self.test_title.as_ref().and_then(after_dash))
                .unwrap_or(place),
            title: self.test_title.filter(|_| self.test_id.is_none()),
        };
        let stages = self
            .stages
            .into_iter()
            .map(StageYaml::into_stage)
            .collect::<Result<_, _>>()
            .map_err(|fault| FileFault::Stage {
                test: id.clone(),
                fault,
            })?;
        Ok(Test {
            id,
            description: self.desc.unwrap_or_default(),
            stages,
        })
    }
}

impl StageYaml {
    fn into_stage(self) -> Result<Stage, StageFault> {
        let older = self.stage.is_some();
        let (input, output) = match (self.stage, self.input, self.output) {
            (Some(inner), None, None) => (inner.input, inner.output),
            (None, Some(input), Some(output)) => (input, output),
            _ => return Err(StageFault::Form),
        };
        Ok(Stage {
            input: input.into_input(older)?,
            output: output.into_output()?,
        })
    }
}

impl InputYaml {
    fn into_input(self, older: bool) -> Result<Input, StageFault> {
        for (set, key) in [
            (self.save_cookie, "save_cookie"),
            (self.follow_redirect, "follow_redirect"),
        ] {
            // Without what these ask for, another request would be judged.
            if set == Some(true) {
                return Err(StageFault::Unsupported(key));
            }
        }
        if let Some(encoded) = self.encoded_request.filter(|e| !e.is_empty()) {
            if self.data.is_some_and(|data| !data.is_empty()) {
                return Err(StageFault::DataAndRequest);
            }
            return decode_base64(&encoded)
                .map(Input::Raw)
                .ok_or(StageFault::NotBase64("encoded_request"));
        }
        if let Some(raw) = self.raw_request {
            return Ok(Input::Raw(raw.into_bytes()));
        }
        let data = match (self.data, self.encoded_data) {
            (Some(data), _) => render_template(&data).map_err(StageFault::Template)?,
            (None, Some(encoded)) => {
                decode_base64(&encoded).ok_or(StageFault::NotBase64("encoded_data"))?
            }
            (None, None) => Vec::new(),
        };
        let headers = match self.ordered_headers {
            Some(headers) => headers
                .into_iter()
                .map(|header| (header.name, header.value.unwrap_or_default()))
                .collect(),
            // go-ftw sends them sorted by name, which the map already is.
            None => self
                .headers
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name, value.unwrap_or_default()))
                .collect(),
        };
        Ok(Input::Parts(Parts {
            method: self.method.unwrap_or_else(|| "GET".to_owned()),
            uri: self.uri.unwrap_or_else(|| "/".to_owned()),
            version: self.version.unwrap_or_else(|| "HTTP/1.1".to_owned()),
            headers,
            data,
            autocomplete_headers: self
                .autocomplete_headers
                // The older name of the key, with the opposite meaning.
                .or(self.stop_magic.map(|stop| !stop))
                .unwrap_or(true),
            length_of_nothing: !older,
        }))
    }
}

impl OutputYaml {
    pub(super) fn into_output(self) -> Result<Output, StageFault> {
        let log = self.log.unwrap_or_default();
        let no_ids = log.expect_ids.is_none();
        let no_forbidden_ids = log.no_expect_ids.is_none();
        // As in go-ftw, the newer keys win over `log_contains` and `no_log_contains`.
        let match_regex = log.match_regex.or(self.log_contains.filter(|_| no_ids));
        let no_match_regex = log
            .no_match_regex
            .or(self.no_log_contains.filter(|_| no_forbidden_ids));
        let output = Output {
            status: match self.status {
                None => Vec::new(),
                // Go cannot tell 0 from a key that is not there.
                Some(StatusYaml::One(0)) => Vec::new(),
                Some(StatusYaml::One(status)) => vec![status],
                Some(StatusYaml::AnyOf(statuses)) => statuses,
            },
            response_contains: regex(self.response_contains)?,
            expect_ids: log.expect_ids.unwrap_or_default(),
            no_expect_ids: log.no_expect_ids.unwrap_or_default(),
            match_regex: regex(match_regex)?,
            no_match_regex: regex(no_match_regex)?,
            expect_error: self.expect_error.unwrap_or(false),
            isolated: self.isolated.unwrap_or(false),
        };
        // Otherwise nothing says which rule may match.
        if output.isolated && output.expect_ids.len() != 1 {
            return Err(StageFault::Isolated);
        }
        Ok(output)
    }
}

fn regex(pattern: Option<String>) -> Result<Option<Regex>, StageFault> {
    pattern
        // To Go an empty text is a key that is not there.
        .filter(|pattern| !pattern.is_empty())
        .map(|pattern| Regex::new(&pattern).map_err(|error| StageFault::Pattern { pattern, error }))
        .transpose()
}

/// The first run of digits.
fn digits(text: &str) -> Option<u64> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let rest = &text[start..];
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(text: &str) -> Vec<(String, Stage)> {
        let file = parse(Path::new("900100.yaml"), text).unwrap().unwrap();
        let tests = file.tests.into_iter();
        tests
            .flat_map(|test| {
                let id = test.id.to_string();
                test.stages
                    .into_iter()
                    .map(move |stage| (id.clone(), stage))
            })
            .collect()
    }

    #[test]
    fn both_formats_are_read() {
        let new = "meta: {author: a, tags: [x]}\nrule_id: 7\ntests:\n- test_id: 3\n  desc: d\n  stages:\n  \
            - input: {dest_addr: a, port: 80, uri: /x, headers: {b: 1, A: null}, data: 'q', autocomplete_headers: false}\n    \
              output: {status: 400, log: {expect_ids: [1], no_expect_ids: [2], match_regex: a.b}, retry_once: true}\n";
        let old = "---\nmeta: {enabled: true, name: n}\ntests:\n- test_title: 7-3FN\n  stages:\n  - stage:\n      \
            input: {method: POST, stop_magic: true, protocol: http}\n      \
            output: {status: [200, 403], log_contains: 'id \"7\"', no_log_contains: x}\n";
        let (id, stage) = stages(new).remove(0);
        assert_eq!(id, "7-3");
        let Input::Parts(parts) = &stage.input else {
            panic!()
        };
        assert_eq!(
            (parts.method.as_str(), parts.version.as_str()),
            ("GET", "HTTP/1.1")
        );
        assert_eq!(
            parts.headers,
            [
                ("A".to_owned(), String::new()),
                ("b".to_owned(), "1".to_owned())
            ]
        );
        assert!(!parts.autocomplete_headers);
        assert_eq!(
            stage.output.to_string(),
            "status 400, rule 1, not rule 2, a log line like /a.b/"
        );
        let (id, stage) = stages(old).remove(0);
        assert_eq!(id, "7-3FN");
        let Input::Parts(parts) = &stage.input else {
            panic!()
        };
        assert!(!parts.autocomplete_headers);
        let expected = r#"status 200 or 403, a log line like /id "7"/, no log line like /x/"#;
        assert_eq!(stage.output.to_string(), expected);
    }

    #[test]
    fn raw_requests_are_bytes() {
        let text = "tests:\n- stages:\n  - {input: {encoded_request: AP8=}, output: {expect_error: true}}\n  \
            - {input: {raw_request: \"a\\r\\n\\0\"}, output: {}}\n";
        let stages = stages(text);
        assert_eq!(stages[0].0, "900100-1");
        assert_eq!(*stages[0].1.request(), *b"\0\xff");
        assert_eq!(*stages[1].1.request(), *b"a\r\n\0");
    }

    #[test]
    fn what_the_format_does_not_know_is_an_error_with_its_place() {
        let stage = |input: &str, output: &str| {
            format!(
                "rule_id: 1\ntests:\n- test_id: 5\n  stages:\n  - input: {{{input}}}\n    output: {{{output}}}\n"
            )
        };
        for (text, line, message) in [
            ("rule_id: 1\nrules: []\n".to_owned(), 2, "rules"),
            (stage("urii: /", ""), 5, "urii"),
            (stage("", "log: {expect_id: [1]}"), 6, "expect_id"),
            (stage("data: '{{ .X }}'", ""), 3, "template"),
            (stage("encoded_request: '!'", ""), 3, "base64"),
            (stage("data: a, encoded_request: 'QQ=='", ""), 3, "exclude"),
            (
                stage("", "log: {match_regex: '('}"),
                3,
                "regular expression",
            ),
            (stage("", "isolated: true"), 3, "isolated"),
            (stage("follow_redirect: true", ""), 3, "follow_redirect"),
            ("tests:\n- stages:\n  - input: {}\n".to_owned(), 1, "output"),
        ] {
            let problem = parse(Path::new("1.yaml"), &text).unwrap_err();
            assert_eq!(problem.location.line, line, "{problem}");
            assert!(problem.message.contains(message), "{problem}");
        }
        assert!(
            parse(Path::new("x.yaml"), "tests: []").is_err(),
            "no rule_id anywhere"
        );
        assert!(parse(Path::new("1.yaml"), "# nothing\n").unwrap().is_none());
    }
}
