//! What routes say of their callers, and listeners for routes that say nothing, as it is written.

use super::identity::{NOBODY, all_of, not_empty};
use super::malformed::Malformed;
use super::reader::{Given, Item, Section};
use super::source::Placed;
use crate::config::section_kind::SectionKind;
use crate::identity::ForwardIdentity;

const KEYS: [&str; 5] = [
    "identity",
    "identity_mode",
    "require",
    "forward_identity",
    "exchange",
];

/// `identity`, `identity_mode`, `require`, `forward_identity` and `exchange`.
#[derive(Debug)]
pub(crate) struct WrittenCallers<'s> {
    pub(crate) providers: Given<Providers<'s>>,
    pub(crate) required: Given<bool>,
    pub(crate) require: Given<Vec<(String, Vec<String>)>>,
    pub(crate) forward: Given<ForwardIdentity>,
    /// The name of an `[exchange.NAME]` table.
    pub(crate) exchange: Given<Placed<'s, &'s str>>,
    /// The keys that are written, and where.
    pub(crate) keys: Vec<Placed<'s, &'static str>>,
}

/// The value of `identity`.
#[derive(Debug, Clone)]
pub(crate) enum Providers<'s> {
    /// `"none"`: nobody is asked, whatever the listener says.
    Nobody,
    /// Names of `[identity.NAME]` tables; at least one.
    Named(Vec<Placed<'s, &'s str>>),
}

pub(crate) fn parse<'s>(section: &Section<'s, '_>) -> WrittenCallers<'s> {
    let placed = |key: &&'static str| {
        let at = section.key_at(key)?;
        Some(Placed { value: *key, at })
    };
    WrittenCallers {
        providers: section.optional("identity", parse_providers),
        required: section.optional("identity_mode", |item| {
            item.choice(&[("required", true), ("optional", false)])
        }),
        require: section.optional("require", parse_require),
        forward: section.optional("forward_identity", |item| {
            item.choice(&[
                ("original", ForwardIdentity::Original),
                ("claims", ForwardIdentity::Claims),
                ("signed", ForwardIdentity::Signed),
                ("exchanged", ForwardIdentity::Exchanged),
                ("none", ForwardIdentity::Nothing),
            ])
        }),
        exchange: section.optional("exchange", Item::string),
        keys: KEYS.iter().filter_map(placed).collect(),
    }
}

fn parse_providers<'s>(item: &Item<'s, '_>) -> Option<Providers<'s>> {
    match item.raw_string() {
        Some(NOBODY) => Some(Providers::Nobody),
        Some(_) => Some(Providers::Named(vec![item.string()?])),
        None => {
            let names = item.strings();
            (!names.is_empty()).then_some(Providers::Named(names))
        }
    }
}

/// `{ scope = ["orders.read"], role = ["clerk", "admin"] }`
fn parse_require(item: &Item<'_, '_>) -> Option<Vec<(String, Vec<String>)>> {
    let section = item.section(SectionKind::Names, "\"require\"")?;
    let entries = section.entries();
    let demands = entries.map(|(name, item)| {
        let parse = match name.value {
            "scope" => word,
            _ => value,
        };
        Some((name.value.to_owned(), all_of(&item, parse)?))
    });
    let demands: Vec<_> = demands.collect();
    if demands.is_empty() {
        return item.fail("\"require\" must not be empty: write { scope = [\"orders.read\"] }");
    }
    demands.into_iter().collect()
}

fn word(text: &str) -> Result<String, Malformed> {
    // A scope goes into WWW-Authenticate (RFC 6750, 3): in a quoted string, without an end of it.
    let fits = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "\"{text}\" is no word of a claim: it has a blank, a quote or a backslash, or is empty"
        )
        .into()),
    }
}

fn value(text: &str) -> Result<String, Malformed> {
    match text.chars().any(char::is_control) {
        true => Err("a claim has no control characters".into()),
        false => not_empty(text),
    }
}
