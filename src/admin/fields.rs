//! The fields of a form, and the options in a query of the admin API.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::router::{Request, Response};
use crate::config::parse_age;

/// More fields than any form or query of ours has.
const MOST: usize = 64;

/// Fields in the order in which they were sent.
///
/// Pages look at them by name, and of two the first counts. The API takes each option once, and what is left at the end is
/// an error: a mistyped filter must not look like one that fits everything.
#[derive(Debug)]
pub(crate) struct Fields<'b> {
    given: Vec<(Cow<'b, str>, Cow<'b, str>)>,
    /// What the API took.
    taken: Vec<String>,
    /// There were more.
    is_cut: bool,
}

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

impl<'b> Fields<'b> {
    pub(super) fn of(request: &'b Request) -> Self {
        Self::parse(request.query.as_bytes())
    }

    pub(crate) fn parse(bytes: &'b [u8]) -> Self {
        let mut pairs = form_urlencoded::parse(bytes);
        let given = pairs.by_ref().take(MOST).collect();
        Self {
            given,
            taken: Vec::new(),
            is_cut: pairs.next().is_some(),
        }
    }

    /// The value without the space around it; empty if the field is missing.
    pub(crate) fn value(&self, name: &str) -> &str {
        let found = self.given.iter().find(|(known, _)| known == name);
        // What people paste often has a line end.
        found.map_or("", |(_, value)| value.trim())
    }

    /// The value, if it is not empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.value(name)).filter(|value| !value.is_empty())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let at = self.given.iter().position(|(known, _)| known == name)?;
        self.taken.push(name.to_owned());
        Some(self.given.remove(at).1.into_owned())
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
        if self.is_cut {
            let words = format!("the query has more than {MOST} words");
            return Err(WrongQuery(words));
        }
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) if self.taken.iter().any(|taken| taken == name) => {
                Err(WrongQuery(format!("the query has \"{name}\" twice")))
            }
            Some((name, _)) => Err(WrongQuery(format!("the query has no word \"{name}\""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_the_first_field_and_an_option_is_given_once() {
        let fields = Fields::parse(b"a=+1%0a&a=2&b=");
        assert_eq!((fields.value("a"), fields.value("c")), ("1", ""));
        assert_eq!((fields.given("a"), fields.given("b")), (Some("1"), None));
        let many = "a&".repeat(MOST + 1);
        for (query, is_good) in [
            ("a=1", true),
            ("", true),
            ("a=1&a=2", false),
            ("b", false),
            (&many, false),
        ] {
            let mut fields = Fields::parse(query.as_bytes());
            fields.text("a");
            assert_eq!(fields.end().is_ok(), is_good, "{query}");
        }
    }
}
