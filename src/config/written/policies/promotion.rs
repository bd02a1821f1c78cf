//! The edit of the configuration's text that makes the rules of a policy's shadow the policy's own.
//!
//! It replaces places in the text, so that comments and layout stay, and reads the result: an edit that does not say
//! what it should is not shown.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{RulePattern, WrittenPolicy};
use crate::config::section_kind::SectionKind;
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::document::{Document, Named};
use crate::config::written::reader::{self, Given, Item, Section};
use crate::config::written::source::{At, Source};

/// A changed file.
#[derive(Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub before: String,
    /// What it would hold.
    pub after: String,
}

/// Why there is no such edit.
#[derive(Debug, PartialEq, Eq)]
pub enum PromotionError {
    /// There is no policy of this name.
    NoPolicy,
    /// The policy has no shadow.
    NoShadow,
    /// The text is written in a way that cannot be edited: these are the keys to write instead of the shadow.
    ByHand(String),
}

/// A part of the text, and what stands there instead.
type Edit = (Range<usize>, String);

/// A key and its value.
type Entry<'s, 'r> = (At<'s>, Item<'s, 'r>);

pub(crate) fn promote(
    document: &Document<'_, '_>,
    policy: &str,
) -> Result<Promotion, PromotionError> {
    let named = document.named("policies", SectionKind::Policy, "policy");
    let Some(own) = named.iter().find(|named| named.name == policy) else {
        return Err(PromotionError::NoPolicy);
    };
    let shadow = entry(&own.section, "shadow").ok_or(PromotionError::NoShadow)?;
    let wanted = Wanted::of(own, &shadow.1).ok_or(PromotionError::NoShadow)?;
    // The file that has the policy, which may be one that another file includes.
    let source = own.at.source();
    let edits = edits(&source.text, own, &shadow, &wanted);
    let after = edits.and_then(|edits| apply(&source.text, edits));
    match after.filter(|after| wanted.is_said_by(&source.path, after, policy)) {
        Some(after) => Ok(Promotion {
            path: source.path.clone(),
            before: source.text.clone(),
            after,
        }),
        None => Err(PromotionError::ByHand(wanted.keys())),
    }
}

/// What the policy says afterwards.
struct Wanted {
    /// The values of `rules` and `crs` as they are written in the shadow; None if the policy's stay.
    rules: Option<String>,
    variables: Option<String>,
    /// What they mean.
    meaning: Meaning,
}

/// The rules and variables of a policy.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    rules: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Wanted {
    /// None if the shadow is faulty.
    fn of(own: &Named<'_, '_>, shadow: &Item<'_, '_>) -> Option<Self> {
        let parsed = super::parse_policy(own);
        let Given::Value(written) = &parsed.shadow else {
            return None;
        };
        let rules = match &written.rules {
            Some(rules) => patterns(rules),
            None => patterns(parsed.rules.as_ref()?),
        };
        let variables = written.variables.as_ref().or(parsed.variables.as_ref());
        let section = shadow.section(SectionKind::Shadow, "shadow")?;
        let text = &own.at.source().text;
        let (rules_entry, crs) = (entry(&section, "rules"), entry(&section, "crs"));
        Some(Self {
            rules: rules_entry.and_then(|(_, item)| Some(text.get(item.at.range())?.to_owned())),
            variables: match crs {
                Some((_, crs)) => Some(inline(text, &crs)?),
                None => None,
            },
            meaning: Meaning {
                rules,
                variables: variables?.clone(),
            },
        })
    }

    /// As lines of a policy.
    fn keys(&self) -> String {
        let keys = [("rules", &self.rules), ("crs", &self.variables)];
        let lines = keys.into_iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(format!("{name} = {value}\n"))
        });
        lines.collect()
    }

    /// Whether this text says so, without a shadow and without a fault.
    fn is_said_by(&self, path: &Path, text: &str, policy: &str) -> bool {
        let diagnostics = Diagnostics::default();
        let source = Source::new(path, text.to_owned(), 0);
        let table = reader::parse(&source, &diagnostics);
        let document = Document::new(std::iter::once((&source, &table)), &diagnostics);
        let policies = super::parse(&document);
        let said = policies.iter().find(|said| said.name == policy);
        // A shadow that stays would compare the new rules with themselves.
        let said = said.filter(|said| matches!(said.shadow, Given::Absent));
        said.and_then(meaning).as_ref() == Some(&self.meaning) && !diagnostics.has_errors()
    }
}

