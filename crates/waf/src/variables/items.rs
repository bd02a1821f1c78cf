//! Where a transaction keeps its bytes.
//!
//! A text only grows, so a [`Slice`] stays valid and can be copied freely. It takes 8 bytes, half of a reference to
//! bytes.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::sync::Arc;

use super::Variable;

/// Bytes in a transaction's [`Text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Slice {
    start: u32,
    length: u32,
}

impl Slice {
    pub(crate) const EMPTY: Self = Self {
        start: 0,
        length: 0,
    };

    pub(crate) const fn len(self) -> usize {
        self.length as usize
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// Its position in the text.
    pub(crate) const fn range(self) -> std::ops::Range<u32> {
        self.start..self.start + self.length
    }

    /// The part `from..to` of it; positions past the end mean the end.
    pub(crate) fn part(self, from: usize, to: usize) -> Self {
        // Clamped, so that a part never reaches into the bytes of another value.
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).min(self.length);
        let (from, to) = (clamp(from), clamp(to));
        Self {
            start: self.start + from,
            length: to.saturating_sub(from),
        }
    }
}

/// All bytes of one transaction, append-only. The literals of the rule set come first and are shared, so that the
/// [`Slice`] of a literal is the same in every transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    shared: Arc<[u8]>,
    own: Vec<u8>,
}

impl Text {
    /// A text whose contents can be shared between transactions.
    pub(crate) fn freeze(self) -> Self {
        let all: Vec<u8> = self.shared.iter().copied().chain(self.own).collect();
        Self {
            shared: all.into(),
            own: Vec::new(),
        }
    }

    /// A text for a transaction: the frozen part is shared, and the transaction's own bytes go into an empty buffer.
    pub(crate) fn share(&self, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        // Enough for the head of an ordinary request, so that it does not grow in steps.
        buffer.reserve(8192);
        Self {
            shared: Arc::clone(&self.shared),
            own: buffer,
        }
    }

    /// Takes the buffer for another transaction. Slices of this one are then empty.
    pub(crate) fn take_own(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.own)
    }

    /// Appends bytes. Beyond 4 GiB, which positions cannot express, nothing is stored; limits of bodies are far below.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Slice {
        let start = self.len();
        let (Ok(start), Ok(length), false) = (
            u32::try_from(start),
            u32::try_from(bytes.len()),
            // All empty slices are equal, wherever they come from.
            bytes.is_empty() || start + bytes.len() >= u32::MAX as usize,
        ) else {
            return Slice::EMPTY;
        };
        self.own.extend_from_slice(bytes);
        Slice { start, length }
    }

    pub(crate) fn push_number(&mut self, number: i64) -> Slice {
        let mut digits = Digits::default();
        self.push(digits.format(number))
    }

    #[inline]
    pub(crate) fn at(&self, slice: Slice) -> &[u8] {
        let start = slice.start as usize;
        let length = slice.length as usize;
        // A slice is made by `push` or `since`, or is part of one, so none spans both halves.
        match start.checked_sub(self.shared.len()) {
            Some(start) => self.own.get(start..start + length),
            None => self.shared.get(start..start + length),
        }
        .unwrap_or_default()
    }

    /// Whether the bytes stand in the rules, and not in what a client sent or what was made of it.
    pub(crate) fn is_literal(&self, slice: Slice) -> bool {
        slice.range().end as usize <= self.shared.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    /// Forgets what was pushed since the text was `mark` bytes long. No slice of that may be used any more.
    pub(crate) fn truncate(&mut self, mark: usize) {
        self.own.truncate(mark.saturating_sub(self.shared.len()));
    }

    /// What was pushed since the text was `mark` bytes long, as one slice.
    pub(crate) fn since(&self, mark: usize) -> Slice {
        let start = u32::try_from(mark.min(self.len())).unwrap_or(u32::MAX);
        let length = u32::try_from(self.len() - start as usize).unwrap_or(0);
        Slice { start, length }
    }

    /// Copies bytes that are already in it to its end.
    pub(crate) fn repeat(&mut self, slice: Slice) {
        if self.len() + slice.len() >= u32::MAX as usize {
            return;
        }
        let start = slice.start as usize;
        match start.checked_sub(self.shared.len()) {
            // As in `at`, no slice spans both halves.
            Some(start) if start + slice.len() <= self.own.len() => {
                self.own.extend_from_within(start..start + slice.len());
            }
            None if start + slice.len() <= self.shared.len() => {
                self.own
                    .extend_from_slice(&self.shared[start..start + slice.len()]);
            }
            _ => {}
        }
    }
}

