//! `[cors.NAME]`, as it is written.

use std::time::Duration;

use http_strict::is_token;

use super::document::{Document, Named};
use super::malformed::Malformed;
use super::reader::{Given, Item};
use super::source::At;
use crate::config::section_kind::SectionKind;
use crate::transform::{Cors, CorsNames, Origin, Origins};

const MAX_AGE: Duration = Duration::from_secs(600);
const ANY: &str = "*";

/// `[cors.NAME]`
#[derive(Debug)]
pub(crate) struct WrittenCors<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// None if a part of it is missing or faulty, which was reported.
    pub(crate) cors: Option<Cors>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenCors<'s>> {
    let named = document.named("cors", SectionKind::Cors, "cors table");
    named.iter().map(parse_cors).collect()
}

fn parse_cors<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenCors<'s> {
    let origins = section.required(
        "origins",
        "origins = [\"https://app.example.com\"], or [\"*\"]",
    );
    let origins = origins.and_then(|item| parse_origins(&item));
    let methods = section.optional("methods", |item| all_of(item, parse_token));
    let headers = section.optional("headers", parse_names);
    let expose = section.optional("expose", parse_names);
    let max_age = section.optional("max_age", Item::duration);
    let credentials = section.optional("credentials", |item| Some((item.boolean()?, item.at)));
    section.finish();
    let with_credentials = match &credentials {
        Given::Value((true, at)) => Some(*at),
        _ => None,
    };
    let is_any = |names: &Given<CorsNames>| matches!(names, Given::Value(CorsNames::Any));
    let every = matches!(origins, Some(Origins::Any)) || is_any(&headers) || is_any(&expose);
    if let (Some(at), true) = (with_credentials, every) {
        let message =
            "with credentials nothing can be \"*\": any page could act as the user who looks at it";
        section.diagnostics.error(at, message);
    }
    let cors = || {
        Some(Cors {
            name: (*name).to_owned(),
            origins: origins?,
            methods: methods.unless_faulty()?,
            headers: headers.or_else(CorsNames::none)?,
            expose: expose.or_else(CorsNames::none)?,
            max_age: max_age.or(MAX_AGE)?,
            credentials: with_credentials.is_some(),
        })
    };
    WrittenCors {
        name,
        at: *at,
        cors: cors(),
    }
}

fn parse_origins(item: &Item<'_, '_>) -> Option<Origins> {
    let entries = item.list();
    match entries.as_slice() {
        [] => None,
        [one] if one.raw_string() == Some(ANY) => Some(Origins::Any),
        _ => all_of(item, str::parse::<Origin>).map(Origins::Listed),
    }
}

fn parse_names(item: &Item<'_, '_>) -> Option<CorsNames> {
    let entries = item.list();
    match entries.as_slice() {
        [one] if one.raw_string() == Some(ANY) => Some(CorsNames::Any),
        _ => all_of(item, parse_token).map(CorsNames::Listed),
    }
}

fn parse_token(text: &str) -> Result<String, Malformed> {
    // "*" is a token, and beside other names it would mean all of them.
    match is_token(text.as_bytes()) && text != ANY {
        true => Ok(text.to_owned()),
        false => Err(format!("\"{text}\" is no name").into()),
    }
}

/// All entries, at least one; every faulty one is reported.
fn all_of<T, E: std::fmt::Display>(
    item: &Item<'_, '_>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    let entries: Vec<_> = item
        .list()
        .iter()
        .map(|entry| entry.parse(&parse))
        .collect();
    if entries.is_empty() {
        return None;
    }
    entries.into_iter().collect()
}
