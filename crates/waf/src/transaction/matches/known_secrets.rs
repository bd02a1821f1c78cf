//! Searches texts for the bytes of known secrets, for places where no name tells that they are secret.
//!
//! If the search cannot be built, everything counts as secret.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::audit::mask::MASK;

/// Secrets that are looked for, and bytes of each that are compared. A client chooses both.
const MOST: usize = 256;
const MOST_BYTES: usize = 4096;
/// So many are looked for one after the other.
const FEW: usize = 8;

/// How much there was to learn from: arguments and XML secrets, response headers, `sanitise...` actions.
pub(super) type Version = (usize, usize, usize);

/// Secrets to look for.
#[derive(Debug)]
pub(super) struct KnownSecrets {
    /// How much there was to learn from when it was made.
    version: Version,
    search: Search,
}

#[derive(Debug)]
enum Search {
    /// One after the other: most requests have a cookie or two, and an automaton costs more to build than a few texts to
    /// search.
    Few(Vec<Secret>),
    Many {
        finder: AhoCorasick,
        /// The full length of each secret; the finder knows only the beginning of a long one.
        lengths: Vec<usize>,
    },
    /// There are secrets, but the automaton cannot be built: everything is masked.
    Blind,
}

impl KnownSecrets {
    /// How much there was to learn from when it was made.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Looks for those values that are no shorter than `shortest`.
    pub(super) fn new(version: Version, values: &[&[u8]], shortest: usize) -> Self {
        let values: Vec<&[u8]> = values
            .iter()
            .copied()
            .filter(|v| v.len() >= shortest)
            .take(MOST)
            .collect();
        let search = match values.len() {
            ..=FEW => Search::Few(values.iter().filter_map(|v| Secret::new(v)).collect()),
            _ => Search::many(&values),
        };
        Self { version, search }
    }

    /// Calls `found` with each place where one of them stands.
    pub(super) fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
        match &self.search {
            Search::Few(secrets) => secrets.iter().for_each(|secret| secret.find(text, found)),
            Search::Many { finder, lengths } => {
                for hit in finder.find_iter(text) {
                    // Only the beginning of a long secret was compared; the mask covers its full length.
                    let length = lengths.get(hit.pattern().as_usize()).copied();
                    let end = hit.end().max(hit.start() + length.unwrap_or(0));
                    found(hit.start()..end.min(text.len()));
                }
            }
            Search::Blind => found(0..text.len()),
        }
    }

    /// The text without them.
    pub(super) fn masked(&self, text: &[u8]) -> Vec<u8> {
        let mut places = Vec::new();
        self.find(text, &mut |range| places.push(range));
        // Two secrets may overlap, and each has its own search.
        places.sort_unstable_by_key(|range| range.start);
        let mut out = Vec::with_capacity(text.len());
        let mut kept = 0;
        for range in places {
            out.extend_from_slice(text.get(kept..range.start).unwrap_or_default());
            if range.end > kept {
                out.extend_from_slice(MASK);
            }
            kept = kept.max(range.end);
        }
        out.extend_from_slice(text.get(kept..).unwrap_or_default());
        out
    }
}

impl Search {
    fn many(values: &[&[u8]]) -> Self {
        // It searches a few texts once: the kind that is cheapest to build is the fastest in all.
        let finder = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::NoncontiguousNFA))
            // Rules often see the value in lower case.
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(values.iter().map(|v| beginning(v)));
        match finder {
            Ok(finder) => Self::Many {
                finder,
                lengths: values.iter().map(|v| v.len()).collect(),
            },
            Err(_) => Self::Blind,
        }
    }
}

/// One secret, for the search of Knuth, Morris and Pratt: a client chooses secret and text, so it must be linear.
#[derive(Debug)]
struct Secret {
    /// Its beginning, in lower case, because rules often see the value so; and for each byte how long the longest other
    /// beginning is that ends there.
    steps: Vec<(u8, usize)>,
    first: [u8; 2],
    /// Of all of it.
    length: usize,
}

