//! `[exchange.NAME]`, as it is written.

use std::time::Duration;

use super::destination::{self, WrittenDestination};
use super::document::{Document, Named};
use super::identity::not_empty;
use super::reader::{Given, Item};
use super::source::{At, Placed};
use crate::config::section_kind::SectionKind;
use crate::identity::issuer::TokenType;
use crate::outbound::Url;

/// Shorter than the time for which a request waits.
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_AGE: Duration = Duration::from_secs(300);
const LEAST_AGE: Duration = Duration::from_secs(1);
/// A caller's rights may change, and the token would not.
const MOST_AGE: Duration = Duration::from_secs(3600);

/// `[exchange.NAME]`
#[derive(Debug)]
pub(crate) struct WrittenExchange<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// The issuer whose document says where tokens are exchanged.
    pub(crate) issuer: Given<Placed<'s, Url>>,
    /// The issuer as it is written.
    pub(crate) issuer_text: Option<&'s str>,
    /// Where tokens are exchanged.
    pub(crate) endpoint: Given<Placed<'s, Url>>,
    pub(crate) way: WrittenDestination<'s>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<Placed<'s, &'s str>>,
    pub(crate) audience: Given<String>,
    pub(crate) resource: Given<String>,
    pub(crate) scope: Given<String>,
    pub(crate) subject_type: Option<TokenType>,
    pub(crate) max_age: Option<Duration>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenExchange<'s>> {
    let named = document.named("exchange", SectionKind::Exchange, "exchange");
    named.iter().map(parse_exchange).collect()
}

fn parse_exchange<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenExchange<'s> {
    let issuer = section.optional("issuer", destination::parse_url);
    let issuer_text = section.item("issuer").and_then(|item| item.raw_string());
    let endpoint = section.optional("endpoint", destination::parse_url);
    let way = destination::parse_way(section, TIMEOUT);
    let client_id = section.required("client_id", "client_id = \"drawbridge\"");
    let client_secret = section.required("client_secret", "client_secret = \"FILE\"");
    let audience = section.optional("audience", parse_word);
    let resource = section.optional("resource", parse_word);
    let scope = section.optional("scope", |item| {
        let words = item.list().into_iter().map(|entry| parse_word(&entry));
        Some(words.collect::<Option<Vec<String>>>()?.join(" "))
    });
    let subject_type = section.optional("subject_token_type", |item| item.choice(&TokenType::ALL));
    let max_age = section.optional("max_age", parse_max_age);
    section.finish();
    WrittenExchange {
        name,
        at: *at,
        issuer,
        issuer_text,
        endpoint,
        way,
        client_id: client_id.and_then(|item| item.parse(not_empty)),
        client_secret: client_secret.and_then(|item| item.string()),
        audience,
        resource,
        scope,
        subject_type: subject_type.or(TokenType::AccessToken),
        max_age: max_age.or(MAX_AGE),
    }
}

/// What goes into a form as one word.
fn parse_word(item: &Item<'_, '_>) -> Option<String> {
    let text = item.string()?.value;
    let fits = (1..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    match fits {
        true => Some(text.to_owned()),
        false => item.fail(format!(
            "{} must be 1 to 512 printable characters of ASCII without a blank",
            item.what()
        )),
    }
}

fn parse_max_age(item: &Item<'_, '_>) -> Option<Duration> {
    let age = item.duration()?;
    match (LEAST_AGE..=MOST_AGE).contains(&age) {
        true => Some(age),
        false => item.fail(format!("{} is 1s to 1h", item.what())),
    }
}
