//! Secrets of this transaction: found as rules match, so that nothing told of a match carries one.
//!
//! A value is secret by its name (`ARGS:password`, a cookie, `Authorization`), by a `sanitise...` action, or by what its
//! text says (`"token": ...`, a card's number). What it became through transformations, captures and `setvar` is too.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::Transaction;
use super::request::Item;
use crate::audit::mask::{self, HeaderSecret, MASK};
use crate::ruleset::RuleSet;
use crate::variables::{Slice, Value, Variable};

/// A secret shorter than this is masked where it stands, and not wherever the same bytes occur.
const SHORTEST: usize = 6;
/// Secrets that are looked for elsewhere, and how many bytes of each.
const MOST: usize = 256;
const MOST_BYTES: usize = 4096;

/// The secrets' own bytes, to be found where no name tells of them.
#[derive(Debug)]
pub(super) struct Known {
    /// How much there was to learn from when it was made.
    version: (usize, usize, usize),
    finder: Option<AhoCorasick>,
    /// There are some, and they cannot be looked for: all is masked.
    is_blind: bool,
    lengths: Vec<usize>,
}

/// Something that may hold a secret. Most transactions tell of nothing, so it is looked at only when one does.
#[derive(Debug)]
pub(super) enum Unmarked {
    /// A value that matched, and as it was received.
    Matched(Value, Slice),
    /// Bytes put together from others; which, the transaction's `pieces` say.
    Joined { pieces: Range<usize>, whole: Slice },
}

impl Transaction {
    /// Leaves secrets in what is told of this transaction; for one's own test requests.
    pub fn unmask(&mut self) {
        self.unmasked = true;
    }

    pub(super) fn masks(&self) -> bool {
        !self.unmasked && self.rules.masks()
    }

    /// How much of a value its name makes secret.
    fn secrecy(&self, variable: Variable, key: Option<Slice>) -> HeaderSecret {
        let name = key.map(|k| self.text.at(k)).unwrap_or_default();
        let masked = |(of, wanted): &(Variable, Slice)| {
            let same = *of == variable
                || (*of == Variable::Args
                    && matches!(variable, Variable::ArgsGet | Variable::ArgsPost));
            same && self.text.at(*wanted).eq_ignore_ascii_case(name)
        };
        if self.controls.masked.iter().any(masked) {
            return HeaderSecret::Whole;
        }
        match variable {
            Variable::RequestCookies => HeaderSecret::Whole,
            Variable::RequestHeaders | Variable::ResponseHeaders => mask::header_secret(name),
            Variable::Args
            | Variable::ArgsGet
            | Variable::ArgsPost
            | Variable::Env
            | Variable::FilesTmpContent
                if mask::is_secret_name(name) =>
            {
                HeaderSecret::Whole
            }
            _ => HeaderSecret::None,
        }
    }

    /// Marks what is secret of all that matched or was put together so far.
    pub(super) fn mark_matched(&mut self) {
        let all = std::mem::take(&mut self.pieces);
        for event in std::mem::take(&mut self.unmarked) {
            match event {
                Unmarked::Matched(value, received) => self.mark_secrets(value, received),
                Unmarked::Joined { pieces, whole } => {
                    self.carry_marks(all.get(pieces).unwrap_or_default(), whole);
                }
            }
        }
        self.pieces = all;
    }

    /// Marks what is secret of a value that matched: as received, and as the rule saw it.
    fn mark_secrets(&mut self, value: Value, received: Slice) {
        if !self.masks() {
            return;
        }
        let secrecy = self.secrecy(value.variable, value.key);
        self.mark_by_name(received, secrecy);
        if value.variable == Variable::Xml {
            self.mark_short_xml_secrets(&[received, value.text]);
        }
        if secrecy != HeaderSecret::None || self.marks.covers(received) {
            if value.text != received {
                self.marks.mark(value.text);
            }
            return;
        }
        if value.variable == Variable::Tx {
            if value.text != received && self.marks.touches(received) {
                self.marks.mark(value.text);
            }
            return;
        }
        self.mark_by_text(received);
        self.mark_by_text(value.text);
        if let Some(key) = value.key {
            self.mark_by_text(key);
        }
    }

