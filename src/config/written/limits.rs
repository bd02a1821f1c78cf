//! `[limits.*]`, as they are written, and the names of limits at listeners, routes and policies.

use std::time::Duration;

use super::document::{Document, Named};
use super::reader::{Item, Section};
use super::source::{At, Placed};
use crate::config::section_kind::SectionKind;
use crate::limits::{Action, Count, KeyPart, LimitSettings, Rate};

/// The key of `[limits]` that is no name of a limit.
pub(crate) const BODY_MEMORY: &str = "body_memory";
const MAX_KEYS: usize = 100_000;
const MOST_DELAY: Duration = Duration::from_secs(30);
const DELAY: Duration = Duration::from_secs(5);
const MOST_BURST: i64 = 1_000_000_000_000;
/// More in one place are most likely a mistake, and each costs every request.
const MOST_NAMES: usize = 16;

/// `[limits.NAME]`
#[derive(Debug)]
pub(crate) struct WrittenLimit<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// None if a part of it is missing or faulty, which was reported.
    pub(crate) settings: Option<LimitSettings>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenLimit<'s>> {
    // What is no table is no limit but a key of `[limits]`, or a misspelled one.
    let is_limit = |name: &str, item: &Item<'_, '_>| item.is_table() && name != BODY_MEMORY;
    let named = document.named_among("limits", SectionKind::Limit, "limit", is_limit);
    named.iter().map(parse_limit).collect()
}

/// `rate_limits = ["NAME"]`
pub(crate) fn parse_names<'s>(section: &Section<'s, '_>) -> Vec<Placed<'s, &'s str>> {
    let Some(item) = section.item("rate_limits") else {
        return Vec::new();
    };
    // Not `list`: an empty array is a clear way to say that there are none.
    let entries = item.array().unwrap_or_default();
    if entries.len() > MOST_NAMES {
        item.fail::<()>(format!(
            "\"rate_limits\" names {} limits, and {MOST_NAMES} are the most",
            entries.len()
        ));
    }
    entries.iter().filter_map(Item::string).collect()
}

fn parse_limit<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenLimit<'s> {
    let rate = section.required("rate", "rate = \"100/s\", or /m, or /h");
    let rate = rate.and_then(|item| Some((item.parse(str::parse::<Rate>)?, item)));
    let burst = section.optional("burst", |item| {
        Some((item.integer(1..=MOST_BURST)?, item.at))
    });
    let key = section.optional("key", parse_key);
    let count = section.optional("count", |item| item.parse(str::parse::<Count>));
    let action = section.optional("action", |item| item.choice(&Action::ALL));
    let tell = section.optional("tell", Item::boolean);
    let max_keys = section.optional("max_keys", |item| item.integer(1000..=10_000_000));
    let delay = section.optional("delay", parse_delay);
    section.finish();
    let settings = || {
        let (rate, item) = rate?;
        let (burst, place) = match burst.unless_faulty()? {
            Some((burst, at)) => (burst.unsigned_abs(), at),
            None => (rate.default_burst(), item.at),
        };
        if !rate.takes_burst(burst) {
            let message = format!(
                "limit \"{name}\" takes longer than a year to make room for a burst of {burst} again"
            );
            section.diagnostics.error(place, message);
            return None;
        }
        Some(LimitSettings {
            rate,
            burst,
            key: key.or_else(|| vec![KeyPart::Client])?,
            count: count.or(Count::Requests)?,
            action: action.or(Action::TooMany)?,
            tell: tell.or(false)?,
            max_keys: max_keys
                .map(|keys| usize::try_from(keys).unwrap_or(MAX_KEYS))
                .or(MAX_KEYS)?,
            delay: delay.or(DELAY)?,
        })
    };
    WrittenLimit {
        name,
        at: *at,
        settings: settings(),
    }
}

fn parse_key(item: &Item<'_, '_>) -> Option<Vec<KeyPart>> {
    let entries = item.list();
    let parts = entries
        .iter()
        .map(|entry| entry.parse(str::parse::<KeyPart>));
    // All entries are read before a faulty one ends this, so that one run reports every problem.
    let parts: Vec<_> = parts.collect();
    let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
    (!parts.is_empty()).then_some(parts)
}

fn parse_delay(item: &Item<'_, '_>) -> Option<Duration> {
    match item.duration()? {
        delay if delay <= MOST_DELAY => Some(delay),
        _ => item.fail("\"delay\" must be at most 30s: a held request holds its connection"),
    }
}
