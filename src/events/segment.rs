//! The format of a segment: records that are only appended, each with its lengths and checksums.
//!
//! A process can be killed at any byte of a write. What was written before is still read, and [`good_end`] says where
//! the last whole record ends. A record has two parts, so that a list of a million records reads and checks their
//! summaries alone; damage in the second part of one record hides no other.

/// What a segment begins with. The last byte is the version.
pub const MAGIC: &[u8; 8] = b"DBEVENT\x01";
/// The most bytes of a summary, and of the rest of a record.
pub const MOST_SUMMARY: usize = 64 * 1024;
/// See [`MOST_SUMMARY`].
pub const MOST_REST: usize = 16 * 1024 * 1024;
/// Two lengths, the checksum of the rest, and the checksum of all of these and the summary.
const HEAD: usize = 16;

/// A record in the bytes of a segment. Its summary was checked, the rest was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'s> {
    /// What lists show.
    pub summary: &'s [u8],
    rest: &'s [u8],
    checksum: u32,
    /// Its place in the segment.
    pub start: usize,
    /// The place after it.
    pub end: usize,
}

impl<'s> Frame<'s> {
    /// The rest of the record; None if it is not what was written.
    #[must_use]
    pub fn rest(&self) -> Option<&'s [u8]> {
        (crc32fast::hash(self.rest) == self.checksum).then_some(self.rest)
    }
}

/// Appends a record; false, and nothing is appended, if a part is too long.
#[must_use]
pub fn append(segment: &mut Vec<u8>, summary: &[u8], rest: &[u8]) -> bool {
    if summary.len() > MOST_SUMMARY || rest.len() > MOST_REST {
        return false;
    }
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
    let lengths = [length(summary), length(rest)].concat();
    let head = [&lengths[..], &crc32fast::hash(rest).to_le_bytes()].concat();
    let checksum = crc32fast::hash(&[&head[..], summary].concat());
    segment.extend_from_slice(&head);
    segment.extend_from_slice(&checksum.to_le_bytes());
    segment.extend_from_slice(summary);
    segment.extend_from_slice(rest);
    true
}

/// The records of a segment, up to the first one that is not whole.
pub fn frames(segment: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let begins = segment.starts_with(MAGIC);
    let mut at = if begins { MAGIC.len() } else { segment.len() };
    std::iter::from_fn(move || {
        let frame = frame(segment, at)?;
        at = frame.end;
        Some(frame)
    })
}

/// The end of the last whole record; 0 if not even the segment's beginning is there. A record before it may be damaged,
/// for example because a disk lost a block when the power failed: [`Frame::rest`] says so.
#[must_use]
pub fn good_end(segment: &[u8]) -> usize {
    let begin = if segment.starts_with(MAGIC) {
        MAGIC.len()
    } else {
        0
    };
    // Of a record that was being written the summary may be there and the rest not.
    let whole = frames(segment).filter(|frame| frame.rest().is_some());
    whole.last().map_or(begin, |frame| frame.end)
}

/// The record that begins at this place.
#[must_use]
pub fn frame(segment: &[u8], at: usize) -> Option<Frame<'_>> {
    // Each length comes from the disk: it is checked before it is added to anything.
    let head = segment.get(at..at.checked_add(HEAD)?)?;
    let number = |place: usize| {
        let bytes = head.get(place..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let summary_length = usize::try_from(number(0)?).ok()?;
    let rest_length = usize::try_from(number(4)?).ok()?;
    if summary_length > MOST_SUMMARY || rest_length > MOST_REST {
        return None;
    }
    // Both lengths are bounded by now, so that the sums cannot overflow.
    let middle = at + HEAD + summary_length;
    let summary = segment.get(at + HEAD..middle)?;
    let rest = segment.get(middle..middle + rest_length)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head.get(..12)?);
    hasher.update(summary);
    (hasher.finalize() == number(12)?).then_some(Frame {
        summary,
        rest,
        checksum: number(8)?,
        start: at,
        end: middle + rest_length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three records, and where each of them ends.
    fn segment() -> (Vec<u8>, Vec<usize>) {
        let mut segment = MAGIC.to_vec();
        let mut ends = vec![segment.len()];
        for (summary, rest) in [("a", "head and body"), ("", ""), ("bc", "\0\u{ff}")] {
            assert!(append(&mut segment, summary.as_bytes(), rest.as_bytes()));
            ends.push(segment.len());
        }
        (segment, ends)
    }

    #[test]
    fn a_segment_that_is_cut_at_any_byte_keeps_its_whole_records() {
        let (segment, ends) = segment();
        for cut in 0..=segment.len() {
            let whole = ends.iter().rposition(|&end| end <= cut);
            let expected = whole.map_or(0, |index| ends[index]);
            assert_eq!(good_end(&segment[..cut]), expected, "{cut}");
            assert_eq!(frames(&segment[..cut]).count(), whole.unwrap_or(0), "{cut}");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let (segment, ends) = segment();
        for at in 0..segment.len() {
            for bit in [0x01, 0x10, 0x80] {
                let mut bent = segment.clone();
                bent[at] ^= bit;
                let before = ends.iter().rposition(|&end| end <= at).unwrap_or(0);
                let whole = frames(&bent).map(|frame| frame.rest().is_some());
                let whole: Vec<bool> = whole.collect();
                assert!(whole.iter().filter(|whole| **whole).count() < 3, "{at}");
                // What stands before it is found all the same.
                assert!(
                    whole.iter().take(before).all(|whole| *whole),
                    "{at}: {whole:?}"
                );
                assert!(at < MAGIC.len() || whole.len() >= before, "{at}");
            }
        }
    }

    /// A power failure can leave zeros where blocks were not written.
    #[test]
    fn zeros_are_no_record() {
        let (mut segment, ends) = segment();
        segment.resize(segment.len() + 4096, 0);
        assert_eq!(good_end(&segment), ends[3]);
        assert_eq!(frames(&segment).count(), 3);
        segment[ends[0] + HEAD + 1] = 0;
        segment[ends[0] + HEAD + 2] = 0;
        let whole = frames(&segment).map(|frame| frame.rest().is_some());
        assert_eq!(whole.collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(good_end(&segment), ends[3], "later records are kept");
    }

    #[test]
    fn what_is_too_long_is_not_appended() {
        let mut segment = MAGIC.to_vec();
        assert!(!append(&mut segment, &vec![0; MOST_SUMMARY + 1], b""));
        assert_eq!(segment, MAGIC);
    }
}
