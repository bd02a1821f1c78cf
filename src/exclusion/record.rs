//! An exclusion as it stands in a file: comments that say who wants it, why and until when, and the rule.
//!
//! The comments are read by the program, so that no exclusion is without an owner or without an end.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ftw::TEST_NAME;
use seclang::diagnostic::{Diagnostic, Location};

use crate::time::{parse_rfc3339, seconds};

/// The ids of exclusions that the program writes.
pub(super) const IDS: RangeInclusive<u64> = 80_001..=82_999;
/// What is added to an exclusion's id for the rule that ends it.
const END: u64 = 3_000;
/// What is added to an exclusion's id for the rule that keeps it out of the tests of others.
const ALONE: u64 = 6_000;
const HEAD: &str = "# exclusion ";
const DAY: Duration = Duration::from_secs(86_400);

/// Who wants an exclusion, why and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose {
    /// The team that answers for it.
    pub owner: String,
    /// Why it is needed.
    pub reason: String,
    /// The last day on which it holds.
    pub until: Day,
}

/// A day in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    text: String,
    begin: SystemTime,
}

/// This text is not a day such as `2027-03-01`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoDay(String);

impl fmt::Display for NoDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a day such as 2027-03-01", self.0)
    }
}

impl std::error::Error for NoDay {}

/// An exclusion in a file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The id of its rule.
    pub id: u64,
    /// Who wants it.
    pub purpose: Purpose,
    /// Where it begins.
    pub at: Location,
}

impl Day {
    /// Reads `2027-03-01`.
    ///
    /// # Errors
    /// It is no day.
    pub fn parse(text: &str) -> Result<Self, NoDay> {
        let begin = parse_rfc3339(&format!("{text}T00:00:00Z"));
        let begin = begin.ok_or_else(|| NoDay(text.to_owned()))?;
        Ok(Self {
            text: text.to_owned(),
            begin,
        })
    }

    /// When it is over, in seconds since 1970.
    #[must_use]
    pub fn end_timestamp(&self) -> u64 {
        seconds(self.end())
    }

    /// When it is over.
    #[must_use]
    pub fn end(&self) -> SystemTime {
        // The last day belongs to its time.
        self.begin + DAY
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Entry {
    /// The rule that takes the exclusion out of a transaction when its last day is over. A running process needs no
    /// reload for that.
    #[must_use]
    pub fn end_rule(&self) -> String {
        let end = self.purpose.until.end_timestamp();
        let (id, own) = (self.id + END, self.id);
        format!(
            "SecRule TIME_EPOCH \"@ge {end}\" \"id:{id},phase:1,pass,t:none,nolog,ctl:ruleRemoveById={own}\"\n"
        )
    }
}

impl Entry {
    /// The rule that takes the exclusion out of the tests of others. Each is tested alone: else a later exclusion would
    /// spoil what an earlier one says is stopped, and pass because of it.
    #[must_use]
    pub fn alone_rule(&self) -> String {
        let (id, own) = (self.id + ALONE, self.id);
        format!(
            "SecRule UNIQUE_ID \"@beginsWith {TEST_NAME}\" \"id:{id},phase:1,pass,t:none,nolog,chain\"\n\
             SecRule UNIQUE_ID \"!@beginsWith {TEST_NAME}{own}-\" \"t:none,ctl:ruleRemoveById={own}\"\n"
        )
    }
}

/// Whether this is the id of a rule that only says when an exclusion does not hold.
#[must_use]
pub fn is_guard(id: u64) -> bool {
    [END, ALONE].iter().any(|added| {
        let own = id.checked_sub(*added);
        own.is_some_and(|own| IDS.contains(&own))
    })
}

/// The file of an exclusion's tests, beside its own: `exclusions.80001.yaml`.
#[must_use]
pub fn tests_of(path: &Path, id: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.{id}.yaml"))
}

/// The comments of an exclusion.
pub(super) fn comments(id: u64, purpose: &Purpose, event: &str, written: &str) -> String {
    // A line end would end the comment.
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "{HEAD}{id}\n# owner: {}\n# reason: {}\n# until: {}\n# written: {written}\n# event: {}\n",
        line(&purpose.owner),
        line(&purpose.reason),
        purpose.until,
        line(event),
    )
}

/// The exclusions of a file, and what is wrong with their comments.
#[must_use]
pub fn parse(path: &Path, text: &str) -> (Vec<Entry>, Vec<Diagnostic>) {
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    let mut start = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let at = Location::in_text(path, text, start, start + line.trim_end().len());
        start += line.len();
        // Comments of the team itself may stand anywhere in the file.
        let Some(id) = line.trim_end().strip_prefix(HEAD) else {
            continue;
        };
        let mut fields = Vec::new();
        while let Some(comment) =
            lines.next_if(|next| next.starts_with("# ") && !next.starts_with(HEAD))
        {
            start += comment.len();
            fields.extend(comment.trim_end().get(2..).and_then(|c| c.split_once(": ")));
        }
        match read(id, &fields, &at) {
            Ok(entry) => entries.push(entry),
            Err(problem) => problems.push(*problem),
        }
    }
    (entries, problems)
}

