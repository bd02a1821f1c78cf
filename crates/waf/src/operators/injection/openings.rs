//! Beginnings of values in which libinjection reads all that it reads, and finds no SQL injection.
//!
//! It folds at most five tokens and then reads no further. Values that differ only after that, such as the names of
//! browsers, have one verdict. Each thread remembers a few such beginnings. An opening holds no byte that makes a token
//! depend on what is far behind it, so it decides about a value as long as that has no quotes: those are read otherwise.

#![allow(
    clippy::indexing_slicing,
    reason = "a hash is taken modulo the length of the list"
)]

use std::cell::RefCell;

use libinjectionrs::sqli::{SqliFlags, SqliState, SqliTokenizer, blacklist};

use crate::byteset::ByteSet;
use crate::hash::{hash_bytes, seed};

/// Openings that a thread remembers.
const MOST: usize = 16;
/// Bytes. Openings of ordinary values are shorter.
const LONGEST: usize = 128;
/// An opening is looked for once, when this many bytes begin a second value: most texts have beginnings of their own.
const START: usize = 16;
/// How many beginnings of that length are remembered.
const STARTS: usize = 64;
/// Bytes that decide about a token and follow it: at most two.
const LOOK_AHEAD: usize = 4;

/// Bytes that begin strings, comments, variables and quoted words, and NUL, which is read as a blank.
const FAR_READING: ByteSet = ByteSet::of(b"'\"`\\@$#[{\0");

thread_local! {
    static KNOWN: RefCell<Openings> = RefCell::default();
}

#[derive(Debug)]
struct Openings {
    known: Vec<Box<[u8]>>,
    /// The place that the next one takes.
    next: usize,
    /// Hashes of the beginnings of values that were read, and whether an opening was looked for.
    starts: [(u64, bool); STARTS],
}

impl Default for Openings {
    fn default() -> Self {
        Self {
            known: Vec::new(),
            next: 0,
            starts: [(0, false); STARTS],
        }
    }
}

/// Whether the value begins with a known opening, so that it is no SQL injection.
pub(super) fn is_known(value: &[u8]) -> bool {
    KNOWN.with_borrow(|openings| openings.begin(value))
}

/// Notes a value that is no SQL injection.
pub(super) fn learn(value: &[u8]) {
    KNOWN.with_borrow_mut(|openings| openings.learn(value));
}

impl Openings {
    fn begin(&self, value: &[u8]) -> bool {
        let begins = self.known.iter().any(|known| value.starts_with(known));
        begins && memchr::memchr2(b'\'', b'"', value).is_none()
    }

    fn learn(&mut self, value: &[u8]) {
        let Some(start) = value.get(..START) else {
            return;
        };
        let hash = hash_bytes(seed(), start);
        // The remainder is below the length.
        #[allow(clippy::cast_possible_truncation)]
        let (known, looked) = &mut self.starts[(hash % STARTS as u64) as usize];
        if *known != hash {
            (*known, *looked) = (hash, false);
            return;
        }
        if std::mem::replace(looked, true) {
            return;
        }
        let Some(opening) = opening(value) else {
            return;
        };
        match self.known.get_mut(self.next) {
            Some(place) => *place = opening.into(),
            None => self.known.push(opening.into()),
        }
        self.next = (self.next + 1) % MOST;
    }
}

/// The bytes of a harmless value that decide about every value that begins with them; None if that is not certain.
fn opening(value: &[u8]) -> Option<&[u8]> {
    let flags = SqliFlags::FLAG_SQL_ANSI | SqliFlags::FLAG_QUOTE_NONE;
    let start = value.get(..value.len().min(LONGEST))?;
    let mut state = SqliState::new(start, flags);
    // What is a known fingerprint and still harmless may be an attack with other bytes at the end.
    if blacklist::is_blacklisted(state.get_fingerprint().as_str()) {
        return None;
    }
    let mut tokenizer = SqliTokenizer::new(start, flags);
    for _ in 0..state.stats_tokens {
        tokenizer.next_token()?;
    }
    // There is a token more than was read, so the value did not end before.
    let next = tokenizer.next_token()?;
    let opening = start.get(..next.pos + LOOK_AHEAD)?;
    let is_near = |byte: &u8| !FAR_READING.contains(*byte);
    let comments = opening.windows(2).any(|two| matches!(two, b"--" | b"/*"));
    (opening.iter().all(is_near) && !comments).then_some(opening)
}