/// The decimal digits of a number, without an allocation. 20 bytes hold the longest: a sign and 19 digits.
#[derive(Default)]
pub(crate) struct Digits([u8; 20]);

impl Digits {
    pub(crate) fn format(&mut self, number: i64) -> &[u8] {
        let mut at = self.0.len();
        // Not `abs`: the smallest number has no positive counterpart.
        let mut rest = number.unsigned_abs();
        loop {
            // Before the test for the end, so that zero has a digit too.
            at -= 1;
            self.0[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            self.0[at] = b'-';
        }
        &self.0[at..]
    }
}

/// A variable's value, as a rule sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    /// Through which variable it was selected.
    pub variable: Variable,
    /// Its name in a collection, as sent.
    pub key: Option<Slice>,
    pub text: Slice,
    /// Its row in the phase's proposals; [`Value::NO_ITEM`] if it has none.
    pub item: u32,
}

impl Value {
    pub(crate) const NO_ITEM: u32 = u32::MAX;

    /// Sets the row: `index` rows after the first of its variable.
    pub(crate) fn with_item(mut self, base: Option<u32>, index: u32) -> Self {
        self.item = base.map_or(Self::NO_ITEM, |b| b.saturating_add(index));
        self
    }

    pub(crate) const fn new(variable: Variable, key: Option<Slice>, text: Slice) -> Self {
        Self {
            variable,
            key,
            text,
            item: Self::NO_ITEM,
        }
    }

    /// Appends `COLLECTION:name`, or the variable's name if there is none.
    pub(crate) fn push_name(&self, text: &mut Text) -> Slice {
        // Pushes stand side by side in the text, so together they are one slice.
        let mark = text.len();
        text.push(self.variable.name().as_bytes());
        if let Some(key) = self.key {
            text.push(b":");
            text.repeat(key);
        }
        text.since(mark)
    }
}

/// C's `atoi` over bytes: leading blanks, a sign, digits; everything else is 0.
pub(crate) fn atoi(text: &[u8]) -> i64 {
    let blanks = text
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'..=b'\r'))
        .count();
    let text = &text[blanks..];
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0i64, |n, b| {
            let digit = i64::from(b - b'0');
            let n = n.saturating_mul(10);
            // Downwards from zero, because the smallest number has no positive counterpart.
            if negative {
                n.saturating_sub(digit)
            } else {
                n.saturating_add(digit)
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoi_is_c() {
        for (text, number) in [
            ("12", 12),
            (" -3x", -3),
            ("+4", 4),
            ("\x0b5", 5),
            ("-99999999999999999999", i64::MIN),
            ("x", 0),
            ("", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(atoi(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn digits() {
        let mut d = Digits::default();
        for n in [0, 7, -1, 10, 4290, i64::MAX, i64::MIN] {
            assert_eq!(d.format(n), n.to_string().as_bytes());
        }
    }

    #[test]
    fn slices_stay_valid() {
        let mut text = Text::default();
        let a = text.push(b"hello");
        let b = text.push_number(-12);
        assert_eq!(
            (text.at(a), text.at(b), text.at(a.part(1, 3))),
            (&b"hello"[..], &b"-12"[..], &b"el"[..])
        );
        assert_eq!(text.at(a.part(4, 99)), b"o");
        let mut next = text.freeze().share(Vec::new());
        let mark = next.len();
        next.repeat(a);
        assert_eq!(next.at(next.since(mark)), b"hello");
        let c = next.push(b"more");
        next.repeat(c);
        assert_eq!(
            (next.at(a), next.at(c), next.at(next.since(mark))),
            (&b"hello"[..], &b"more"[..], &b"hellomoremore"[..])
        );
    }
}
