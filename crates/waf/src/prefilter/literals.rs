//! Literals of which one must occur for a pattern to match, in lower case.
//!
//! The scanner sees values in lower case, so case is folded everywhere. A piece with too many strings gives no
//! literals; then the rule runs on every value that its bytes allow.

use std::cmp::Reverse;

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition};

use super::clauses::{class_bytes, parse};
use crate::byteset::ByteSet;

/// Strings that one piece of a pattern may stand for; products of pieces would grow without bound.
const MOST_STRINGS: usize = 64;
/// Literals of one pattern.
const MOST_LITERALS: usize = 2000;
/// Shorter literals occur in most values, except those made of rare punctuation.
const SHORTEST: usize = 3;
const LONGEST: usize = 16;
/// Without the blanks around it a shorter word would be in too many others.
const LEAST_WORD: usize = 5;

/// One of these occurs in every value that matches, whatever the case of ASCII letters; None if nothing
/// useful is known.
pub(crate) fn required(source: &str) -> Option<Vec<Vec<u8>>> {
    Search::RARE.required(&parse(source)?)
}

/// The same for a pattern of which that knows nothing. These may be more, and shorter.
pub(super) fn required_uncommon(source: &str) -> Option<Vec<Vec<u8>>> {
    Search::UNCOMMON.required(&parse(source)?)
}

/// The same for values that hold none of the bytes `absent`. Patterns for shell commands allow quotes and expansions
/// between the letters of a word; without these bytes the word is a literal.
pub(super) fn required_without(source: &str, absent: &ByteSet) -> Option<Vec<Vec<u8>>> {
    Search::RARE.required(&without(&parse(source)?, absent)?)
}

/// For a pattern that begins either at the start of the value or with one of some words, and for values that hold none
/// of the bytes `absent`: the words, and a pattern for values without the words, which can match at the start only.
pub(super) fn required_but_at_start(
    source: &str,
    absent: &ByteSet,
) -> Option<(Vec<Vec<u8>>, String)> {
    let hir = without(&parse(source)?, absent)?;
    let HirKind::Concat(parts) = hir.kind() else {
        return None;
    };
    let (first, rest) = parts.split_first()?;
    let HirKind::Alternation(branches) = first.kind() else {
        return None;
    };
    let (anchored, free): (Vec<&Hir>, Vec<&Hir>) = branches
        .iter()
        .partition(|b| b.properties().look_set_prefix().contains(Look::Start));
    // A branch without literals makes the words useless: any value might match through it.
    let search = Search::RARE;
    let words: Option<Vec<_>> = free.into_iter().map(|hir| search.needed(hir)).collect();
    let words = tidy(words?.concat());
    if anchored.is_empty() || !search.is_good(&words) {
        return None;
    }
    let anchored = Hir::alternation(anchored.into_iter().cloned().collect());
    let whole = std::iter::once(anchored).chain(rest.iter().cloned());
    Some((words, Hir::concat(whole.collect()).to_string()))
}

/// Whether a change of blanks cannot make the literal: see [`LiteralEffect::Blanks`].
///
/// [`LiteralEffect::Blanks`]: crate::transform::LiteralEffect::Blanks
pub(crate) fn outlives_blanks(literal: &[u8]) -> bool {
    let follows_blank = |rest: &[u8]| rest.iter().any(|b| b"/(".contains(b));
    !literal.contains(&b' ') && literal.get(1..).is_none_or(|rest| !follows_blank(rest))
}

/// A few bytes, no letters, that all of these literals hold and that no change of blanks makes.
pub(super) fn core(literals: &[Vec<u8>]) -> Option<Box<[u8]>> {
    let first = literals.first()?;
    let is_core = |piece: &&[u8]| {
        let held = |literal: &Vec<u8>| literal.windows(piece.len()).any(|other| other == *piece);
        outlives_blanks(piece)
            && !piece.iter().any(u8::is_ascii_alphabetic)
            && literals.iter().all(held)
    };
    // The longest first, because it dismisses most values.
    let mut pieces = (2..=first.len())
        .rev()
        .flat_map(|length| first.windows(length));
    pieces.find(is_core).map(Into::into)
}