#[cfg(test)]
mod tests {
    use super::super::sqli;
    use super::*;
    use crate::random::Xorshift;
    use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

    fn learned(value: &[u8]) -> Openings {
        let mut openings = Openings::default();
        openings.learn(value);
        openings.learn(value);
        openings
    }

    /// Some pieces of SQL and of text.
    fn text(numbers: &mut Xorshift, words: &[&str], most: usize) -> Vec<u8> {
        let plain = [
            "Mozilla",
            "5.0",
            "x64",
            "1",
            "0x1f",
            "1.5e",
            "1e5",
            "a.b",
            "1f",
            "7d",
            "n",
            "sp_password",
        ];
        let marks = b" ()(),;/ *-+=<>!%^~.:?&|  \t\n\xa0'\"`#$@[\\{}]\0";
        let mut value = Vec::new();
        for _ in 0..=numbers.below(most) {
            match numbers.below(8) {
                0..=2 => value.extend_from_slice(words[numbers.below(words.len())].as_bytes()),
                3 | 4 => value.extend_from_slice(plain[numbers.below(plain.len())].as_bytes()),
                5 => value.push(marks[numbers.below(marks.len())]),
                // Those that make no opening impossible.
                _ => value.push(marks[numbers.below(24)]),
            }
            if numbers.below(2) == 0 {
                value.push(b' ');
            }
        }
        value
    }

    #[test]
    fn an_opening_decides_whatever_follows() {
        let mut numbers = Xorshift::new(5);
        let words = SQL_KEYWORDS.iter().filter(|k| k.token_type != b'F');
        let words: Vec<&str> = words.map(|k| k.word).collect();
        let (mut openings, mut verdicts) = (0, 0);
        for _ in 0..60_000 {
            let value = text(&mut numbers, &words, 16);
            if sqli::fingerprint(&value).unwrap().is_some() {
                continue;
            }
            let known = learned(&value);
            let [opening] = &*known.known else {
                continue;
            };
            openings += 1;
            for _ in 0..8 {
                let mut other = opening.to_vec();
                other.extend(text(&mut numbers, &words, 6));
                if known.begin(&other) {
                    verdicts += 1;
                    let fingerprint = sqli::fingerprint(&other).unwrap();
                    assert!(
                        fingerprint.is_none(),
                        "{} after {}",
                        other.escape_ascii(),
                        opening.escape_ascii()
                    );
                }
            }
        }
        assert!(
            openings > 2000 && verdicts > 10_000,
            "{openings} {verdicts}"
        );
    }

    #[test]
    fn browsers_have_openings() {
        let windows =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)";
        let known = learned(windows.as_bytes());
        let other =
            |rest: &str| known.begin(&[&windows.as_bytes()[..60], rest.as_bytes()].concat());
        assert!(other("") && other(" Chrome/120.0.1.2 Safari/537.36") && other(" union select 1"));
        assert!(!other("' or '1'='1") && !other("\" or 1=1 --"));
        assert!(!known.begin(b"Mozilla/5.0") && !known.begin(b""));
        // The first of its kind, short ones and those with a far-reading mark teach nothing.
        let mut once = Openings::default();
        once.learn(windows.as_bytes());
        assert!(once.known.is_empty());
        for value in [
            &b"a(b"[..],
            b"f(x), g(y), h(z) /* i(j) */, k(l), m(n)",
            b"it's (a) long, long (text) with (marks)",
        ] {
            let found = learned(value).known;
            assert!(
                found.iter().all(|opening| !opening.contains(&b'\'')),
                "{found:?}"
            );
        }
        let mut many = Openings::default();
        for n in 0..10 * MOST {
            let value = format!("Browser{n}/1.0 (x; y; z; w; v; u; t; s; r; q; p)");
            many.learn(value.as_bytes());
            many.learn(value.as_bytes());
        }
        assert!(many.known.len() <= MOST);
    }
}