fn read(id: &str, fields: &[(&str, &str)], at: &Location) -> Result<Entry, Box<Diagnostic>> {
    let problem = |message: String| Box::new(Diagnostic::error(at.clone(), message));
    // Other numbers belong to the teams' own rules or to the guards that are made from these.
    let number = id.trim().parse().ok().filter(|id| IDS.contains(id));
    let number = number.ok_or_else(|| {
        problem(format!(
            "exclusion {id:?}: ids of exclusions are {} to {}",
            IDS.start(),
            IDS.end()
        ))
    })?;
    let field = |name: &str| {
        let mut fields = fields.iter();
        let found = fields.find(|(known, value)| *known == name && !value.trim().is_empty());
        found.map(|(_, value)| (*value).to_owned()).ok_or_else(|| {
            problem(format!(
                "exclusion {number} has no \"{name}\": write `# {name}: ...` below this line"
            ))
        })
    };
    let purpose = Purpose {
        owner: field("owner")?,
        reason: field("reason")?,
        until: Day::parse(&field("until")?)
            .map_err(|why| problem(format!("exclusion {number}: until: {why}")))?,
    };
    Ok(Entry {
        id: number,
        purpose,
        at: at.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let purpose = Purpose {
            owner: "orders\nteam".to_owned(),
            reason: "prose: with quotes".to_owned(),
            until: Day::parse("2027-03-01").unwrap(),
        };
        let text = format!(
            "# mine\n\n{}SecAction \"id:80001\"\n",
            comments(80_001, &purpose, "e.http", "2026-11-29")
        );
        let (entries, problems) = parse(Path::new("x.conf"), &text);
        assert!(problems.is_empty(), "{problems:?}");
        let [entry] = entries.as_slice() else {
            panic!("{entries:?}")
        };
        assert_eq!((entry.id, entry.at.line), (80_001, 3));
        assert_eq!(entry.purpose.owner, "orders team");
        assert_eq!(entry.purpose.reason, purpose.reason);
        for (id, guards) in [
            (80_001, false),
            (83_001, true),
            (86_001, true),
            (90_001, false),
        ] {
            assert_eq!(is_guard(id), guards, "{id}");
        }
        assert!(
            entry.end_rule().contains("\"@ge 1803945600\" \"id:83001,"),
            "{}",
            entry.end_rule()
        );
    }

    #[test]
    fn an_exclusion_without_an_owner_or_an_end_is_an_error() {
        for (text, expected) in [
            (
                "# exclusion 80001\n# reason: x\n# until: 2027-03-01\n",
                "no \"owner\"",
            ),
            (
                "# exclusion 80001\n# owner: x\n# reason: x\n",
                "no \"until\"",
            ),
            (
                "# exclusion 80001\n# owner: x\n# reason: x\n# until: 2027-02-30\n",
                "not a day",
            ),
            ("# exclusion 9\n", "80001 to 82999"),
        ] {
            let (entries, problems) = parse(Path::new("x.conf"), text);
            assert!(entries.is_empty());
            assert!(problems[0].message.contains(expected), "{problems:?}");
        }
    }
}
