//! "Did you mean" for the names of operators.

use super::catalogue::OPERATORS;
use crate::suggest::{Known, meant};

const OPERATOR_WORDS: Known = &[
    ("equal", "streq"),
    ("equals", "streq"),
    ("gte", "ge"),
    ("in", "within"),
    ("ip", "ipMatch"),
    ("libinjection_sqli", "detectSQLi"),
    ("libinjection_xss", "detectXSS"),
    ("lte", "le"),
    ("match", "rx"),
    ("matches", "rx"),
    ("pcre", "rx"),
    ("phrase", "pm"),
    ("phrasematch", "pm"),
    ("re", "rx"),
    ("regex", "rx"),
    ("regexp", "rx"),
    ("sqli", "detectSQLi"),
    ("startswith", "beginsWith"),
    ("xss", "detectXSS"),
];

pub(super) fn operator(name: &str) -> Option<String> {
    let known = OPERATORS.iter().map(|entry| entry.name);
    Some(format!(
        "did you mean @{}?",
        meant(name, OPERATOR_WORDS, known)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_operator_that_is_meant() {
        for (name, expected) in [
            ("regex", "@rx"),
            ("contians", "@contains"),
            ("beginWith", "@beginsWith"),
        ] {
            let expected = format!("did you mean {expected}?");
            assert_eq!(operator(name), Some(expected));
        }
        assert_eq!(operator("zzzzzzzz"), None);
    }
}
