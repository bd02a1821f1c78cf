//! Operators that compare text. All are case-sensitive and compare bytes.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::ops::Range;

use memchr::memmem;

use super::{CompileError, pm};
use crate::steps::{self, OutOfTime, STEP};

/// Bytes. Up to this length, trying each place costs less than preparing a search.
const SHORT_LIST: usize = 1024;

/// `@contains`: the argument occurs in the value; an empty argument always does.
#[must_use]
pub fn contains(argument: &[u8], value: &[u8]) -> bool {
    memmem::find(value, argument).is_some()
}

/// `@within`: the value occurs in the argument; an empty value always does.
#[must_use]
pub fn within(argument: &[u8], value: &[u8]) -> bool {
    // The rarest byte of the value has the fewest places to try.
    let Some((at, &rare)) = (0..).zip(value).min_by_key(|(_, b)| commonness(**b)) else {
        return true;
    };
    let Some(last) = argument.len().checked_sub(value.len()) else {
        return false;
    };
    if argument.len() > SHORT_LIST {
        return memmem::find(argument, value).is_some();
    }
    memchr::memchr_iter(rare, &argument[at..=at + last])
        .any(|start: usize| argument[start..].starts_with(value))
}

/// A rough order of how often a byte stands in lists: separators most of all, then letters by their frequency in
/// English. It affects speed only.
fn commonness(byte: u8) -> u8 {
    const fn table() -> [u8; 256] {
        let order = b"zqxjkvbywgpfmucdlhrsnioate0123456789=.-,|/ ";
        let mut table = [0; 256];
        let (mut at, mut rank) = (0, 1);
        while at < order.len() {
            table[order[at] as usize] = rank;
            table[order[at].to_ascii_uppercase() as usize] = rank;
            (at, rank) = (at + 1, rank + 1);
        }
        table
    }
    const TABLE: [u8; 256] = table();
    TABLE[usize::from(byte)]
}

/// `@containsWord`: the argument occurs in the value with no word character right before or after it; an
/// empty argument always does.
///
/// # Errors
/// There is no time left.
pub fn contains_word(argument: &[u8], value: &[u8]) -> Result<bool, OutOfTime> {
    Ok(find_word(argument, value)?.is_some())
}

/// The first such place.
///
/// # Errors
/// There is no time left.
pub(super) fn find_word(argument: &[u8], value: &[u8]) -> Result<Option<Range<usize>>, OutOfTime> {
    if argument.is_empty() {
        return Ok(Some(0..0));
    }
    // Occurrences may overlap. This is the search of Knuth, Morris and Pratt, which is linear for every value.
    let borders = borders(argument);
    let mut matched = 0;
    for (i, &byte) in value.iter().enumerate() {
        if i % STEP == STEP - 1 {
            steps::work(STEP)?;
        }
        while matched > 0 && (matched == argument.len() || argument[matched] != byte) {
            matched = borders[matched - 1];
        }
        if argument[matched] == byte {
            matched += 1;
        }
        if matched == argument.len() {
            // The occurrence ends at `i` and is `matched` bytes long.
            let before = (i + 1).checked_sub(matched + 1).and_then(|b| value.get(b));
            let after = value.get(i + 1);
            if !before.is_some_and(is_word) && !after.is_some_and(is_word) {
                return Ok(Some(i + 1 - matched..i + 1));
            }
        }
    }
    Ok(None)
}

/// For each prefix the length of its longest proper prefix that is also its suffix.
fn borders(text: &[u8]) -> Vec<usize> {
    let mut borders = vec![0; text.len()];
    let mut matched = 0;
    for i in 1..text.len() {
        while matched > 0 && text[matched] != text[i] {
            matched = borders[matched - 1];
        }
        if text[matched] == text[i] {
            matched += 1;
        }
        borders[i] = matched;
    }
    borders
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "used with Option<&u8>")]
fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

/// The needle of `@strmatch`, written like a phrase of `@pm`. Blanks are part of it.
pub(super) fn strmatch_needle(argument: &str) -> Result<Vec<u8>, CompileError> {
    let needle = pm::content(pm::unquoted(argument.as_bytes()));
    if needle.is_empty() {
        return Err(CompileError::new("@strmatch needs text to look for"));
    }
    Ok(needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_is_a_search() {
        let pieces = ["/a/", "z", "/", "e", "q/z", " "];
        let join = |mut number: usize| {
            let mut text = String::new();
            while number > 0 {
                text += pieces[number % pieces.len()];
                number /= pieces.len();
            }
            text
        };
        for argument in (0..6usize.pow(4)).map(join) {
            for value in (0..6usize.pow(3)).map(join) {
                assert_eq!(
                    within(argument.as_bytes(), value.as_bytes()),
                    argument.contains(&value),
                    "{value:?} in {argument:?}"
                );
            }
        }
    }

    #[test]
    fn words_stand_alone() {
        for (argument, value, found) in [
            ("", "", true),
            ("", "x", true),
            ("x", "", false),
            ("x", "x", true),
            ("aa", "aaa aa", true),
            ("aa", "aaa", false),
            ("a b", "xa b a b", true),
            ("a b", "xa b_a b", false),
            ("-a", "b-a", false),
            ("-a", "b--a", true),
            ("-a-a", "-a-a-a", true),
            ("-a-a-", "-a-a-a-a-", false),
            ("-a-a-", "-a-a--a-a-", true),
            ("é", "aé", false),
            ("a", "éaé", true),
        ] {
            let naive = value.as_bytes();
            assert_eq!(
                contains_word(argument.as_bytes(), naive),
                Ok(found),
                "{argument:?} in {value:?}"
            );
        }
    }
}
