//! Of what use exclusions are: what is wrong with them as they are written, and what recorded requests say of them.
//!
//! A finding says what is known and how: from the rules alone, or from so many requests. It never guesses: an exclusion
//! of which the requests say nothing is not called useless.

mod dear;
mod finding;
mod fixed;
mod observed;
mod used;
mod wider;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use waf::{Exclusion, RuleSet};

use super::record::{Entry, is_guard};

pub use finding::{Code, Finding, Other};
pub use fixed::fixed;
pub use observed::{Evidence, Observed, Seen};
pub use used::{unknown, used};

/// What is known of a policy beside its rules.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    /// The exclusions with an owner and an end.
    pub entries: &'k [&'k Entry],
    /// An exclusion whose last day is over no longer holds.
    pub ends: bool,
    /// The time.
    pub now: SystemTime,
}

/// An exclusion that a team wrote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'r> {
    /// Its place among the rule set's exclusions.
    place: usize,
    exclusion: &'r Exclusion,
    /// Who wants it; None for one that is written by hand.
    entry: Option<&'r Entry>,
}

/// How many exclusions there are to look at.
#[must_use]
pub fn count(rules: &Arc<RuleSet>, known: &Known<'_>) -> usize {
    subjects(rules, known).len()
}

/// The exclusions that hold today, in load order of their kinds: those of directives come first.
fn subjects<'r>(rules: &'r Arc<RuleSet>, known: &Known<'r>) -> Vec<Subject<'r>> {
    let all = rules.exclusions().iter().enumerate();
    let is_guard = |exclusion: &Exclusion| exclusion.by.as_ref().is_some_and(|by| is_guard(by.id));
    let written =
        all.filter(|(_, exclusion)| is_written(&exclusion.at.path) && !is_guard(exclusion));
    let subject = |(place, exclusion): (usize, &'r Exclusion)| {
        let id = exclusion.by.as_ref().map(|by| by.id);
        let mut entries = known.entries.iter();
        let entry = entries.find(|entry| Some(entry.id) == id).copied();
        Subject {
            place,
            exclusion,
            entry,
        }
    };
    let holds = |subject: &Subject<'_>| {
        let end = subject.entry.map(|entry| entry.purpose.until.end());
        // `check` warns of one that is over.
        !known.ends || end.is_none_or(|end| end > known.now)
    };
    written.map(subject).filter(holds).collect()
}

/// Whether a team wrote this file. The exclusions of `@baseline` and of the Core Rule Set's own file of common
/// exceptions are not the teams' to remove.
fn is_written(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !path.starts_with("@baseline") && !name.contains("-COMMON-EXCEPTIONS")
}

/// Whether the id is one of the Core Rule Set or its plugins.
fn is_of_crs(id: u64) -> bool {
    // 900,000 to 999,999 are its own; 9,000,000 to 9,999,999 are those of its exclusion packages and plugins.
    matches!(id / 100_000, 9 | 90..=99)
}

impl Subject<'_> {
    /// `exclusion 80001 of "orders team"`, or as it is written.
    fn name(&self) -> String {
        let written = shortened(&self.exclusion.written);
        match (self.entry, &self.exclusion.by) {
            (Some(entry), _) => {
                format!(
                    "exclusion {} of \"{}\" ({written})",
                    entry.id, entry.purpose.owner
                )
            }
            (None, Some(by)) => format!("`{written}` of rule {}", by.id),
            (None, None) => format!("`{written}`"),
        }
    }

    /// Whether the other is part of the same rule.
    fn is_beside(&self, other: &Self) -> bool {
        let id = |subject: &Self| subject.exclusion.by.as_ref().map(|by| by.id);
        id(self).is_some() && id(self) == id(other)
    }
}

/// A text that fits a line.
fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// `rule 942100`, `rules 942100, 942110 and 3 more`
fn rules_in_words(ids: &[u64]) -> String {
    const NAMED: usize = 3;
    let named: Vec<String> = ids.iter().take(NAMED).map(u64::to_string).collect();
    let word = if ids.len() == 1 { "rule" } else { "rules" };
    match ids.len().saturating_sub(NAMED) {
        0 => format!("{word} {}", named.join(", ")),
        more => format!("{word} {} and {more} more", named.join(", ")),
    }
}