/// The last byte of the literal that is neither a blank nor a letter nor a digit. No change of blanks or of case makes such
/// a byte.
pub(super) fn last_mark(literal: &[u8]) -> Option<u8> {
    let is_mark = |b: &&u8| !b.is_ascii_whitespace() && !b.is_ascii_alphanumeric();
    literal.iter().rfind(is_mark).copied()
}

/// The literal without the blanks around it, if the rest is long enough to dismiss most values. A value that holds the
/// literal holds this too.
pub(super) fn trimmed(literal: Vec<u8>) -> Vec<u8> {
    let word = literal.trim_ascii();
    match word.len() {
        LEAST_WORD.. => word.to_vec(),
        _ => literal,
    }
}

/// What is left of a pattern for values without these bytes; None if it matches none of them.
fn without(hir: &Hir, absent: &ByteSet) -> Option<Hir> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(hir.clone()),
        HirKind::Literal(literal) => {
            let is_absent = literal.0.iter().any(|&b| absent.contains(b));
            (!is_absent).then(|| hir.clone())
        }
        HirKind::Class(class) => {
            let left = class_bytes(class).intersection(absent.complement());
            let ranges = left.iter().map(|b| ClassBytesRange::new(b, b));
            let class = Class::Bytes(ClassBytes::new(ranges));
            (!left.is_empty()).then(|| Hir::class(class))
        }
        // Only whether the pattern matches counts, so groups can go.
        HirKind::Capture(capture) => without(&capture.sub, absent),
        HirKind::Repetition(repetition) => match without(&repetition.sub, absent) {
            Some(sub) => Some(Hir::repetition(Repetition {
                sub: Box::new(sub),
                ..repetition.clone()
            })),
            // What cannot match may still occur zero times.
            None => (repetition.min == 0).then(Hir::empty),
        },
        HirKind::Concat(parts) => {
            // A sequence with a part that cannot match cannot match either.
            let parts: Option<Vec<Hir>> = parts.iter().map(|p| without(p, absent)).collect();
            parts.map(Hir::concat)
        }
        HirKind::Alternation(branches) => {
            let left: Vec<Hir> = branches.iter().filter_map(|b| without(b, absent)).collect();
            (!left.is_empty()).then(|| Hir::alternation(left))
        }
    }
}

/// Whether it is rare in ordinary text: long enough, or punctuation only.
fn is_rare(literal: &[u8]) -> bool {
    let is_mark = |b: &u8| !(b.is_ascii_alphanumeric() || b" _-.,/+%".contains(b));
    literal.len() >= SHORTEST || !literal.is_empty() && literal.iter().all(is_mark)
}

/// Whether ordinary text often lacks it: rare, or punctuation or a byte above ASCII that does not stand in most values.
fn is_uncommon(literal: &[u8]) -> bool {
    match literal {
        [b'%' | b'+'] => true,
        [one, other] => {
            let both = [one, other];
            both.iter().all(|b| b.is_ascii_punctuation()) || both.iter().any(|b| !b.is_ascii())
        }
        _ => is_rare(literal),
    }
}

/// A search for strings of which one must occur.
#[derive(Clone, Copy)]
struct Search {
    is_useful: fn(&[u8]) -> bool,
    /// How many strings one piece may stand for that are useful without the pieces around it.
    most_of_piece: usize,
}

impl Search {
    const RARE: Self = Self {
        is_useful: is_rare,
        most_of_piece: MOST_STRINGS,
    };
    const UNCOMMON: Self = Self {
        is_useful: is_uncommon,
        most_of_piece: MOST_LITERALS,
    };

    /// None if nothing useful is known.
    fn required(self, hir: &Hir) -> Option<Vec<Vec<u8>>> {
        let found = self.needed(hir)?;
        self.is_good(&found).then_some(found)
    }

    fn is_good(self, set: &[Vec<u8>]) -> bool {
        !set.is_empty() && set.len() <= MOST_LITERALS && set.iter().all(|l| (self.is_useful)(l))
    }

    /// Strings of which one must occur, however frequent they are.
    fn needed(self, hir: &Hir) -> Option<Vec<Vec<u8>>> {
        if let Some(strings) = exact(hir) {
            // An empty string occurs in every value.
            return strings.iter().all(|s| !s.is_empty()).then_some(strings);
        }
        match hir.kind() {
            HirKind::Capture(capture) => self.needed(&capture.sub),
            HirKind::Repetition(repetition) if repetition.min > 0 => self.needed(&repetition.sub),
            HirKind::Alternation(branches) => {
                let mut all = Vec::new();
                for branch in branches {
                    all.extend(self.needed(branch)?);
                    if all.len() > MOST_LITERALS {
                        return None;
                    }
                }
                Some(tidy(all))
            }
            HirKind::Concat(parts) => self.best_part(parts),
            _ => None,
        }
    }

