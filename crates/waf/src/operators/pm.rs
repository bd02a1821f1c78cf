//! `@pm` and `@pmFromFile`: any of many phrases, in one pass over the value.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, Input, Match, MatchKind};

use super::{Captures, CompileContext, CompileError, EmptyFiles};
use crate::kept::Kept;
use crate::steps::{self, OutOfTime, STEP};

/// Phrases to look for, without regard to the case of ASCII letters.
#[derive(Debug)]
pub struct Phrases {
    list: Arc<List>,
    /// The warning about its files without a phrase.
    empty_files: Option<EmptyFiles>,
}

/// The compiled phrases, which all rules with the same ones share.
#[derive(Debug)]
struct List {
    phrases: Vec<Vec<u8>>,
    automaton: AhoCorasick,
    /// Bytes of the longest phrase: pieces of a long value overlap by one less.
    longest: usize,
}

/// What the files of `@pmFromFile` hold.
#[derive(Debug)]
pub(super) enum FilePhrases {
    /// At least one phrase.
    Some(Phrases),
    /// None at all, which is no error: a list that something else fills is empty on its first day.
    None(EmptyFiles),
}

impl Phrases {
    /// `@pm`: phrases separated by blanks.
    pub(super) fn of_argument(argument: &str) -> Result<Self, CompileError> {
        let content = content(unquoted(argument.as_bytes()));
        Self::new(words(&content).map(<[u8]>::to_vec).collect())
    }

    /// `@pmFromFile`: files separated by blanks, with a phrase on each line. If all of them are empty, the inner error
    /// is the warning: another program may fill the file later, so this is no reason to refuse the rules.
    pub(super) fn of_files(
        argument: &str,
        context: &CompileContext<'_>,
    ) -> Result<FilePhrases, CompileError> {
        let mut phrases = Vec::new();
        let mut empty = Vec::new();
        for (file, contents) in context.files(argument)? {
            let before = phrases.len();
            phrases.extend(lines(&contents).map(content));
            if phrases.len() == before {
                empty.push(file);
            }
        }
        Ok(match EmptyFiles::new(&empty) {
            Some(files) if phrases.is_empty() => FilePhrases::None(files),
            empty_files => FilePhrases::Some(Self {
                empty_files,
                ..Self::new(phrases)?
            }),
        })
    }

    /// The warning about its files without an entry.
    pub(super) fn empty_files(&self) -> Option<&EmptyFiles> {
        self.empty_files.as_ref()
    }

    fn new(phrases: Vec<Vec<u8>>) -> Result<Self, CompileError> {
        static LISTS: Kept<Vec<Vec<u8>>, List> = Kept::new();
        let list = LISTS.get(phrases.clone(), || List::new(phrases))?;
        Ok(Self {
            list,
            empty_files: None,
        })
    }

    /// The phrases, in the order of the argument or the file.
    #[must_use]
    pub fn phrases(&self) -> &[Vec<u8>] {
        &self.list.phrases
    }

    /// Whether one of them occurs. Captures it as it stands in the value.
    ///
    /// # Errors
    /// There is no time left.
    pub fn evaluate(
        &self,
        value: &[u8],
        captures: Option<&mut Captures>,
    ) -> Result<bool, OutOfTime> {
        let Some(found) = self.list.find(value)? else {
            return Ok(false);
        };
        if let Some(captures) = captures {
            captures.clear();
            captures.push_range(found.range());
        }
        Ok(true)
    }
}

