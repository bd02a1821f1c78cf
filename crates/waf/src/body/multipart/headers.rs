//! The header lines of one part.
//!
//! A line that is refused is still kept, so that `MULTIPART_PART_HEADERS` shows it.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::borrow::Cow;

use super::super::{excerpt, is_space, work};
use super::fault::MultipartFault;
use super::{Flags, LONGEST_HEADER};

/// Headers that say what a part is. A reader that does not unfold them sees another part.
const MEANINGFUL: [&[u8]; 2] = [b"Content-Disposition", b"Content-Transfer-Encoding"];

/// What was read of a part's headers so far.
#[derive(Default)]
pub(super) struct Headers<'b> {
    fields: Vec<Field<'b>>,
}

struct Field<'b> {
    /// The whole line, folded ones joined by a space.
    line: Cow<'b, [u8]>,
    /// The length of the name in front of the colon.
    name: usize,
    /// Where in `line` the value starts.
    value: usize,
}

impl<'b> Headers<'b> {
    /// Takes one line that is not the empty one, with its line end.
    pub(super) fn add_line(
        &mut self,
        line: &'b [u8],
        limit: usize,
        flags: &mut Flags,
    ) -> Result<(), MultipartFault> {
        if line.first().is_some_and(|&b| is_space(b)) {
            return self.unfold(line, flags);
        }
        let line = without_line_end(line);
        let Some(colon) = memchr::memchr(b':', line) else {
            self.keep_refused(line);
            return Err(MultipartFault::HeaderWithoutColon(excerpt(line)));
        };
        let name = &line[..colon];
        if let Some(fault) = self.fault_of(name, limit) {
            self.keep_refused(line);
            return Err(fault);
        }
        let blanks = line[colon + 1..]
            .iter()
            .take_while(|&&b| matches!(b, b' ' | b'\t'))
            .count();
        self.fields.push(Field {
            line: Cow::Borrowed(line),
            name: colon,
            value: colon + 1 + blanks,
        });
        Ok(())
    }

    fn fault_of(&self, name: &[u8], limit: usize) -> Option<MultipartFault> {
        if name.is_empty() {
            return Some(MultipartFault::HeaderWithoutName);
        }
        if !name.iter().all(u8::is_ascii_graphic) {
            return Some(MultipartFault::HeaderCharacters);
        }
        // Readers differ in which of two equal headers they use.
        if self.value(name).is_some() {
            return Some(MultipartFault::DuplicateHeader(excerpt(name)));
        }
        if self.fields.len() >= limit {
            return Some(MultipartFault::TooManyHeaders(limit));
        }
        None
    }

    /// Keeps the line at which reading stopped, so that rules see it.
    fn keep_refused(&mut self, line: &'b [u8]) {
        self.fields.push(Field {
            line: Cow::Borrowed(line),
            // Empty, so that no search for a header finds the line.
            name: 0,
            value: line.len(),
        });
    }

    /// Joins a line that starts with a blank to the one before it.
    fn unfold(&mut self, line: &[u8], flags: &mut Flags) -> Result<(), MultipartFault> {
        flags.header_folding = true;
        let blanks = line.iter().take_while(|&&b| is_space(b)).count();
        let (blanks, data) = line.split_at(blanks);
        let data = without_line_end(data);
        // PHP takes any white space for folding; RFC 822 only these two.
        if blanks.iter().any(|b| !matches!(b, b' ' | b'\t')) {
            flags.invalid_header_folding = true;
        }
        let Some(field) = self.fields.last_mut() else {
            return Err(MultipartFault::FoldedFirstHeader);
        };
        let name = &field.line[..field.name];
        flags.folded_meaning |= MEANINGFUL
            .iter()
            .any(|meaningful| name.eq_ignore_ascii_case(meaningful));
        let joined = field.line.to_mut();
        joined.push(b' ');
        joined.extend_from_slice(data);
        // Folding would otherwise get around the limit of a line.
        if joined.len() > LONGEST_HEADER {
            return Err(MultipartFault::HeaderTooLong);
        }
        Ok(())
    }

    /// The value of the header of this name, in any case.
    pub(super) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        work::add(self.fields.len());
        self.fields
            .iter()
            .find(|field| field.line[..field.name].eq_ignore_ascii_case(name))
            .map(|field| &field.line[field.value.min(field.line.len())..])
    }

    pub(super) fn into_lines(self) -> Vec<Cow<'b, [u8]>> {
        self.fields.into_iter().map(|field| field.line).collect()
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
