//! The secrets' own bytes, to be found where no name tells of them.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::audit::mask::MASK;

/// Secrets that are looked for, and how many bytes of each.
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
    /// There are some, and they cannot be looked for: all is masked.
    is_blind: bool,
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
                // It looks through a few lines once, so it must be made fast, too.
                AhoCorasick::builder()
                    .kind(Some(AhoCorasickKind::NoncontiguousNFA))
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