impl List {
    fn new(phrases: Vec<Vec<u8>>) -> Result<Self, CompileError> {
        if phrases.is_empty() {
            return Err(CompileError::new("there is no phrase to look for"));
        }
        let automaton = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            // As in ModSecurity, the phrase that ends first is captured.
            .match_kind(MatchKind::Standard)
            .build(&phrases)
            .map_err(|e| CompileError::new(format!("these phrases cannot be compiled: {e}")))?;
        let longest = phrases.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Self {
            phrases,
            automaton,
            longest,
        })
    }

    /// The phrase that ends first.
    fn find(&self, value: &[u8]) -> Result<Option<Match>, OutOfTime> {
        if value.len() <= STEP {
            return Ok(self.automaton.find(value));
        }
        // Piece by piece in order, so the first match is the one that ends first.
        for start in (0..value.len()).step_by(STEP) {
            let end = value.len().min(start + STEP);
            // A phrase that ends in this piece may begin before it.
            let from = start.saturating_sub(self.longest.saturating_sub(1));
            steps::work(end - from)?;
            if let Some(found) = self.automaton.find(Input::new(value).range(from..end)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// The lines of a data file, trimmed, without empty ones and comments.
pub(super) fn lines(contents: &[u8]) -> impl Iterator<Item = &[u8]> {
    contents
        .split(|&b| b == b'\n')
        .map(trim)
        .filter(|line| !line.is_empty() && line[0] != b'#')
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| is_blank(b)).filter(|w| !w.is_empty())
}

/// `\v` is a blank in C and none in Rust.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// Without the quotes around the whole argument.
pub(super) fn unquoted(argument: &[u8]) -> &[u8] {
    match trim(argument) {
        [b'"', inside @ .., b'"'] => inside,
        whole => whole,
    }
}

/// Phrases may hold bytes in hexadecimal between bars, as in Snort's rules: `A|42 43|D`. A backslash escapes `: ; \ "`.
/// As in ModSecurity, text that does not follow this syntax is taken literally.
pub(super) fn content(text: &[u8]) -> Vec<u8> {
    decoded(text).unwrap_or_else(|| text.to_vec())
}

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, more @ ..] = rest {
        rest = more;
        match first {
            b'\\' => {
                let (escaped, more) = rest.split_first()?;
                if !b":;\\\"".contains(escaped) {
                    return None;
                }
                out.push(*escaped);
                rest = more;
            }
            b'|' => {
                let length = memchr::memchr(b'|', rest)?;
                out.extend(hex(&rest[..length])?);
                rest = &rest[length + 1..];
            }
            _ => out.push(*first),
        }
    }
    Some(out)
}

/// `41 42 43` or `414243`.
fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .iter()
        .filter(|b| **b != b' ')
        .map(|&b| {
            char::from(b)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        })
        .collect();
    // Half a byte is none: the phrase is then text, as it stands.
    let digits = digits.filter(|d| !d.is_empty() && d.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(argument: &str, value: &str) -> Option<String> {
        let phrases = Phrases::of_argument(argument).unwrap();
        let mut captures = Captures::default();
        phrases
            .evaluate(value.as_bytes(), Some(&mut captures))
            .unwrap()
            .then(|| {
                let word = captures.group(0, value.as_bytes()).unwrap();
                String::from_utf8_lossy(word).into_owned()
            })
    }

    #[test]
    fn finds_phrases_in_any_case_and_says_which() {
        assert_eq!(found("abc DEF", "xxdEfxx"), Some("dEf".to_owned()));
        assert_eq!(found("abc", ""), None);
        assert_eq!(found("abcd bc", "abcd"), Some("bc".to_owned()));
        assert_eq!(found("é", "xÉ"), None, "only ASCII letters have case");
        assert!(Phrases::of_argument("  ").is_err());
    }

    #[test]
    fn reads_hex_and_escapes() {
        for (text, expected) in [
            ("A|42|C", "ABC"),
            ("|41 42 4a|", "ABJ"),
            ("|4142|x", "ABx"),
            ("a\\;b\\\\", "a;b\\"),
            ("a|b", "a|b"),
            ("a||b", "a||b"),
            ("a|4|b", "a|4|b"),
            ("c:\\win", "c:\\win"),
            ("end\\", "end\\"),
        ] {
            assert_eq!(content(text.as_bytes()), expected.as_bytes(), "{text}");
        }
        assert_eq!(unquoted(b" \"a b\" "), b"a b");
        assert_eq!(unquoted(b"\""), b"\"");
    }

    #[test]
    fn reads_files_line_by_line() {
        let read = |name: &str| match name {
            "a" => Ok(b"# no\n  two words \r\n\n".to_vec()),
            "b" => Ok(b"b|42|".to_vec()),
            "empty" => Ok(b"#\n".to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let context = CompileContext { read_data: &read };
        let FilePhrases::Some(phrases) = Phrases::of_files("a  b", &context).unwrap() else {
            panic!("a and b hold phrases");
        };
        assert_eq!(phrases.phrases(), [b"two words".to_vec(), b"bB".to_vec()]);
        let error = Phrases::of_files("a gone", &context).unwrap_err();
        assert!(error.message.contains("gone"), "{}", error.message);
        assert_eq!(error.at, Some(2..6));
        let FilePhrases::None(empty) = Phrases::of_files("empty", &context).unwrap() else {
            panic!("the file holds no phrase");
        };
        let warning = "empty has no entry, so nothing matches it";
        assert_eq!(empty.to_string(), warning);
        let FilePhrases::Some(both) = Phrases::of_files("a empty", &context).unwrap() else {
            panic!("a holds a phrase");
        };
        assert_eq!(both.empty_files(), Some(&empty));
        assert!(Phrases::of_files("", &context).is_err());
    }
}