impl Secret {
    /// None if it is empty.
    fn new(secret: &[u8]) -> Option<Self> {
        let first = secret.first()?;
        let mut steps: Vec<(u8, usize)> = Vec::with_capacity(secret.len().min(MOST_BYTES));
        let mut same = 0;
        for &byte in beginning(secret) {
            let byte = byte.to_ascii_lowercase();
            if !steps.is_empty() {
                same = longer(&steps, same, byte);
            }
            steps.push((byte, same));
        }
        Some(Self {
            steps,
            first: [first.to_ascii_lowercase(), first.to_ascii_uppercase()],
            length: secret.len(),
        })
    }

    /// Calls `found` with each place, from the left, none within another.
    fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
        let [lower, upper] = self.first;
        let (mut at, mut same) = (0, 0);
        while let Some(&byte) = text.get(at) {
            if same == 0 {
                let rest = text.get(at..).unwrap_or_default();
                let Some(skipped) = memchr::memchr2(lower, upper, rest) else {
                    return;
                };
                (at, same) = (at + skipped, 1);
            } else {
                same = longer(&self.steps, same, byte.to_ascii_lowercase());
            }
            at += 1;
            if same == self.steps.len() {
                let start = at - same;
                // Only the beginning of a long one was compared; the mask covers its full length.
                at = (start + self.length).min(text.len());
                found(start..at);
                same = 0;
            }
        }
    }
}

/// How many steps agree after one more byte, if so many did before.
fn longer(steps: &[(u8, usize)], mut same: usize, byte: u8) -> usize {
    loop {
        match steps.get(same) {
            Some((next, _)) if *next == byte => return same + 1,
            _ if same == 0 => return 0,
            _ => same = steps.get(same - 1).map_or(0, |(_, shorter)| *shorter),
        }
    }
}

fn beginning(secret: &[u8]) -> &[u8] {
    secret.get(..MOST_BYTES).unwrap_or(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each place where one of them stands, found byte by byte.
    fn covered(secrets: &[&[u8]], text: &[u8]) -> Vec<bool> {
        let mut covered = vec![false; text.len()];
        for secret in secrets {
            let mut at = 0;
            while let Some(part) = text.get(at..at + secret.len()) {
                if part.eq_ignore_ascii_case(secret) {
                    covered[at..at + secret.len()].fill(true);
                    at += secret.len();
                } else {
                    at += 1;
                }
            }
        }
        covered
    }

    #[test]
    fn few_secrets_are_found_wherever_they_stand() {
        // Few letters, so that beginnings repeat within a secret and secrets overlap.
        let mut state = 1_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize % below
        };
        for _ in 0..20_000 {
            let mut word = |most: usize| -> Vec<u8> {
                (0..=random(most)).map(|_| b"abA"[random(3)]).collect()
            };
            let (secrets, text) = ([word(6), word(3)], word(40));
            let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
            let known = KnownSecrets::new((0, 0, 0), &secrets, 1);
            let mut found = vec![false; text.len()];
            known.find(&text, &mut |range| found[range].fill(true));
            assert_eq!(found, covered(&secrets, &text), "{secrets:?} in {text:?}");
            let shown: Vec<u8> = known.masked(&text);
            let plain = |bytes: &[u8]| bytes.iter().filter(|b| **b != b'*').count();
            let hidden = found.iter().filter(|covered| **covered).count();
            assert_eq!(plain(&shown), text.len() - hidden);
        }
    }

    #[test]
    fn long_secrets_are_covered_to_their_end() {
        for count in [1, FEW + 1] {
            let long = [vec![b'x'; MOST_BYTES], b"end".to_vec()].concat();
            let secrets: Vec<&[u8]> = vec![&long; count];
            let text = [b"a ", &long[..], b" b"].concat();
            let known = KnownSecrets::new((0, 0, 0), &secrets, 1);
            assert_eq!(known.masked(&text), b"a *** b");
            let cut = &text[..MOST_BYTES + 3];
            assert_eq!(known.masked(cut), b"a ***");
        }
    }
}
