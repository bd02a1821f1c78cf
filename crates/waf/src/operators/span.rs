//! Where in a matching value an operator found what it looks for, for a person who asks why a request was refused.
//!
//! The operator runs once more for that, and only for a match that is recorded: a search that need not say where is
//! faster, and nobody reads the place of a match that leaves no record.

use std::ops::Range;

use memchr::memmem;

use super::{Captures, Group, Operator, bytes, text};
use crate::steps::STEP;

impl Operator {
    /// The bytes of `value` that made this operator hold; None if it holds for no place, or if they are not among the
    /// first `most`. An operator that judges a value as a whole holds for all of it.
    ///
    /// `argument` is expanded anew. If the rule has changed a variable of it since, nothing may be found.
    pub(crate) fn span(&self, argument: &[u8], value: &[u8], most: usize) -> Option<Range<usize>> {
        let from = |start: usize| start..start + argument.len();
        let span = match self {
            Self::BeginsWith => value.starts_with(argument).then(|| from(0)),
            Self::EndsWith => value
                .ends_with(argument)
                .then(|| from(value.len() - argument.len())),
            Self::Contains => memmem::find(value, argument).map(from),
            Self::ContainsWord => text::find_word(argument, value).ok()?,
            Self::StrMatch(needle) => {
                let start = needle.find(value)?;
                Some(start..start + needle.needle().len())
            }
            Self::StrEq
            | Self::Within
            | Self::Compare(_)
            | Self::IpMatch(_)
            | Self::DetectSqli
            | Self::DetectXss => Some(0..value.len()),
            Self::Rx(pattern) | Self::RxGlobal(pattern) => pattern.find_among(value, most).ok()?,
            Self::RxExpanded(patterns) => {
                let pattern = patterns.pattern(argument).ok()?;
                pattern.find_among(value, most).ok()?
            }
            Self::Phrases(_) => self.captured(argument, value),
            // The search in a long value costs so much that it could use up the time of the rules behind.
            Self::Verify(..) if value.len() > STEP => None,
            Self::Verify(..) => self.captured(argument, value),
            Self::ForbiddenBytes(forbidden) => {
                let at = bytes::first_of(forbidden, value).ok()??;
                Some(at..at + 1)
            }
            Self::ValidateUrlEncoding => {
                let at = bytes::first_invalid_escape(value).ok()??;
                // The end of the value may cut the escape.
                Some(at..value.len().min(at + 3))
            }
            Self::ValidateUtf8Encoding => {
                let error = std::str::from_utf8(value).err()?;
                // Without a length the value ends within a character.
                let (start, length) = (error.valid_up_to(), error.error_len());
                Some(start..length.map_or(value.len(), |length| start + length))
            }
            Self::NoMatch | Self::Inert(_) | Self::NoPhrases(_) | Self::UnconditionalMatch => None,
        };
        span.filter(|span| span.end <= most)
    }

    /// What it captures as a whole.
    fn captured(&self, argument: &[u8], value: &[u8]) -> Option<Range<usize>> {
        let mut captures = Captures::default();
        let holds = self.evaluate(argument, value, Some(&mut captures));
        match captures.groups().first() {
            Some(Group::OfValue(span)) if holds == Ok(true) => Some(span.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CompileContext;
    use super::*;

    fn operator(name: &str, argument: &str) -> Operator {
        let context = CompileContext {
            read_data: &|_| Ok(b"192.0.2.0/24\n".to_vec()),
        };
        Operator::compile(name, argument, &context).unwrap()
    }

    /// The text that the operator finds in a value for which it holds.
    fn found<'v>(name: &str, argument: &str, value: &'v str) -> Option<&'v [u8]> {
        let operator = operator(name, argument);
        let (argument, value) = (argument.as_bytes(), value.as_bytes());
        assert_eq!(operator.evaluate(argument, value, None), Ok(true), "{name}");
        let span = operator.span(argument, value, 2048)?;
        Some(&value[span])
    }

    #[test]
    fn each_operator_says_where() {
        for (name, argument, value, expected) in [
            ("beginsWith", "ab", "abab", "ab"),
            ("endsWith", "b", "abab", "b"),
            ("contains", "ba", "abab", "ba"),
            ("containsWord", "ab", "abx ab", "ab"),
            ("streq", "ab", "ab", "ab"),
            ("strmatch", "b|61|", "abab", "ba"),
            ("within", "ab cd", "cd", "cd"),
            ("ge", "5", "15", "15"),
            ("rx", "b+", "abba", "bb"),
            ("rx", "(?<=a)b(?=b)", "abba", "b"),
            ("rxGlobal", "b(.)", "aba bc", "ba"),
            ("pm", "xy BA", "abab", "ba"),
            ("ipMatch", "192.0.2.0/24", "192.0.2.9", "192.0.2.9"),
            ("validateByteRange", "97-122", "ab1c2", "1"),
            ("validateUrlEncoding", "", "%41%zz1", "%zz"),
            ("validateUrlEncoding", "", "%41%4", "%4"),
            (
                "verifyCC",
                r"\d{16}",
                "no 4111111111111111.",
                "4111111111111111",
            ),
            ("detectSQLi", "", "1' or '1'='1", "1' or '1'='1"),
            ("detectXSS", "", "<script>a", "<script>a"),
        ] {
            let found = found(name, argument, value);
            assert_eq!(found, Some(expected.as_bytes()), "{name} {argument}");
        }
        assert_eq!(found("unconditionalMatch", "", "a"), None);
        let expanded = operator("rx", "%{tx.a}+");
        assert_eq!(expanded.span(b"b+", b"abba", 2048), Some(1..3));
        let word = operator("containsWord", "ab").span(b"ab", b"abx ab", 2048);
        assert_eq!(word, Some(4..6));
        let utf8 = operator("validateUtf8Encoding", "");
        assert_eq!(utf8.span(b"", b"ab\xff\xffc", 2048), Some(2..3));
        assert_eq!(utf8.span(b"", b"ab\xe2\x82", 2048), Some(2..4));
    }

    #[test]
    fn what_is_not_recorded_has_no_place() {
        let long = [vec![b'a'; 3 * STEP], b"b1".to_vec()].concat();
        for (name, argument) in [
            ("rx", "b"),
            ("rx", "(?=b)b"),
            ("contains", "b"),
            ("pm", "b"),
        ] {
            let operator = operator(name, argument);
            assert_eq!(operator.span(argument.as_bytes(), &long, 2048), None);
        }
        assert_eq!(operator("rx", "^a").span(b"^a", &long, 2048), Some(0..1));
        assert_eq!(operator("rx", "a.*b").span(b"", &long, 2048), None);
        assert_eq!(operator("contains", "a").span(b"a", b"ba", 1), None);
        // The argument is not the one that matched.
        assert_eq!(operator("beginsWith", "%{tx.a}").span(b"b", b"a", 9), None);
    }
}
