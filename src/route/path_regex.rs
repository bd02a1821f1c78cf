//! A regular expression that the whole path of a request must match, with names for its parts.

use std::fmt;
use std::str;

use regex::bytes::{Regex, RegexBuilder};

use super::path::canonical;

/// A regular expression over whole paths. It takes time linear in the path, whatever it says.
#[derive(Debug, Clone)]
pub struct PathRegex {
    source: String,
    compiled: Regex,
}

/// Why a text is no such expression, in words that name the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRegexError(String);

impl fmt::Display for PathRegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PathRegexError {}

impl From<&regex::Error> for PathRegexError {
    fn from(error: &regex::Error) -> Self {
        let words = error.to_string();
        // The lines before the last one show the place with a caret of their own.
        let last = words.lines().last().unwrap_or_default();
        let reason = last.strip_prefix("error: ").unwrap_or(last);
        Self(format!("this is no regular expression: {reason}"))
    }
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for PathRegex {}

impl PathRegex {
    /// `text` matches the whole path, with or without anchors.
    ///
    /// # Errors
    /// It is no regular expression of the crate `regex`, or a very large one.
    pub fn parse(text: &str) -> Result<Self, PathRegexError> {
        const MOST_BYTES: usize = 1 << 20;
        // Alone first, since `a)|(b` would leave the group around it.
        check_alone(text)?;
        let built = RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(MOST_BYTES)
            .unicode(false)
            .build();
        let compiled = built.map_err(|error| PathRegexError::from(&error))?;
        Ok(Self {
            source: text.to_owned(),
            compiled,
        })
    }

    /// As it is written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of its groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.compiled.capture_names().flatten()
    }

    /// Whether the whole path matches in its compared form: unreserved characters decoded once.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.compiled.is_match(&canonical(path))
    }

    /// What a group matched. None if there is no such group, or it took no part.
    #[must_use]
    pub fn group(&self, name: &str, path: &[u8]) -> Option<Vec<u8>> {
        let path = canonical(path);
        let found = self.compiled.captures(&path)?;
        Some(found.name(name)?.as_bytes().to_vec())
    }
}

fn check_alone(text: &str) -> Result<(), PathRegexError> {
    let alone = RegexBuilder::new(text).unicode(false).build();
    alone
        .map(drop)
        .map_err(|error| PathRegexError::from(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_paths_match() {
        let regex = PathRegex::parse("/orders/(?<id>[0-9]{1,9})(?<rest>/.*)?").unwrap();
        for (path, id) in [
            (&b"/orders/12"[..], Some(&b"12"[..])),
            (b"/orders/%31%32", Some(b"12")),
            (b"/orders/12/lines", Some(b"12")),
            (b"/orders/12x", None),
            (b"/x/orders/12", None),
            (b"/orders/1234567890", None),
            (b"/orders/12\n", None),
        ] {
            assert_eq!(regex.matches(path), id.is_some(), "{path:?}");
            assert_eq!(regex.group("id", path).as_deref(), id, "{path:?}");
        }
        assert_eq!(regex.group("rest", b"/orders/12"), None);
        assert_eq!(regex.group("none", b"/orders/12"), None);
        assert_eq!(regex.groups().collect::<Vec<_>>(), ["id", "rest"]);
    }

    #[test]
    fn an_alternative_stays_inside() {
        let regex = PathRegex::parse("/a|/b").unwrap();
        assert!(regex.matches(b"/a") && regex.matches(b"/b"));
        assert!(!regex.matches(b"/ab") && !regex.matches(b"/a/b"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["(", "/a)|(/b", "(?=x)", r"(a)\1", "(?:[0-9]{1000}){1000}"] {
            assert!(PathRegex::parse(text).is_err(), "{text}");
        }
    }
}