    /// The best set that a sequence needs. Candidates are its runs of fixed strings and what each part needs alone.
    fn best_part(self, parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
        let mut best: Option<Vec<Vec<u8>>> = None;
        let mut offer = |set: Vec<Vec<u8>>| {
            let is_better = |b: &Vec<Vec<u8>>| self.worth(&set) > self.worth(b);
            if !set.is_empty() && best.as_ref().is_none_or(is_better) {
                best = Some(set);
            }
        };
        let mut run: Vec<Vec<u8>> = vec![Vec::new()];
        for part in parts {
            let strings = exact(part);
            if strings.is_none()
                && let Some(set) = self.needed(part)
            {
                offer(set);
            }
            let longer = strings.as_ref().and_then(|strings| product(&run, strings));
            match (longer, strings) {
                (Some(longer), _) => run = longer,
                (None, strings) => {
                    offer(tidy(std::mem::take(&mut run)));
                    let strings = strings.unwrap_or_default();
                    if strings.len() > MOST_STRINGS && strings.len() <= self.most_of_piece {
                        offer(strings.clone());
                    }
                    // A piece with too many strings ends the run; the next one begins behind it.
                    run = match strings.len() {
                        1..=MOST_STRINGS => strings,
                        _ => vec![Vec::new()],
                    };
                }
            }
        }
        offer(tidy(run));
        best.filter(|set| set.iter().all(|s| !s.is_empty()))
    }

    /// A longer shortest literal rules out more values; fewer literals cost less. Above six bytes length adds little.
    fn worth(self, set: &[Vec<u8>]) -> (bool, usize, Reverse<usize>) {
        let shortest = set.iter().map(Vec::len).min().unwrap_or(0);
        (self.is_good(set), shortest.min(6), Reverse(set.len()))
    }
}

/// All strings that a piece stands for, in lower case, if they are few and short.
fn exact(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => {
            let bytes = class_bytes(class);
            let folded: Vec<Vec<u8>> = (0..=255u8)
                .filter(|&b| bytes.contains(b))
                .map(|b| vec![b.to_ascii_lowercase()])
                .collect();
            let folded = tidy(folded);
            // Larger classes multiply the strings and rule out little.
            (folded.len() <= 8).then_some(folded)
        }
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Repetition(repetition) => {
            let sub = exact(&repetition.sub)?;
            // Each repetition multiplies the strings.
            let most = repetition.max.filter(|&m| m <= 4)?;
            let mut all = Vec::new();
            let mut times = vec![Vec::new()];
            for count in 0..=most {
                if count >= repetition.min {
                    all.extend(times.iter().cloned());
                }
                if count < most {
                    times = product(&times, &sub)?;
                }
            }
            (all.len() <= MOST_STRINGS).then(|| tidy(all))
        }
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                all = product(&all, &exact(part)?)?;
            }
            Some(all)
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(exact(branch)?);
                if all.len() > MOST_LITERALS {
                    return None;
                }
            }
            Some(tidy(all))
        }
    }
}

fn product(heads: &[Vec<u8>], tails: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if heads.len() * tails.len() > MOST_STRINGS {
        return None;
    }
    let mut all = Vec::with_capacity(heads.len() * tails.len());
    for head in heads {
        for tail in tails {
            if head.len() + tail.len() > LONGEST {
                return None;
            }
            all.push([head.as_slice(), tail.as_slice()].concat());
        }
    }
    Some(all)
}

