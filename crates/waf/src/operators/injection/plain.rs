//! Tells values that libinjection cannot take for SQL injection, without reading their tokens.
//!
//! Every known fingerprint has at least one keyword, function, logic operator, parenthesis, string or comment. Only
//! keywords and certain marks make such tokens; other words, numbers, operators and commas do not. So a value without
//! those marks and without keywords is harmless. Tests compare this with libinjection's verdict.

#![allow(
    clippy::indexing_slicing,
    reason = "a byte indexes a table of 256, a hash's upper half one of 65,536 bits"
)]

use std::sync::LazyLock;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

use crate::byteset::ByteSet;

/// For longer values libinjection is cheaper: it looks at the first tokens alone.
const LONGEST: usize = 512;
/// No keyword is longer.
const LONGEST_WORD: usize = 32;

/// The hash of one word of each keyword that a known fingerprint can have.
static WORDS: LazyLock<WordSet> = LazyLock::new(|| {
    let mut words = WordSet(vec![0; 1024].into());
    // No fingerprint is made of tokens of these types alone.
    let is_active = |kind: u8| !b"Fno1".contains(&kind);
    for keyword in SQL_KEYWORDS.iter().filter(|k| is_active(k.token_type)) {
        let runs = keyword
            .word
            .as_bytes()
            .split(|&b| ROLES[usize::from(b)] != Role::Letter);
        if let Some(longest) = runs
            .max_by_key(|run| run.len())
            .filter(|run| !run.is_empty())
        {
            words.insert(hash(longest));
        }
    }
    words
});

/// Whether no reading of the value has a known fingerprint. If it is not certain, the answer is false.
pub(super) fn is_plain(value: &[u8]) -> bool {
    if value.len() > LONGEST {
        return false;
    }
    let words = &*WORDS;
    // Keywords are made of runs of letters.
    let (mut run, mut hash) = (0, SEED);
    // The letters that follow may begin with the end of a number.
    let mut after_number = false;
    let mut before = 0;
    for (at, &byte) in value.iter().enumerate() {
        let role = ROLES[usize::from(byte)];
        if role == Role::Letter {
            hash = step(hash, byte);
            run += 1;
            before = byte;
            continue;
        }
        if role == Role::Active
            || role == Role::Dash && before == b'-'
            || words.may_end_with(&value[..at], run, hash, after_number)
        {
            return false;
        }
        (run, hash) = (0, SEED);
        after_number = role == Role::Number;
        before = byte;
    }
    !words.may_end_with(value, run, hash, after_number)
}

/// A set of words by their hashes: what is not in it was never put into it.
struct WordSet(Box<[u64]>);

