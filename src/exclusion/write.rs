//! Writes an exclusion and its tests. Each file is written aside and renamed, and the tests come first: whoever reads in
//! between finds no exclusion without its tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::propose::Proposals;
use super::record::{IDS, Purpose, comments, tests_of};
use super::scope;
use crate::replace_file::{Access, replace_file};
use crate::time::rfc3339;

/// What belongs into the two files.
#[derive(Debug)]
pub struct Written {
    /// The exclusion with its comments.
    pub seclang: String,
    /// Its tests.
    pub tests: String,
    id: u64,
}

/// The lowest id that none of these rules has; None if all are taken.
#[must_use]
pub fn free_id(taken: impl Iterator<Item = u64>) -> Option<u64> {
    // Gaps stay free: an old test or ticket may still name a removed exclusion by its id.
    let highest = taken.filter(|id| IDS.contains(id)).max();
    let free = highest.map_or(*IDS.start(), |id| id + 1);
    IDS.contains(&free).then_some(free)
}

impl Proposals {
    /// The candidate at this place as text. `event` names the request that it is for.
    #[must_use]
    pub fn written(&self, at: usize, id: u64, purpose: &Purpose, event: &str) -> Option<Written> {
        let (candidate, _) = self.candidates.get(at)?;
        let day = rfc3339(SystemTime::now());
        let day = day.split('T').next().unwrap_or_default();
        let note = match candidate.is_portable {
            true => "",
            false => {
                "# note: ModSecurity knows no patterns here and names JSON items otherwise; Drawbridge and Coraza do\n"
            }
        };
        let rule = scope::rule(id, Some(&self.scope), None, &candidate.controls);
        let comments = comments(id, purpose, event, day);
        Some(Written {
            seclang: format!("{comments}{note}{rule}"),
            tests: self.tests(at, id),
            id,
        })
    }

    /// The requests that must pass and be stopped, in the format of the CRS's tests.
    fn tests(&self, at: usize, id: u64) -> String {
        let rules = self
            .candidates
            .get(at)
            .map(|(c, _)| c.rules.clone())
            .unwrap_or_default();
        let none: Vec<String> = rules.iter().map(u64::to_string).collect();
        let mut stopped: Vec<u64> = vec![self.stopped_by];
        // A rule that stops by itself is among those that are taken out; it is named once.
        stopped.retain(|rule| !rules.contains(rule));
        let none = none.into_iter().chain(stopped.iter().map(u64::to_string));
        let none = none.collect::<Vec<_>>().join(", ");
        let mut text = format!("rule_id: {id}\ntests:\n");
        let mut add = |number: usize, what: &str, request: &[u8], log: &str| {
            // Encoded, so that no byte of a request can mean something in YAML.
            let encoded = openssl::base64::encode_block(request);
            let what = serde_json::Value::from(what);
            text += &format!(
                "- test_id: {number}\n  desc: {what}\n  stages:\n  - input: {{encoded_request: \"{encoded}\"}}\n    output: {{log: {{{log}}}}}\n"
            );
        };
        let event = &self.probes.event;
        let line = [event.method(), b" ", event.target()].concat();
        let line = format!("{} passes", String::from_utf8_lossy(&line));
        add(
            1,
            &line,
            &event.to_bytes(),
            &format!("no_expect_ids: [{none}]"),
        );
        for (number, (probe, rule)) in (2..).zip(self.shown_stopped(at)) {
            let what = format!("{} in {} is stopped", probe.attack(), probe.place());
            let log = format!("expect_ids: [{rule}]");
            if let Some(request) = self.probes.request(probe) {
                add(number, &what, &request.to_bytes(), &log);
            }
        }
        text
    }
}

impl Written {
    /// Appends the exclusion to the file, and writes its tests beside it. Returns the file of the tests.
    ///
    /// # Errors
    /// A file cannot be read or written; then nothing of the exclusion holds.
    pub fn append_to(&self, path: &Path) -> io::Result<PathBuf> {
        let before = match fs::read(path) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let tests = tests_of(path, self.id);
        replace(&tests, self.tests.as_bytes())?;
        // An editor may have left the last line without its end.
        let gap: &[u8] = match before.as_slice() {
            [] => b"",
            [.., b'\n'] => b"\n",
            _ => b"\n\n",
        };
        replace(path, &[&before, gap, self.seclang.as_bytes()].concat())?;
        Ok(tests)
    }
}

/// Replaces the file in one step.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // A link stays a link: what it names is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Two processes must not write to one file.
    let aside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    replace_file(&path, &aside, Access::AsBefore, content)
}
