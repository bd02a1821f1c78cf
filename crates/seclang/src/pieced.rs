//! Text made of pieces of a file, which knows where each byte came from.

use std::cell::Cell;
use std::ops::Range;

use super::ast::{SourceId, Span};

/// A logical line, or an argument without its quotes.
///
/// After something that was left out (a `\` at the end of a line, the `\` of `\"`) a new run begins. So every range of
/// the text maps back to real lines and columns.
#[derive(Debug, Clone)]
pub(super) struct Pieced {
    text: String,
    /// Where a run starts: in `text`, and in the file. Ascending in both.
    runs: Vec<(usize, usize)>,
    /// The place in the file of an empty range at the end of `text`.
    end: usize,
}

impl Pieced {
    /// Nothing, at this offset of the file.
    pub(super) fn empty(at: usize) -> Self {
        Self {
            text: String::new(),
            runs: Vec::new(),
            end: at,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Appends a piece that starts at this offset of the file.
    pub(super) fn push(&mut self, piece: &str, at: usize) {
        if piece.is_empty() {
            return;
        }
        // A piece that continues the last one in the file needs no run of its own.
        if self.runs.is_empty() || at != self.end {
            self.runs.push((self.text.len(), at));
        }
        self.text.push_str(piece);
        self.end = at + piece.len();
    }

    /// Sets where the file continues after the last piece.
    pub(super) fn end_at(&mut self, at: usize) {
        self.end = at;
    }

    /// Appends a range of another text, run by run.
    pub(super) fn push_range(&mut self, from: &Self, range: Range<usize>) {
        // The run after the one in which the range begins.
        let first = from.runs.partition_point(|run| run.0 <= range.start);
        let mut start = range.start;
        // One turn more than there are runs: the last one goes to the end of the range.
        for index in first..=from.runs.len() {
            let next = from.runs.get(index).map_or(range.end, |run| run.0);
            let end = next.min(range.end);
            self.push(from.slice(start..end), from.place(start));
            if next >= range.end {
                break;
            }
            start = next;
        }
    }

    /// A range, or nothing if it does not fit; the scanner only makes ranges that fit.
    pub(super) fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    /// The file's bytes that a range of the text was made from.
    pub(super) fn span(&self, file: SourceId, range: Range<usize>) -> Span {
        let start = self.place(range.start);
        let end = match range.is_empty() {
            true => start,
            // After the last byte, not where the next byte stands: something may be left out between them.
            false => self.place(range.end - 1) + 1,
        };
        span(file, start..end)
    }

    /// Where in the file the byte at `offset` is.
    pub(super) fn place(&self, offset: usize) -> usize {
        if offset >= self.text.len() {
            return self.end;
        }
        let after = self.runs.partition_point(|run| run.0 <= offset);
        match after.checked_sub(1).and_then(|index| self.runs.get(index)) {
            Some(&(in_text, in_file)) => in_file + (offset - in_text),
            None => self.end,
        }
    }
}

/// A span. The loader keeps files far below 4 GiB; larger offsets are clamped.
pub(super) fn span(file: SourceId, range: Range<usize>) -> Span {
    let clamp = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
    Span {
        file,
        start: clamp(range.start),
        end: clamp(range.end),
    }
}

/// A place in a text. It counts its steps, which prove that the work is linear.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a Pieced,
    pub(super) at: usize,
    steps: &'a Cell<usize>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a Pieced, steps: &'a Cell<usize>) -> Self {
        Self { text, at: 0, steps }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.text.as_bytes().get(self.at + ahead).copied()
    }

    pub(super) fn bump(&mut self) {
        self.at += 1;
        self.steps.set(self.steps.get() + 1);
    }

    /// Moves on if the next byte is this one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.bump();
        }
        found
    }

    /// Moves to the first byte for which `stop` holds, or to the end; says what was passed.
    pub(super) fn until(&mut self, stop: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        while self.peek().is_some_and(|byte| !stop(byte)) {
            self.bump();
        }
        start..self.at
    }

    pub(super) fn skip_blanks(&mut self) -> Range<usize> {
        self.until(|byte| !is_blank(byte))
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.slice(self.at..self.text.text.len())
    }

    /// The character here, whole; for messages and their underline.
    pub(super) fn here(&self) -> Range<usize> {
        let width = self.rest().chars().next().map_or(0, char::len_utf8);
        self.at..self.at + width
    }
}

/// C's `isspace` in the C locale.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_map_back_across_what_was_left_out() {
        // abc\<newline>de\"f
        let mut line = Pieced::empty(0);
        line.push("abc", 0);
        line.push("de", 5);
        line.push("\"f", 8);
        let file = SourceId(0);
        assert_eq!(line.text(), "abcde\"f");
        assert_eq!(line.span(file, 1..4), span(file, 1..6));
        assert_eq!(line.span(file, 5..6), span(file, 8..9));
        assert_eq!(line.span(file, 7..7), span(file, 10..10));

        let mut part = Pieced::empty(2);
        part.push_range(&line, 2..6);
        assert_eq!(part.text(), "cde\"");
        let places: Vec<_> = (0..5).map(|offset| part.place(offset)).collect();
        assert_eq!(places, [2, 5, 6, 8, 9]);
    }
}