impl WordSet {
    fn insert(&mut self, hash: u32) {
        let bit = hash >> 16;
        self.0[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    #[inline]
    fn may_contain(&self, hash: u32) -> bool {
        let bit = hash >> 16;
        self.0[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }

    /// Whether a word of the set may be at the end of `text`, whose last `run` bytes are letters with this hash. After a
    /// number the word may be a part of them: `0xffunion` is a number and a word.
    #[inline]
    fn may_end_with(&self, text: &[u8], run: usize, hash: u32, after_number: bool) -> bool {
        run > 0
            && (self.may_contain(hash)
                || after_number && self.may_contain_end(&text[text.len() - run..]))
    }

    fn may_contain_end(&self, letters: &[u8]) -> bool {
        letters.len() > LONGEST_WORD
            || (1..letters.len()).any(|from| self.may_contain(hash(&letters[from..])))
    }
}

const SEED: u32 = 0x811c_9dc5;

fn hash(word: &[u8]) -> u32 {
    word.iter().fold(SEED, |hash, &byte| step(hash, byte))
}

/// Adds a letter, in whatever case.
#[inline]
fn step(hash: u32, byte: u8) -> u32 {
    (hash.rotate_left(5) ^ u32::from(byte | 0x20)).wrapping_mul(0x9e37_79b1)
}

/// What a byte is to libinjection's tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A letter or an underscore.
    Letter,
    /// A digit or a point.
    Number,
    Dash,
    /// Makes tokens of harmless types, or ends others.
    Idle,
    /// May make a string, a comment, a variable, a parenthesis or a logic operator.
    Active,
}

const ACTIVE: ByteSet = ByteSet::of(b"\"'`#$&()*@[\\{|}");

static ROLES: [Role; 256] = {
    let mut roles = [Role::Idle; 256];
    let mut byte = 0;
    while byte < 256 {
        // Below 256.
        #[allow(clippy::cast_possible_truncation)]
        let own = byte as u8;
        roles[byte] = match own {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Role::Letter,
            b'0'..=b'9' | b'.' => Role::Number,
            b'-' => Role::Dash,
            _ if ACTIVE.contains(own) => Role::Active,
            _ => Role::Idle,
        };
        byte += 1;
    }
    roles
};

#[cfg(test)]
mod tests {
    use super::super::sqli;
    use super::*;
    use crate::random::Xorshift;

    #[test]
    fn no_fingerprint_is_of_harmless_tokens_alone() {
        let harmless = b"N1O.,:?;";
        for keyword in SQL_KEYWORDS.iter().filter(|k| k.token_type == b'F') {
            let types = &keyword.word.as_bytes()[1..];
            assert!(
                types.iter().any(|t| !harmless.contains(t)),
                "{}",
                keyword.word
            );
        }
    }

    #[test]
    fn what_is_plain_has_no_fingerprint() {
        let mut numbers = Xorshift::new(7);
        let words: Vec<&str> = SQL_KEYWORDS
            .iter()
            .filter(|k| k.token_type != b'F')
            .map(|k| k.word)
            .collect();
        let plain = [
            "light", "Trail", "a", "x", "e", "d", "f", "u", "b", "n", "q", "0x", "0b", "1", "12",
            "1.5", "1e", ".", "..", "_", "0xff", "1f", "é", "\u{a0}", "\0", "v", "by", "table",
            "is", "not", "true", "with",
        ];
        let marks = b" \t\n,;:?!=<>+-/%^~].'\"`#$&()*@[\\{|}";
        let mut found = 0;
        for _ in 0..500_000 {
            let mut value = Vec::new();
            for _ in 0..=numbers.below(9) {
                match numbers.below(8) {
                    0 => value.extend_from_slice(words[numbers.below(words.len())].as_bytes()),
                    1..=3 => value.extend_from_slice(plain[numbers.below(plain.len())].as_bytes()),
                    4 => value.push(marks[numbers.below(marks.len())]),
                    // Marks that make nothing harmful more often, so that values remain that are plain.
                    5 | 6 => value.push(marks[numbers.below(20)]),
                    _ => value.push(b' '),
                }
                if numbers.below(3) == 0 {
                    value.push(b' ');
                }
            }
            if numbers.below(2) == 0 {
                value.make_ascii_lowercase();
            }
            if is_plain(&value) {
                found += 1;
                let fingerprint = sqli::fingerprint(&value).unwrap();
                assert!(fingerprint.is_none(), "{}", value.escape_ascii());
            }
        }
        assert!(found > 100_000, "{found}");
    }

    /// A value for each known fingerprint, made of tokens of its types.
    #[test]
    fn what_has_a_fingerprint_is_not_plain() {
        let mut numbers = Xorshift::new(11);
        let of_type = |kind: u8| -> Vec<String> {
            let kind = if kind.is_ascii_uppercase() {
                kind.to_ascii_lowercase()
            } else {
                kind
            };
            let words = SQL_KEYWORDS
                .iter()
                .filter(|k| k.token_type.to_ascii_lowercase() == kind);
            let mut tokens: Vec<String> = words.map(|k| format!(" {} ", k.word)).collect();
            let others: &[&str] = match kind {
                b'n' => &["light ", " a.b ", " x"],
                b'1' => &["1", " 0xff", " 1.5e3", ".5 ", "7"],
                b's' => &["'a'", "\"b\""],
                b'c' => &["-- ", "/*x*/", "#"],
                b'v' => &["@a ", "@@b "],
                _ => &[],
            };
            tokens.extend(others.iter().map(|&t| t.to_owned()));
            if tokens.is_empty() {
                tokens.push(char::from(kind).to_string());
            }
            tokens
        };
        let kinds: Vec<Vec<String>> = (0..=255).map(of_type).collect();
        let mut attacks = 0;
        for keyword in SQL_KEYWORDS
            .iter()
            .filter(|k| k.token_type == b'F')
            .cycle()
            .take(100_000)
        {
            let mut value = String::new();
            for &kind in &keyword.word.as_bytes()[1..] {
                let tokens = &kinds[usize::from(kind)];
                value.push_str(&tokens[numbers.below(tokens.len())]);
            }
            if sqli::fingerprint(value.as_bytes()).unwrap().is_some() {
                attacks += 1;
                assert!(!is_plain(value.as_bytes()), "{value}");
            }
        }
        assert!(attacks > 10_000, "{attacks}");
    }

    #[test]
    fn ordinary_values_are_plain() {
        for value in [
            &b"The light trail shoe, wet rock; daily?"[..],
            b"sku-12345.sku-6",
            b"550e8400-e29b-41d4-a716-446655440000",
            b"2026-11-28T10:00:00Z",
            b"price_asc",
            b"/catalog/trail-shoe.html",
            b"https://shop.example.com/a/b",
            b"",
        ] {
            assert!(is_plain(value), "{}", value.escape_ascii());
        }
        for value in [
            &b"1 or 1=1"[..],
            b"0xffunion select",
            b"it's",
            b"a -- b",
            b"f(x)",
            b"1funion",
        ] {
            assert!(!is_plain(value), "{}", value.escape_ascii());
        }
    }
}
