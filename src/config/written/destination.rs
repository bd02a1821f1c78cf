//! Where the front door itself sends something or fetches something from, as it is written: the keys that all such tables
//! have in common.

use std::time::Duration;

use super::reader::{Given, Item, Section};
use super::source::{At, Placed};
use crate::outbound::{Proxy, Url};

/// The word for the public roots of the system.
pub(crate) const SYSTEM: &str = "system";

/// A URL, and under what it is asked.
#[derive(Debug)]
pub(crate) struct WrittenDestination<'s> {
    pub(crate) at: At<'s>,
    /// The key of its URL.
    pub(crate) key: &'static str,
    pub(crate) url: Option<Placed<'s, Url>>,
    pub(crate) trust: Given<Placed<'s, &'s str>>,
    pub(crate) allow_http: bool,
    pub(crate) proxy: Given<Placed<'s, &'s str>>,
    pub(crate) proxy_credentials: Given<Placed<'s, &'s str>>,
    pub(crate) timeout: Option<Duration>,
}

/// Reads `url`, `trust`, `allow_http`, `proxy`, `proxy_credentials` and `timeout`.
pub(crate) fn parse<'s>(
    section: &Section<'s, '_>,
    timeout: Duration,
    help: &str,
) -> WrittenDestination<'s> {
    parse_at(section, "url", timeout, help)
}

/// The same with another `key` for the URL.
pub(crate) fn parse_at<'s>(
    section: &Section<'s, '_>,
    key: &'static str,
    timeout: Duration,
    help: &str,
) -> WrittenDestination<'s> {
    let url = section.required(key, help);
    WrittenDestination {
        key,
        url: url.and_then(|item| parse_url(&item)),
        allow_http: super::trust::parse_flag(section, "allow_http"),
        ..parse_way(section, timeout)
    }
}

/// Reads `trust`, `proxy`, `proxy_credentials` and `timeout`, for URLs of keys of their own.
pub(crate) fn parse_way<'s>(
    section: &Section<'s, '_>,
    timeout: Duration,
) -> WrittenDestination<'s> {
    WrittenDestination {
        at: section.at,
        key: "url",
        url: None,
        trust: section.optional("trust", Item::string),
        allow_http: false,
        proxy: section.optional("proxy", parse_proxy),
        proxy_credentials: section.optional("proxy_credentials", Item::string),
        timeout: section.optional("timeout", Item::duration).or(timeout),
    }
}

pub(crate) fn parse_url<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, Url>> {
    let text = item.string()?;
    match text.value.parse() {
        Ok(value) => Some(Placed { value, at: item.at }),
        Err(error) => item.fail(format!("{} {error}", item.what())),
    }
}

fn parse_proxy<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, &'s str>> {
    let text = item.string()?;
    // Only a check: the next step reads the credentials, and makes it again with them.
    match Proxy::new(text.value, None) {
        Ok(_) => Some(text),
        Err(_) => item.fail(format!(
            "{} must be like \"http://proxy.example:3128\", without a path or a user",
            item.what()
        )),
    }
}