fn tidy(mut set: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    set.sort();
    set.dedup();
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(pattern: &str) -> Option<Vec<String>> {
        let found = required(&format!("(?s-u){pattern}"))?;
        Some(
            found
                .iter()
                .map(|l| String::from_utf8_lossy(l).into_owned())
                .collect(),
        )
    }

    #[test]
    fn finds_required_literals() {
        let cases: [(&str, Option<&[&str]>); 8] = [
            ("(?i)union\\s+select", Some(&["select"])),
            (
                "(?i)(?:sleep|benchmark)\\(",
                Some(&["benchmark(", "sleep("]),
            ),
            ("[a-z]+", None),
            ("foo[0-9]*barbaz", Some(&["barbaz"])),
            ("(?:ab|c)d", None),
            ("x{3}", Some(&["xxx"])),
            ("(?:abc)?", None),
            ("^(?i)gopher://.*$", Some(&["gopher://"])),
        ];
        for (pattern, expected) in cases {
            let expected = expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
            assert_eq!(literals(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn finds_what_is_uncommon_where_nothing_is_rare() {
        let found = |pattern: &str| {
            let found = required_uncommon(&format!("(?s-u){pattern}"))?;
            let text = |l: &Vec<u8>| String::from_utf8_lossy(l).into_owned();
            Some(found.iter().map(text).collect::<Vec<_>>())
        };
        for (pattern, expected) in [
            (r"%[0-9a-f]{2}/", Some(&["%"][..])),
            (r"\.\.[0-9]+|%\{[a-z]", Some(&["%{", ".."])),
            (r"[a-z]\.[0-9]", None),
            (r"a/[0-9]", None),
        ] {
            assert_eq!(literals(pattern), None, "{pattern}");
            let expected = expected.map(|all| all.iter().map(|&l| l.to_owned()).collect());
            assert_eq!(found(pattern), expected, "{pattern}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("k{n:02}")).collect();
        let any = format!(r"^\s*(?:{})[a-z]+$", many.join("|"));
        assert_eq!(literals(&any), None);
        assert_eq!(found(&any), Some(many));
    }

    #[test]
    fn finds_words_that_quotes_may_part() {
        let quotes = ByteSet::of(b"\"'\\$");
        let found = |pattern: &str| {
            let found = required_without(&format!("(?s-u){pattern}"), &quotes)?;
            let text = |l: &Vec<u8>| String::from_utf8_lossy(l).into_owned();
            Some(found.iter().map(text).collect::<Vec<_>>())
        };
        let word = r#"w["']*\\?h["']*\\?o(?:\$[a-z]+)?"#;
        assert_eq!(required(word), None);
        assert_eq!(found(word), Some(vec!["who".to_owned()]));
        // A branch that needs a byte which is not there is none.
        let either = format!(r"(?:{word}|\$x|;)[a-z]+");
        assert_eq!(found(&either), Some(vec![";".to_owned(), "who".to_owned()]));
        assert_eq!(found(r"\$\("), None, "matches no such value");
    }

    #[test]
    fn finds_what_a_pattern_is_at_the_start_alone() {
        let quotes = ByteSet::of(b"\"'");
        let of = |pattern: &str| required_but_at_start(&format!("(?s-u){pattern}"), &quotes);
        let (words, anchored) =
            of(r#"(?i)(?:^(?:x\.)?|time[ ,]|;|"[a-z]+)[\s]*(?:w["']*ho|id)"#).unwrap();
        let text = |l: &Vec<u8>| String::from_utf8_lossy(l).into_owned();
        assert_eq!(
            words.iter().map(text).collect::<Vec<_>>(),
            [";", "time ", "time,"]
        );
        let anchored = regex::bytes::Regex::new(&anchored).unwrap();
        for (value, found) in [
            ("who", true),
            ("X. ID", true),
            ("a who", false),
            ("; who", false),
            ("", false),
        ] {
            assert_eq!(anchored.is_match(value.as_bytes()), found, "{value}");
        }
        assert_eq!(of("(?:^|[a-z])id"), None, "any letter may begin it");
        assert_eq!(of("(?:when|;)id"), None, "nothing of it is anchored");
        assert_eq!(of("^id"), None);
    }

    #[test]
    fn a_core_is_in_every_literal() {
        for (literals, expected) in [
            (&["../", "..;", "..\\"][..], Some("..")),
            (&["${jndi:", "x${"], Some("${")),
            (&["a/(b"], None),
            (&["<a", "<b"], None),
            (&["eval(", "exec("], None),
            (&["..", "::"], None),
            (&["= 1", "= 12"], None),
            (&[], None),
        ] {
            let all: Vec<Vec<u8>> = literals.iter().map(|l| l.as_bytes().to_vec()).collect();
            let found = core(&all);
            assert_eq!(
                found.as_deref(),
                expected.map(str::as_bytes),
                "{literals:?}"
            );
        }
    }
}
