//! Recognises SQL injection by the fingerprint of the value's tokens.
//!
//! The value is read as it stands and as if it stood in a quoted string, and each time folded to at most five tokens.
//! The types of the tokens are the fingerprint. A known fingerprint is an attack unless the value looks like prose.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::byteset::ByteSet;
use crate::steps::{self, OutOfTime, STEP};
use libinjectionrs::sqli::{
    Fingerprint, SqliFlags, SqliState, SqliTokenizer, Token, TokenType, blacklist,
};

/// Bytes that are kept of the beginning and of the end of a very long word. No keyword is longer than 31.
const WORD_END: usize = 256;
/// The longest word that is read as it is.
const LONGEST_WORD: usize = 2 * WORD_END;

/// Bytes of a long value that are read first.
const FIRST_READ: usize = 4 * 1024;
/// How many times as much is read next. The sum of all readings is less than one and a half times the last one.
const GROWTH: u32 = 4;

/// The most bytes that the crate looks ahead without consuming them: a word.
const LOOK_AHEAD: usize = 4 * WORD_END;

/// The cost of a byte compared with other work: folding may make a word of each byte.
const WEIGHT: usize = 16;

/// How a value is read: the quote it is taken to stand in, and whose SQL it is.
#[derive(Clone, Copy)]
enum Reading {
    Ansi(Option<u8>),
    MySql(Option<u8>),
}

/// The fingerprint of the first reading that is an attack.
pub(super) fn fingerprint(value: &[u8]) -> Result<Option<Fingerprint>, OutOfTime> {
    if value.is_empty() {
        return Ok(None);
    }
    let value = &*prepared(value);
    let readings = [None, Some(b'\''), Some(b'"')]
        .into_iter()
        // Without the quote the value cannot leave the quoted string.
        .filter(|quote| quote.is_none_or(|q| memchr::memchr(q, value).is_some()));
    for quote in readings {
        // Only MySQL has strings in double quotes.
        if quote == Some(b'"') {
            return Ok(attack(value, Reading::MySql(quote))?.ok());
        }
        match attack(value, Reading::Ansi(quote))? {
            Ok(found) => return Ok(Some(found)),
            Err(Comments::Differ) => {
                if let Ok(found) = attack(value, Reading::MySql(quote))? {
                    return Ok(Some(found));
                }
            }
            Err(Comments::Same) => {}
        }
    }
    Ok(None)
}

/// The value as the crate can read it: without NUL, without endless words.
fn prepared(value: &[u8]) -> Cow<'_, [u8]> {
    let mut value = Cow::Borrowed(value);
    // NUL acts as a blank, but the crate takes it for part of the name of a variable.
    if memchr::memchr(0, &value).is_some() {
        for byte in value.to_mut() {
            if *byte == 0 {
                *byte = b' ';
            }
        }
    }
    // The crate takes quadratic time for one word. Only the beginning and the end of a word decide what it means, so
    // the middle of a very long one is left out.
    let is_long = |word: &&[u8]| word.len() > LONGEST_WORD;
    if has_longer_word(&value, LONGEST_WORD) {
        let mut shortened = Vec::with_capacity(value.len());
        for word in value.split_inclusive(ends_word) {
            if is_long(&word) {
                shortened.extend_from_slice(&word[..WORD_END]);
                shortened.extend_from_slice(&word[word.len() - WORD_END..]);
            } else {
                shortened.extend_from_slice(word);
            }
        }
        value = Cow::Owned(shortened);
    }
    value
}

/// Whether a word of the value is longer than `most`. Such a word stands at some place that is a multiple of `most`, so
/// only the words at these places are measured.
fn has_longer_word(value: &[u8], most: usize) -> bool {
    (0..value.len()).step_by(most).any(|at| {
        let (before, after) = value.split_at(at);
        let left = before.iter().rev().take(most).take_while(is_in_word);
        let right = after.iter().take(most + 1).take_while(is_in_word);
        let right = right.count();
        right > 0 && left.count() + right > most
    })
}

fn is_in_word(byte: &&u8) -> bool {
    !ends_word(byte)
}

