//! Tells values that libinjection cannot take for SQL injection, without reading their tokens.
//!
//! Every known fingerprint is made of some types of tokens. Keywords make a few of these types, certain marks the others.
//! So a value without those marks is harmless if no known fingerprint can be made of the types of its words. Tests compare
//! this with libinjection's verdict.

#![allow(
    clippy::indexing_slicing,
    reason = "a byte indexes a table of 256, a hash's upper half one of 65,536 bits"
)]

use std::sync::LazyLock;

use libinjectionrs::sqli::sqli_data::{Keyword, SQL_KEYWORDS};

use crate::byteset::ByteSet;

/// For longer values libinjection is cheaper: it looks at the first tokens alone.
const LONGEST: usize = 512;
/// No keyword is longer.
const LONGEST_WORD: usize = 32;

/// One word of each keyword that can be part of a known fingerprint.
static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words {
        bits: vec![0; 1024].into(),
        types: Vec::new(),
    };
    for keyword in SQL_KEYWORDS
        .iter()
        .filter(|k| k.token_type != FINGERPRINT && !Types::HARMLESS.contains(k.token_type))
    {
        let runs = keyword
            .word
            .as_bytes()
            .split(|&b| ROLES[usize::from(b)] != Role::Letter);
        if let Some(longest) = runs
            .max_by_key(|run| run.len())
            .filter(|run| !run.is_empty())
        {
            words.insert(hash(longest), Types::of_keyword(keyword));
        }
    }
    words
});

/// What a keyword of this type names is a fingerprint.
const FINGERPRINT: u8 = b'F';

/// The types of the tokens of each known fingerprint, without those that hold all types of another one.
static FINGERPRINTS: LazyLock<Vec<Types>> = LazyLock::new(|| {
    let fingerprints = SQL_KEYWORDS.iter().filter(|k| k.token_type == FINGERPRINT);
    let mut all: Vec<Types> = fingerprints
        // The first byte only says that it is one.
        .map(|k| Types::of(k.word.as_bytes().get(1..).unwrap_or_default()))
        .collect();
    all.sort_by_key(|types| types.0.count_ones());
    let mut least: Vec<Types> = Vec::new();
    for types in all {
        if !least.iter().any(|fewer| types.has_all(*fewer)) {
            least.push(types);
        }
    }
    least
});

/// Whether no reading of the value has a known fingerprint. If it is not certain, the answer is false.
pub(super) fn is_plain(value: &[u8]) -> bool {
    if value.len() > LONGEST {
        return false;
    }
    let words = &*WORDS;
    let mut types = Types::NONE;
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
        if role == Role::Active || role == Role::Dash && before == b'-' {
            return false;
        }
        if run > 0 {
            words.add_end(&value[..at], run, hash, after_number, &mut types);
            (run, hash) = (0, SEED);
        }
        after_number = role == Role::Number;
        before = byte;
    }
    if run > 0 {
        words.add_end(value, run, hash, after_number, &mut types);
    }
    if types == Types::NONE {
        return true;
    }
    // Numbers may be anywhere, or be made of words.
    let possible = types.with(Types::HARMLESS);
    !FINGERPRINTS.iter().any(|types| possible.has_all(*types))
}

/// Types of tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Types(u128);

impl Types {
    const NONE: Self = Self(0);
    /// Those of names, numbers, operators and of marks that are not [`ACTIVE`].
    const HARMLESS: Self = Self::of(b"N1O.,:?;");

    /// By libinjection's letters, of which a fingerprint has the upper case.
    const fn of(letters: &[u8]) -> Self {
        let mut types = 0;
        let mut at = 0;
        while at < letters.len() {
            types |= 1u128 << (letters[at].to_ascii_uppercase() & 127);
            at += 1;
        }
        Self(types)
    }

    /// What a keyword can become.
    fn of_keyword(keyword: &Keyword) -> Self {
        let own = Self::of(&[keyword.token_type]);
        match keyword.word {
            // After a semicolon; libinjection compares two letters.
            word if word.starts_with("IF") => own.with(Self::of(b"T")),
            // The name of a collation is a type.
            _ if keyword.token_type == b'A' => own.with(Self::of(b"T")),
            _ => own,
        }
    }

    const fn contains(self, letter: u8) -> bool {
        self.has_all(Self::of(&[letter]))
    }

    const fn has_all(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

/// Words by their hashes, and the types of tokens that they can make. What was never put in has none.
struct Words {
    /// A bit for the upper half of each hash: most words of a text are none of these.
    bits: Box<[u64]>,
    types: Vec<(u32, Types)>,
}

impl Words {
    fn insert(&mut self, hash: u32, types: Types) {
        let bit = hash >> 16;
        self.bits[(bit / 64) as usize] |= 1 << (bit % 64);
        match self.types.binary_search_by_key(&hash, |(hash, _)| *hash) {
            Ok(at) => self.types[at].1 = self.types[at].1.with(types),
            Err(at) => self.types.insert(at, (hash, types)),
        }
    }

    #[inline]
    fn add(&self, hash: u32, types: &mut Types) {
        let bit = hash >> 16;
        if self.bits[(bit / 64) as usize] & (1 << (bit % 64)) == 0 {
            return;
        }
        // Two words of one hash only add types: then libinjection is asked without need.
        if let Ok(at) = self.types.binary_search_by_key(&hash, |(hash, _)| *hash) {
            *types = types.with(self.types[at].1);
        }
    }

    /// Adds what the word at the end of `text` can make, the last `run` bytes of which are letters with this hash. After a
    /// number the word may be a part of them: `0xffunion` is a number and a word.
    #[inline]
    fn add_end(&self, text: &[u8], run: usize, hash: u32, after_number: bool, types: &mut Types) {
        self.add(hash, types);
        if after_number {
            self.add_ends(&text[text.len() - run..], types);
        }
    }

    fn add_ends(&self, letters: &[u8], types: &mut Types) {
        // No keyword is longer than the longest word.
        let first = letters.len().saturating_sub(LONGEST_WORD).max(1);
        for from in first..letters.len() {
            self.add(hash(&letters[from..]), types);
        }
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
        for _ in 0..1_000_000 {
            let mut value = Vec::new();
            for _ in 0..=numbers.below(7) {
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
