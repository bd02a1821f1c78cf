//! Searches texts for the bytes of known secrets, for places where no name tells that they are secret.
//!
//! If the search cannot be built, everything counts as secret.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::audit::mask::MASK;

/// Secrets that are looked for, and bytes of each that are compared. A client chooses both.
const MOST: usize = 256;
const MOST_BYTES: usize = 4096;

/// How much there was to learn from: arguments and XML secrets, response headers, `sanitise...` actions.
pub(super) type Version = (usize, usize, usize);

/// Secrets to look for.
#[derive(Debug)]
pub(super) struct KnownSecrets {
    /// How much there was to learn from when it was made.
    version: Version,
    finder: Option<AhoCorasick>,
    /// There are secrets but no `finder`: everything is masked.
    is_blind: bool,
    /// The full length of each secret; the finder knows only the beginning of a long one.
    lengths: Vec<usize>,
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
        let finder = (!values.is_empty())
            .then(|| {
                // It searches a few texts once: the kind that is cheapest to build is the fastest in all.
                AhoCorasick::builder()
                    .kind(Some(AhoCorasickKind::NoncontiguousNFA))
                    // Rules often see the value in lower case.
                    .ascii_case_insensitive(true)
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(values.iter().map(|v| v.get(..MOST_BYTES).unwrap_or(v)))
                    .ok()
            })
            .flatten();
        Self {
            version,
            is_blind: finder.is_none() && !values.is_empty(),
            finder,
            lengths: values.iter().map(|v| v.len()).collect(),
        }
    }

    /// Calls `found` with each place where one of them stands.
    pub(super) fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
        if self.is_blind {
            found(0..text.len());
            return;
        }
        for hit in self.finder.iter().flat_map(|f| f.find_iter(text)) {
            // Only the beginning of a long secret was compared; the mask covers its full length.
            let length = self.lengths.get(hit.pattern().as_usize()).copied();
            let end = hit.end().max(hit.start() + length.unwrap_or(0));
            found(hit.start()..end.min(text.len()));
        }
    }

    /// The text without them.
    pub(super) fn masked(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut kept = 0;
        self.find(text, &mut |range| {
            out.extend_from_slice(text.get(kept..range.start).unwrap_or_default());
            if range.end > kept {
                out.extend_from_slice(MASK);
            }
            kept = kept.max(range.end);
        });
        out.extend_from_slice(text.get(kept..).unwrap_or_default());
        out
    }
}
