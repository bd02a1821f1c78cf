//! The keys of `[identity.NAME]` about asking the issuer, and about tokens that are taken once.

use std::time::Duration;

use super::{WrittenIntrospection, not_empty};
use crate::config::written::destination;
use crate::config::written::reader::{Given, Item, Section};

const MAX_AGE: Duration = Duration::from_secs(30);
const LEAST_AGE: Duration = Duration::from_secs(1);
/// Whoever may wait longer for a revocation needs none.
const MOST_AGE: Duration = Duration::from_secs(600);
const MOST_REMEMBERED: i64 = 100_000;

pub(super) fn parse<'s>(section: &Section<'s, '_>) -> Given<WrittenIntrospection<'s>> {
    let url = section.optional("introspect", |item| {
        let text = item.string()?;
        let url = match text.value {
            "discovery" => None,
            _ => Some(destination::parse_url(item)?),
        };
        Some((item.at, url))
    });
    let client = section.optional("introspect_client", |item| item.parse(not_empty));
    let secret = section.optional("introspect_secret", Item::string);
    let max_age = section.optional("introspect_max_age", parse_max_age);
    let takes_opaque = section.optional("opaque_tokens", Item::boolean);
    let (at, url) = match url {
        Given::Value(value) => value,
        Given::Faulty => return Given::Faulty,
        Given::Absent => {
            let keys = [
                "introspect_client",
                "introspect_secret",
                "introspect_max_age",
                "opaque_tokens",
            ];
            for key in keys {
                if let Some(at) = section.key_at(key) {
                    let message = format!("\"{key}\" has no effect without \"introspect\"");
                    section.diagnostics.error(at, message);
                }
            }
            return Given::Absent;
        }
    };
    for (key, is_absent) in [
        ("introspect_client", matches!(client, Given::Absent)),
        ("introspect_secret", matches!(secret, Given::Absent)),
    ] {
        if is_absent {
            let message = format!("\"introspect\" needs \"{key}\"");
            let help = "introspect_client = \"drawbridge\" and introspect_secret = \"FILE\", as the issuer knows this client";
            section.diagnostics.error_with_help(at, message, Some(help));
        }
    }
    let whole = || {
        Some(WrittenIntrospection {
            at,
            url,
            client: client.value()?,
            secret: secret.value()?,
            max_age: max_age.or(MAX_AGE)?,
            takes_opaque: takes_opaque.or(false)?,
        })
    };
    whole().into()
}

fn parse_max_age(item: &Item<'_, '_>) -> Option<Duration> {
    let age = item.duration()?;
    match (LEAST_AGE..=MOST_AGE).contains(&age) {
        true => Some(age),
        false => item.fail(format!("{} is 1s to 10m", item.what())),
    }
}

/// The most tokens that are remembered; nothing if tokens may be used again.
pub(super) fn parse_once(section: &Section<'_, '_>) -> Given<usize> {
    let once = section.optional("once", Item::boolean);
    let most = section.optional("once_most", |item| item.integer(1..=10_000_000));
    match once {
        Given::Value(true) => {
            let most = most.or(MOST_REMEMBERED);
            most.and_then(|most| usize::try_from(most).ok()).into()
        }
        Given::Faulty => Given::Faulty,
        Given::Value(false) | Given::Absent => {
            if let Some(at) = section.key_at("once_most") {
                let message = "\"once_most\" has no effect without once = true";
                section.diagnostics.error(at, message);
            }
            Given::Absent
        }
    }
}
