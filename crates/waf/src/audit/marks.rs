//! Which bytes of a transaction are secret, by position. Bytes that are copied, captured or expanded from them are
//! secret too.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::mask::MASK;
use crate::variables::{Slice, Text};

/// Ranges that are kept apart, and slices that are remembered as searched. Beyond that number, ranges merge with what
/// lies between them, and slices are searched again: too much is masked, never too little.
const MOST: usize = 65_536;

/// Secret ranges of one transaction's text, disjoint.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Start to end.
    ranges: BTreeMap<u32, u32>,
    /// Slices whose text was searched already.
    looked_at: HashSet<Slice>,
}

impl Marks {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether this slice was not searched before; notes that it is now.
    pub(crate) fn look_at(&mut self, slice: Slice) -> bool {
        // Forgetting costs a second search at most; to refuse a new slice would show its secrets.
        if self.looked_at.len() >= MOST {
            self.looked_at.clear();
        }
        self.looked_at.insert(slice)
    }

    /// Lets all slices be searched again, because more is known to be secret.
    pub(crate) fn look_again(&mut self) {
        self.looked_at.clear();
    }

    pub(crate) fn mark(&mut self, slice: Slice) {
        let Range { mut start, mut end } = slice.range();
        if start >= end {
            return;
        }
        // Joins all ranges that overlap or touch the new one, so that ranges stay disjoint.
        while let Some((&s, &e)) = self.ranges.range(..=end).next_back()
            && e >= start
        {
            start = start.min(s);
            end = end.max(e);
            self.ranges.remove(&s);
        }
        if self.ranges.len() >= MOST {
            if let Some((&s, &e)) = self.ranges.range(..start).next_back() {
                (start, end) = (s, end.max(e));
            } else if let Some((s, e)) = self.ranges.pop_first() {
                (start, end) = (start.min(s), end.max(e));
            }
        }
        self.ranges.insert(start, end);
    }

    /// The secret ranges in a slice, relative to it, ascending.
    pub(crate) fn within(&self, slice: Slice) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = slice.range();
        // The last range that begins before the slice may reach into it.
        let first = self
            .ranges
            .range(..=start)
            .next_back()
            .map_or(start, |(&s, _)| s);
        self.ranges
            .range(first..end.max(first))
            .filter(move |&(_, &e)| e > start)
            .map(move |(&s, &e)| (s.max(start) - start) as usize..(e.min(end) - start) as usize)
            .filter(|r| r.start < r.end)
    }

    pub(crate) fn covers(&self, slice: Slice) -> bool {
        self.within(slice).next() == Some(0..slice.len()) && !slice.is_empty()
    }

    pub(crate) fn touches(&self, slice: Slice) -> bool {
        self.within(slice).next().is_some()
    }

    /// Appends the slice's bytes with its secrets masked.
    pub(crate) fn write(&self, text: &Text, slice: Slice, out: &mut Vec<u8>) {
        let bytes = text.at(slice);
        let mut kept = 0;
        for secret in self.within(slice) {
            out.extend_from_slice(bytes.get(kept..secret.start).unwrap_or_default());
            out.extend_from_slice(MASK);
            kept = secret.end;
        }
        out.extend_from_slice(bytes.get(kept..).unwrap_or_default());
    }

    /// Where the text that [`Marks::write`] makes of the slice has these bytes of it. An end inside a secret becomes
    /// the end of its mask, so that nobody learns how long the secret is and where in it something is.
    pub(crate) fn shown_span(&self, slice: Slice, span: Range<usize>) -> Range<usize> {
        let shown = |at: usize, within_mask: usize| {
            let (mut shown, mut kept) = (0, 0);
            for secret in self.within(slice).take_while(|secret| secret.start < at) {
                shown += secret.start - kept;
                if at < secret.end {
                    return shown + within_mask;
                }
                shown += MASK.len();
                kept = secret.end;
            }
            shown + (at - kept)
        };
        shown(span.start, 0)..shown(span.end, MASK.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_join_and_cut() {
        let mut text = Text::default();
        let all = text.push(b"0123456789");
        let mut marks = Marks::default();
        let shown = |marks: &Marks, slice| {
            let mut out = Vec::new();
            marks.write(&text, slice, &mut out);
            String::from_utf8(out).unwrap()
        };
        marks.mark(all.part(2, 4));
        marks.mark(all.part(6, 7));
        assert_eq!(shown(&marks, all), "01***45***789");
        assert_eq!(shown(&marks, all.part(3, 6)), "***45");
        assert_eq!(shown(&marks, all.part(4, 6)), "45");
        marks.mark(all.part(3, 6));
        assert_eq!(shown(&marks, all), "01***789");
        assert!(marks.covers(all.part(3, 7)) && !marks.covers(all) && marks.touches(all));
        assert!(!marks.touches(all.part(7, 10)) && !marks.covers(all.part(7, 7)));
        marks.mark(all);
        assert_eq!(shown(&marks, all), "***");
    }

    #[test]
    fn a_span_covers_the_masks_that_it_touches() {
        let mut text = Text::default();
        let all = text.push(b"0123456789");
        let mut marks = Marks::default();
        marks.mark(all.part(2, 4));
        marks.mark(all.part(6, 7));
        let mut shown = Vec::new();
        marks.write(&text, all, &mut shown);
        for (span, expected) in [
            (0..2, "01"),
            (1..3, "1***"),
            (3..4, "***"),
            (3..3, "***"),
            (4..6, "45"),
            (3..7, "***45***"),
            (6..10, "***789"),
            (10..10, ""),
        ] {
            let found = marks.shown_span(all, span.clone());
            assert_eq!(&shown[found], expected.as_bytes(), "{span:?}");
        }
        let part = marks.shown_span(all.part(3, 10), 1..2);
        assert_eq!(part, 3..4, "the bytes before the slice do not count");
    }
    #[test]
    fn every_slice_is_searched_however_many_there_are() {
        let mut text = Text::default();
        let all = text.push(&vec![b'x'; MOST + 2]);
        let mut marks = Marks::default();
        for at in 0..MOST + 2 {
            assert!(marks.look_at(all.part(at, at + 1)), "{at}");
        }
        assert!(!marks.look_at(all.part(MOST + 1, MOST + 2)));
        assert!(marks.looked_at.len() <= MOST);
    }

    #[test]
    fn ranges_are_bounded_in_every_order() {
        let mut text = Text::default();
        let most = 2 * (MOST + 8);
        let all = text.push(&vec![b'x'; most]);
        let places: Vec<usize> = (0..most).step_by(2).collect();
        for places in [places.clone(), places.iter().rev().copied().collect()] {
            let mut marks = Marks::default();
            for &at in &places {
                marks.mark(all.part(at, at + 1));
                assert!(marks.covers(all.part(at, at + 1)), "{at}");
            }
            assert!(marks.ranges.len() <= MOST);
        }
    }
}
