//! The options in a query of the admin API.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::router::{Request, Response};
use crate::config::parse_age;

/// Each option is taken once, and what is left at the end is an error: a mistyped filter must not look like one that fits
/// everything.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

/// What is wrong with a query, in words for the caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongQuery(String);

impl fmt::Display for WrongQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<WrongQuery> for Response {
    fn from(WrongQuery(words): WrongQuery) -> Self {
        Self::error(400, &words)
    }
}

impl Query {
    pub(super) fn of(request: &Request) -> Self {
        Self::parse(&request.query)
    }

    pub(super) fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes());
        Self(pairs.into_owned().collect())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Whether the option is there, with a value or without.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.text(name).is_some()
    }

    pub(super) fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, WrongQuery> {
        self.parsed(name, "a number")
    }

    /// `what` the text must be, in words.
    pub(super) fn parsed<T: FromStr>(
        &mut self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, WrongQuery> {
        let value = self.text(name).map(|text| text.parse());
        value
            .transpose()
            .map_err(|_| WrongQuery(format!("\"{name}\" must be {what}")))
    }

    /// A time such as `2h` or `7d`.
    pub(super) fn age(&mut self, name: &str) -> Result<Option<Duration>, WrongQuery> {
        let value = self.text(name).as_deref().map(parse_age);
        value
            .transpose()
            .map_err(|error| WrongQuery(format!("{name}: {error}")))
    }

    /// One of these words.
    pub(super) fn choice<T>(
        &mut self,
        name: &str,
        known: impl IntoIterator<Item = (&'static str, T)>,
    ) -> Result<Option<T>, WrongQuery> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        let mut words = Vec::new();
        for (word, meaning) in known {
            if word == value {
                return Ok(Some(meaning));
            }
            words.push(word);
        }
        let last = words.pop().unwrap_or_default();
        let words = words.join(", ");
        Err(WrongQuery(format!("\"{name}\" must be {words} or {last}")))
    }

    pub(super) fn end(self) -> Result<(), WrongQuery> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(WrongQuery(format!("the query has no word \"{name}\""))),
        }
    }
}