    fn mark_by_name(&mut self, value: Slice, secrecy: HeaderSecret) {
        let (bytes, marks) = (self.text.at(value), &mut self.marks);
        let mut mark =
            |range: std::ops::Range<usize>| marks.mark(value.part(range.start, range.end));
        match secrecy {
            HeaderSecret::None => {}
            HeaderSecret::Whole => mark(0..bytes.len()),
            HeaderSecret::Credentials => mark(mask::credentials(bytes)),
            HeaderSecret::Cookies => mask::cookie_values(bytes, &mut mark),
            HeaderSecret::SetCookie => mask::set_cookie_value(bytes, &mut mark),
        }
    }

    fn mark_by_text(&mut self, value: Slice) {
        if value.len() < 3 || !self.marks.look_at(value) {
            return;
        }
        self.learn();
        let (bytes, marks) = (self.text.at(value), &mut self.marks);
        let mut mark =
            |range: std::ops::Range<usize>| marks.mark(value.part(range.start, range.end));
        mask::secrets(bytes, &mut mark);
        if let Some(known) = &self.known {
            known.find(bytes, &mut mark);
        }
    }

    /// The text of a document tells no names any more, so that what is too short to be looked for elsewhere is looked
    /// for there.
    fn mark_short_xml_secrets(&mut self, values: &[Slice]) {
        let secrets = self.request.body.xml_secrets.iter();
        let secrets: Vec<&[u8]> = secrets
            .map(|&secret| self.text.at(secret))
            .filter(|secret| (1..SHORTEST).contains(&secret.len()))
            .collect();
        if secrets.is_empty() {
            return;
        }
        let known = Known::new((0, 0, 0), &secrets, 1);
        for &value in values {
            let (bytes, marks) = (self.text.at(value), &mut self.marks);
            known.find(bytes, &mut |range| {
                marks.mark(value.part(range.start, range.end));
            });
        }
    }

    /// Learns the secrets' own bytes, anew when there is more to learn from.
    fn learn(&mut self) {
        let version = (
            self.request.arguments.len() + self.request.body.xml_secrets.len(),
            self.response.headers.len(),
            self.controls.masked.len(),
        );
        if self.known.as_ref().is_none_or(|k| k.version != version) {
            self.known = Some(Known::new(version, &self.secret_values(), SHORTEST));
        }
    }

    fn secret_values(&self) -> Vec<&[u8]> {
        let groups: [(Variable, &[Item]); 4] = [
            (Variable::RequestHeaders, &self.request.headers),
            (Variable::RequestCookies, &self.request.cookies),
            (Variable::Args, &self.request.arguments),
            (Variable::ResponseHeaders, &self.response.headers),
        ];
        let mut values = Vec::new();
        for (variable, items) in groups {
            for item in items {
                let value = self.text.at(item.value);
                match self.secrecy(variable, Some(item.key)) {
                    HeaderSecret::None => {}
                    HeaderSecret::Whole => values.push(value),
                    HeaderSecret::Credentials => values.push(&value[mask::credentials(value)]),
                    HeaderSecret::Cookies => {
                        mask::cookie_values(value, &mut |r| values.push(&value[r]));
                    }
                    HeaderSecret::SetCookie => {
                        mask::set_cookie_value(value, &mut |r| values.push(&value[r]));
                    }
                }
            }
        }
        values.extend(
            self.request
                .body
                .xml_secrets
                .iter()
                .map(|&s| self.text.at(s)),
        );
        values
    }