fn meaning(policy: &WrittenPolicy<'_>) -> Option<Meaning> {
    Some(Meaning {
        rules: patterns(policy.rules.as_ref()?),
        variables: policy.variables.clone()?,
    })
}

fn patterns(rules: &super::WrittenRules<'_>) -> Vec<String> {
    let sources = rules.sources.iter();
    let names = sources.map(|source| match source.value {
        RulePattern::Baseline => super::BASELINE.to_owned(),
        RulePattern::Files(pattern) => pattern.to_owned(),
    });
    names.collect()
}

/// None if the text is too odd to edit.
fn edits(
    text: &str,
    own: &Named<'_, '_>,
    shadow: &Entry<'_, '_>,
    wanted: &Wanted,
) -> Option<Vec<Edit>> {
    let mut edits = Vec::new();
    remove(text, shadow, &mut edits)?;
    let rules = entry(&own.section, "rules")?;
    if let Some(new) = &wanted.rules {
        edits.push((rules.1.at.range(), new.clone()));
    }
    let Some(new) = &wanted.variables else {
        return Some(edits);
    };
    match entry(&own.section, "crs") {
        Some((_, crs)) if is_inline(text, &crs) => edits.push((crs.at.range(), new.clone())),
        other => {
            if let Some(table) = other {
                remove(text, &table, &mut edits)?;
            }
            let end = lines(text, &rules.1.at.range()).end;
            edits.push((end..end, format!("crs = {new}\n")));
        }
    }
    Some(edits)
}

/// Removes the lines of a key and of what is in its table, if that is written in lines of its own.
fn remove(text: &str, (key, item): &Entry<'_, '_>, edits: &mut Vec<Edit>) -> Option<()> {
    if is_inline(text, item) {
        let range = key.range().start..item.at.range().end;
        edits.push((lines(text, &range), String::new()));
        return Some(());
    }
    // A header, or the first of its dotted keys.
    edits.push((lines(text, &key.range()), String::new()));
    if item.is_table() {
        let section = item.section(SectionKind::Names, "")?;
        for (key, item) in section.entries() {
            remove(text, &(key.at, item), edits)?;
        }
    }
    Some(())
}

/// Whether the value stands behind its `=`, and is no table with a header or with dotted keys.
fn is_inline(text: &str, item: &Item<'_, '_>) -> bool {
    !item.is_table()
        || text
            .get(item.at.range())
            .is_some_and(|value| value.starts_with('{'))
}

fn entry<'s, 'r>(section: &Section<'s, 'r>, name: &str) -> Option<Entry<'s, 'r>> {
    let mut entries = section.entries();
    let (key, item) = entries.find(|(key, _)| key.value == name)?;
    Some((key.at, item))
}

/// A table as an inline one.
fn inline(text: &str, item: &Item<'_, '_>) -> Option<String> {
    let section = item.section(SectionKind::Names, "crs")?;
    let entries = section.entries().map(|(key, item)| {
        let value = text.get(item.at.range())?;
        Some(format!("{} = {value}", key.value))
    });
    let entries: Option<Vec<String>> = entries.collect();
    match entries?.join(", ").as_str() {
        "" => Some("{}".to_owned()),
        entries => Some(format!("{{ {entries} }}")),
    }
}

/// The whole lines that these bytes are on.
fn lines(text: &str, range: &Range<usize>) -> Range<usize> {
    let before = text.get(..range.start).unwrap_or_default();
    let behind = text.get(range.end..).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = behind
        .find('\n')
        .map_or(text.len(), |at| range.end + at + 1);
    start..end
}

/// None if two edits are about the same bytes in different ways.
fn apply(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    // From the beginning on, because all places are those of the text before any edit.
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut after = String::with_capacity(text.len());
    let mut done = 0;
    for (range, new) in edits {
        // The line of a dotted key is removed with the key and again with its value.
        let start = match new.is_empty() {
            true => range.start.max(done),
            false => range.start,
        };
        // There is no such range if an edit begins inside of the one before.
        after.push_str(text.get(done..start)?);
        after.push_str(&new);
        done = range.end.max(done);
    }
    after.push_str(text.get(done..)?);
    Some(after)
}

#[cfg(test)]
mod tests;