fn ends_word(byte: &u8) -> bool {
    const ENDS: ByteSet = ByteSet::of(b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0");
    ENDS.contains(*byte)
}

/// Whether the value holds comments that MySQL reads in another way.
enum Comments {
    Same,
    Differ,
}

fn attack(value: &[u8], reading: Reading) -> Result<Result<Fingerprint, Comments>, OutOfTime> {
    let (state, fingerprint) = read(value, reading)?;
    Ok(judge(&state, fingerprint, value))
}

/// Folds the value's tokens. The crate cannot be interrupted, but mostly needs little of a long value. So it reads a
/// beginning first, and a longer one if that did not suffice.
fn read(value: &[u8], reading: Reading) -> Result<(SqliState<'_>, Fingerprint), OutOfTime> {
    let mut length = FIRST_READ;
    let mut took = Duration::ZERO;
    while value.len() > STEP && length < value.len() {
        may_read(length, took)?;
        let begun = Instant::now();
        let beginning = &value[..length];
        let mut state = SqliState::new(beginning, reading.flags());
        let fingerprint = state.get_fingerprint();
        if ends_within(beginning, reading, state.stats_tokens) {
            return Ok((state, fingerprint));
        }
        length *= GROWTH as usize;
        took = begun.elapsed();
    }
    if value.len() > STEP {
        may_read(value.len(), took)?;
    }
    let mut state = SqliState::new(value, reading.flags());
    let fingerprint = state.get_fingerprint();
    Ok((state, fingerprint))
}

/// Whether there is time to read so many bytes, if the beginning before took this long.
fn may_read(length: usize, before: Duration) -> Result<(), OutOfTime> {
    steps::work(WEIGHT * length)?;
    if steps::exceeds(before.saturating_mul(GROWTH)) {
        return Err(steps::give_up());
    }
    Ok(())
}

/// Whether the first `tokens` tokens and one more begin well before the end of this beginning. Then what follows cannot
/// be part of them.
fn ends_within(beginning: &[u8], reading: Reading, tokens: usize) -> bool {
    let mut tokenizer = SqliTokenizer::new(beginning, reading.flags());
    for _ in 0..tokens {
        if tokenizer.next_token().is_none() {
            return false;
        }
    }
    tokenizer
        .next_token()
        .is_some_and(|next| next.pos + LOOK_AHEAD < beginning.len())
}

fn judge(
    state: &SqliState<'_>,
    fingerprint: Fingerprint,
    value: &[u8],
) -> Result<Fingerprint, Comments> {
    if blacklist::is_blacklisted(fingerprint.as_str()) && !is_lookalike(state, value) {
        return Ok(fingerprint);
    }
    if state.stats_comment_ddx != 0 || state.stats_comment_hash != 0 {
        Err(Comments::Differ)
    } else {
        Err(Comments::Same)
    }
}

impl Reading {
    fn flags(self) -> SqliFlags {
        let (dialect, quote) = match self {
            Self::Ansi(quote) => (SqliFlags::FLAG_SQL_ANSI, quote),
            Self::MySql(quote) => (SqliFlags::FLAG_SQL_MYSQL, quote),
        };
        let quote = match quote {
            Some(b'\'') => SqliFlags::FLAG_QUOTE_SINGLE,
            Some(_) => SqliFlags::FLAG_QUOTE_DOUBLE,
            None => SqliFlags::FLAG_QUOTE_NONE,
        };
        dialect | quote
    }
}

/// Whether a value with a known fingerprint is ordinary text all the same.
fn is_lookalike(state: &SqliState<'_>, value: &[u8]) -> bool {
    let length = state
        .fingerprint
        .iter()
        .position(|&b| b == 0)
        .unwrap_or(state.fingerprint.len());
    let fingerprint = &state.fingerprint[..length];
    // MS SQL Server logs no statement with this word in it, so it is put into comments.
    if length > 1
        && fingerprint.ends_with(b"c")
        && memchr::memmem::find(value, b"sp_password").is_some()
    {
        return false;
    }
    match (length, state.tokens.as_slice()) {
        (2, [first, second, ..]) => is_short_prose(state, first, second, value),
        (3, [first, second, third, ..]) => {
            is_prose(fingerprint, state.stats_tokens, [first, second, third])
        }
        _ => false,
    }
}

/// Two tokens are little evidence, so most such values are prose.
fn is_short_prose(state: &SqliState<'_>, first: &Token, second: &Token, value: &[u8]) -> bool {
    // This and `is_prose` decide as libinjection's `libinjection_sqli_not_whitelist` does.
    let folded = state.stats_tokens > 2;
    let is_comment = second.token_type == TokenType::Comment;
    let begins = second.val[0];
    // `1 union` alone is prose, unless more tokens were folded into it.
    if second.token_type == TokenType::Union {
        return state.stats_tokens == 2;
    }
    if begins == b'#' {
        return true;
    }
    match first.token_type {
        TokenType::Bareword if is_comment => begins != b'/',
        TokenType::Number if is_comment => {
            begins != b'/' && !folded && !ends_a_number(value, first.len)
        }
        // Many write `--`, but few with nothing after it.
        _ => begins == b'-' && second.len > 2,
    }
}

/// Whether what follows the first `length` bytes can follow a number. Text like `1234-ABCD--`, read as a
/// number and a comment, is an identifier.
fn ends_a_number(value: &[u8], length: usize) -> bool {
    match value.get(length..).unwrap_or_default() {
        // Bytes above ASCII pass for blanks in some encodings.
        [] | [0..=b' ' | 0x80.., ..] | [b'/', b'*', ..] | [b'-', b'-', ..] => true,
        _ => false,
    }
}

fn is_prose(fingerprint: &[u8], tokens: usize, [first, second, third]: [&Token; 3]) -> bool {
    match fingerprint {
        // `foo' + 'bar` goes on with strings that begin and end outside; all others are quoted words.
        b"sos" | b"s&s" => {
            !(first.str_open == 0 && third.str_close == 0 && first.str_close == third.str_open)
        }
        // `sexy and 17`, but not `sexy and 17<18`.
        b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => tokens == 3,
        // Of words between words only INTO OUTFILE and INTO DUMPFILE do harm.
        _ if second.token_type == TokenType::Keyword => {
            second.len < 5 || !second.val[..4].eq_ignore_ascii_case(b"INTO")
        }
        _ => false,
    }
}
