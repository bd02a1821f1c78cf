//! The record of one match. Secrets are masked in it, and everything a client chose is bounded.

use std::ops::Range;

use crate::outcome::Phase;
use crate::variables::Slice;

/// A rule that matched and is recorded.
#[derive(Debug, Clone)]
pub struct MatchedRule {
    /// The rule's `id`; 0 for the engine itself.
    pub rule_id: u64,
    /// The phase that it matched in.
    pub phase: Phase,
    /// `COLLECTION:name` of the last matching variable, name as it was sent.
    pub variable: Vec<u8>,
    /// Its value as received; bounded.
    pub value: Vec<u8>,
    /// Its value after the rule's transformations; bounded.
    pub transformed: Vec<u8>,
    /// The bytes of `transformed` that the operator of the last link found. Where they are secret, it is the mask.
    ///
    /// An operator that judges a value as a whole found all of it. None for a negated one, which found nothing, and if
    /// the place is not among the recorded bytes.
    pub span: Option<Range<usize>>,
    /// `msg`, macros expanded; bounded.
    pub message: Vec<u8>,
    /// `logdata`, macros expanded; bounded.
    pub data: Vec<u8>,
    /// 0 (emergency) to 7 (debug), an index of [`SEVERITIES`](crate::SEVERITIES); None if the rule has none.
    pub severity: Option<u8>,
    /// `tag`, in order, macros expanded.
    pub tags: Vec<Vec<u8>>,
    /// Operator and argument of the last link, for messages.
    pub operator: String,
    /// ModSecurity's error-log text of this match: `ModSecurity: Warning. ... [id "942100"] ...`.
    pub log_line: Vec<u8>,
    /// Whether the rule says `log` (or its default does).
    pub logged: bool,
    /// Whether it ended the transaction.
    pub interrupting: bool,
    /// The rule's file.
    pub file: std::path::PathBuf,
    /// The rule's line in it, from 1.
    pub line: u32,
    /// `ver`; empty if the rule has none.
    pub version: Vec<u8>,
    /// `rev`; empty if the rule has none.
    pub revision: Vec<u8>,
    /// `maturity`, 1 to 9; None if the rule has none.
    pub maturity: Option<u8>,
    /// `accuracy`, 1 to 9; None if the rule has none.
    pub accuracy: Option<u8>,
    pub(super) source: Source,
}

/// What a record was made from. A later `sanitise...` makes more of it secret, and the texts are then written again.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    /// `COLLECTION:name`; None if no value matched.
    pub variable: Option<Slice>,
    pub received: Slice,
    pub transformed: Slice,
    /// Offsets in `transformed`.
    pub found: Option<Range<usize>>,
    pub message: Vec<Slice>,
    pub data: Vec<Slice>,
    pub tags: Vec<Vec<Slice>>,
    pub version: Vec<Slice>,
    pub revision: Vec<Slice>,
    /// The status that the rule answers with if it ends the transaction.
    pub status: u16,
}