    /// What `sanitise...` named after rules had matched it is masked in their records too.
    pub(super) fn mask_late(&mut self, rules: &RuleSet) {
        if !self.masks() || self.controls.masked.is_empty() {
            return;
        }
        self.mark_matched();
        let mut named: Vec<Slice> = Vec::new();
        for (variable, items) in [
            (Variable::RequestHeaders, &self.request.headers),
            (Variable::RequestCookies, &self.request.cookies),
            (Variable::Args, &self.request.arguments),
            (Variable::ResponseHeaders, &self.response.headers),
        ] {
            let secret = |i: &&Item| self.secrecy(variable, Some(i.key)) == HeaderSecret::Whole;
            named.extend(items.iter().filter(secret).map(|i| i.value));
        }
        let scalars: Vec<Variable> = self
            .controls
            .masked
            .iter()
            .filter(|(_, name)| name.is_empty())
            .map(|m| m.0)
            .collect();
        for variable in scalars {
            if variable.shape() == crate::variables::Shape::Scalar {
                named.extend(self.scalar(rules, variable));
            }
        }
        for slice in named {
            self.marks.mark(slice);
        }
        for (raw, result) in self.memo.results() {
            if self.marks.covers(raw) {
                self.marks.mark(result);
            }
        }
        self.learn();
        self.rewrite_records();
    }

    /// A slice for a record: bounded, secrets masked.
    pub(super) fn shown(&self, slice: Slice, most: usize) -> Vec<u8> {
        let slice = slice.part(0, most);
        let mut out = Vec::with_capacity(slice.len());
        match self.masks() {
            true => self.marks.write(&self.text, slice, &mut out),
            false => out.extend_from_slice(self.text.at(slice)),
        }
        out
    }

    /// A variable's name for a record.
    pub(super) fn shown_name(&self, name: Slice, most: usize) -> Vec<u8> {
        let bytes = self.text.at(name.part(0, most));
        match self.masks() {
            true => mask::masked(bytes, most),
            false => bytes.to_vec(),
        }
    }

    /// A slice that no rule need have matched: its text is looked through as well.
    pub(super) fn shown_text(&mut self, slice: Slice, most: usize) -> Vec<u8> {
        let slice = slice.part(0, most);
        if self.masks() {
            self.mark_by_text(slice);
        }
        self.shown(slice, most)
    }

    /// A header's value for a record.
    pub(super) fn shown_header(&mut self, variable: Variable, item: Item, most: usize) -> Vec<u8> {
        if self.masks() {
            let secrecy = self.secrecy(variable, Some(item.key));
            self.mark_by_name(item.value, secrecy);
        }
        self.shown_text(item.value, most)
    }

    /// An argument's value for a record.
    pub(super) fn shown_field(&mut self, item: Item, most: usize) -> Vec<u8> {
        self.shown_header(Variable::Args, item, most)
    }

    /// Bytes that were put together for a record.
    pub(super) fn shown_bytes(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if !self.masks() {
            return bytes;
        }
        let bytes = mask::masked(&bytes, bytes.len());
        self.learn();
        self.known
            .as_ref()
            .map_or_else(|| bytes.clone(), |k| k.masked(&bytes))
    }

    /// What is made of secret pieces is secret where they are.
    pub(super) fn carry_marks(&mut self, pieces: &[Slice], whole: Slice) {
        if self.marks.is_empty() {
            return;
        }
        let mut at = 0;
        for &piece in pieces {
            let ranges: Vec<_> = self.marks.within(piece).collect();
            for range in ranges {
                self.marks
                    .mark(whole.part(at + range.start, at + range.end));
            }
            at += piece.len();
        }
    }
}

impl Known {
    fn new(version: (usize, usize, usize), values: &[&[u8]], shortest: usize) -> Self {
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
                    .build(values.iter().map(|v| &v[..v.len().min(MOST_BYTES)]))
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

    fn find(&self, text: &[u8], found: &mut dyn FnMut(std::ops::Range<usize>)) {
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

    fn masked(&self, text: &[u8]) -> Vec<u8> {
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
