//! `multipart/form-data`.
//!
//! Readers of this format disagree, and attacks use the differences. So this one works like ModSecurity v2: it accepts
//! what many backends accept, notes in [`Flags`] whatever a strict reader would not accept, and stops with an error
//! where a lenient reader might see other parts. The parts before an error, and the one that contains it, are kept for
//! inspection.
//!
//! Facts: RFC 7578, RFC 2046 section 5.1, ModSecurity's reference manual (`MULTIPART_*`).

mod boundary;
mod disposition;
mod fault;
mod headers;
mod parser;
mod transfer;

use std::borrow::Cow;
use std::ops::Range;

use super::BodyError;
use boundary::Boundary;
use fault::MultipartFault;
use parser::Parser;

/// The longest part header in bytes, with its line end and its folded lines, as in ModSecurity v2.
const LONGEST_HEADER: usize = 4096;

/// The most that is read; beyond it the body has an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Parts of the body.
    pub parts: usize,
    /// `SecUploadFileLimit`: more files than this raise [`Flags::file_limit_exceeded`].
    pub files: usize,
    /// Header lines of one part, folded ones joined.
    pub headers_per_part: usize,
    /// `SecRequestBodyNoFilesLimit`: from this many bytes of part headers and fields on, nothing more is read.
    pub without_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parts: 1000,
            files: 100,
            headers_per_part: 32,
            without_files: usize::MAX,
        }
    }
}

/// What was found in a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Multipart<'b> {
    /// In order of the body.
    pub parts: Vec<Part<'b>>,
    /// `MULTIPART_NAME`: the last name that a Content-Disposition gave.
    pub name: Vec<u8>,
    /// `MULTIPART_FILENAME`: the last file name that a Content-Disposition gave.
    pub filename: Vec<u8>,
    /// What a strict reader would not accept.
    pub flags: Flags,
    /// Why the body could not be read to its end.
    pub error: Option<BodyError>,
    /// Where reading ended because [`Limits::without_files`] was reached.
    pub cut_at: Option<usize>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'b> {
    /// Empty if the part ended inside its headers.
    pub name: Vec<u8>,
    /// Some for a file, empty or not; None for a form field.
    pub filename: Option<Vec<u8>>,
    /// What the name says to a reader of RFC 2047, if that is something else.
    pub other_name: Option<Vec<u8>>,
    /// What `filename*` or the file name says to a reader of RFC 8187 or RFC 2047, if that is something else.
    pub other_filenames: Vec<Vec<u8>>,
    /// `MULTIPART_PART_HEADERS`: whole header lines without line ends, folded ones joined.
    pub headers: Vec<Cow<'b, [u8]>>,
    /// Where in the body its content is.
    pub content: Range<usize>,
    /// What the content of a field stands for, if a Content-Transfer-Encoding says that it is coded.
    pub decoded: Option<Vec<u8>>,
    /// Whether a boundary closed it.
    pub complete: bool,
}

/// `MULTIPART_*`: what a strict reader would not accept.
#[allow(clippy::struct_excessive_bools)] // Each one is a variable that rules read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// The body is in error; see [`Multipart::error`].
    pub error: bool,
    /// `MULTIPART_BOUNDARY_QUOTED`
    pub boundary_quoted: bool,
    /// `MULTIPART_BOUNDARY_WHITESPACE`
    pub boundary_whitespace: bool,
    /// `MULTIPART_DATA_BEFORE`
    pub data_before: bool,
    /// `MULTIPART_DATA_AFTER`
    pub data_after: bool,
    /// `MULTIPART_HEADER_FOLDING`
    pub header_folding: bool,
    /// A line ended with CRLF; `MULTIPART_CRLF_LF_LINES` is this and [`Flags::lf_line`].
    pub crlf_line: bool,
    /// `MULTIPART_LF_LINE`
    pub lf_line: bool,
    /// `MULTIPART_MISSING_SEMICOLON`
    pub missing_semicolon: bool,
    /// `MULTIPART_INVALID_QUOTING`
    pub invalid_quoting: bool,
    /// `MULTIPART_INVALID_PART`
    pub invalid_part: bool,
    /// `MULTIPART_INVALID_HEADER_FOLDING`
    pub invalid_header_folding: bool,
    /// `MULTIPART_FILE_LIMIT_EXCEEDED`
    pub file_limit_exceeded: bool,
    /// A line looks like a boundary but is none. As in ModSecurity v2 not part of
    /// [`Flags::strict_error`], and only 0 or 1: version 3's 2 would also hide lines that a backend
    /// may take for its boundary.
    pub unmatched_boundary: bool,
    /// The boundary stands in the middle of a line, where a reader with other line ends finds it. Part
    /// of [`Flags::unmatched_boundary`], which any line with two dashes sets too.
    pub boundary_in_line: bool,
    /// ModSecurity v2 would have stopped with an error, although there is only one way to read it; part of
    /// [`Flags::strict_error`].
    pub v2_refuses: bool,
    /// More than line ends before the first boundary: part of [`Flags::data_before`].
    pub text_before: bool,
    /// More than line ends after the last boundary: part of [`Flags::data_after`].
    pub text_after: bool,
    /// A folded Content-Disposition or Content-Transfer-Encoding: part of [`Flags::header_folding`].
    pub folded_meaning: bool,
    /// A Content-Transfer-Encoding that is unknown, content that is not coded as it says, or a field's charset in
    /// which ASCII is other bytes.
    pub part_coding: bool,
}

impl Flags {
    /// `MULTIPART_STRICT_ERROR`.
    #[must_use]
    pub fn strict_error(&self) -> bool {
        self.error
            || self.boundary_quoted
            || self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.lf_line
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_header_folding
            || self.file_limit_exceeded
            // The others are those that ModSecurity v2 sums up.
            || self.v2_refuses
    }

    /// What another reader may interpret differently: the variable and a description. Errors are not included, nor is
    /// anything that all readers which accept it read alike.
    #[must_use]
    pub fn doubt(&self) -> Option<&'static str> {
        let doubts = [
            (
                self.boundary_in_line,
                "MULTIPART_UNMATCHED_BOUNDARY: the boundary in the middle of a line",
            ),
            (
                self.boundary_whitespace,
                "MULTIPART_BOUNDARY_WHITESPACE: blanks in the boundary",
            ),
            (
                self.text_before,
                "MULTIPART_DATA_BEFORE: data before the first boundary",
            ),
            (
                self.text_after,
                "MULTIPART_DATA_AFTER: data after the last boundary",
            ),
            (
                self.folded_meaning,
                "MULTIPART_HEADER_FOLDING: a folded header that says what the part is",
            ),
            (
                self.invalid_header_folding,
                "MULTIPART_INVALID_HEADER_FOLDING: a header that is folded in a wrong way",
            ),
            (
                self.lf_line,
                "MULTIPART_LF_LINE: lines that end with a bare line feed",
            ),
            (
                self.missing_semicolon,
                "MULTIPART_MISSING_SEMICOLON: a missing semicolon",
            ),
            (
                self.invalid_quoting,
                "MULTIPART_INVALID_QUOTING: invalid quotes",
            ),
            (
                self.invalid_part,
                "MULTIPART_INVALID_PART: a part that is no part",
            ),
            (
                self.file_limit_exceeded,
                "MULTIPART_FILE_LIMIT_EXCEEDED: more files than SecUploadFileLimit",
            ),
            (
                self.part_coding,
                "MULTIPART_PART_HEADERS: a Content-Transfer-Encoding or a charset that is not read",
            ),
        ];
        doubts.iter().find(|(is, _)| *is).map(|(_, words)| *words)
    }

    /// `MULTIPART_CRLF_LF_LINES`: both kinds of line end.
    #[must_use]
    pub fn crlf_lf_lines(&self) -> bool {
        self.crlf_line && self.lf_line
    }
}

impl<'b> Multipart<'b> {
    /// The parts that are files, in order.
    pub fn files(&self) -> impl Iterator<Item = &Part<'b>> {
        self.parts.iter().filter(|part| part.filename.is_some())
    }

    /// The parts that are form fields, in order (`ARGS_POST`).
    pub fn fields(&self) -> impl Iterator<Item = &Part<'b>> {
        self.parts.iter().filter(|part| part.filename.is_none())
    }

    /// `FILES_COMBINED_SIZE`, in bytes.
    #[must_use]
    pub fn files_combined_size(&self) -> usize {
        self.files().map(|file| file.content.len()).sum()
    }
}

impl Multipart<'_> {
    /// Adds what could not be read as a part, so that rules still see it.
    fn keep_unread(&mut self, body: &[u8], offset: usize) {
        // The open part already holds the rest of the body.
        let in_a_part = self
            .parts
            .last()
            .is_some_and(|part| part.content.end > offset);
        if offset < body.len() && !in_a_part {
            self.parts.push(Part {
                name: Vec::new(),
                filename: None,
                other_name: None,
                other_filenames: Vec::new(),
                headers: Vec::new(),
                content: offset..body.len(),
                decoded: None,
                complete: false,
            });
        }
    }
}

/// Reads `body` as parts, as the Content-Type of the request announces them.
#[must_use]
pub fn parse<'b>(content_type: &[u8], body: &'b [u8], limits: &Limits) -> Multipart<'b> {
    let mut found = Multipart::default();
    let result = Boundary::from_content_type(content_type, &mut found.flags)
        .map_err(|fault| (fault, 0))
        .and_then(|boundary| Parser::new(&boundary, body, limits, &mut found).run());
    match result {
        Ok(()) => {}
        // No error of the body: the limit's action decides what becomes of the request.
        Err((MultipartFault::NoFilesLimit, offset)) => found.cut_at = Some(offset),
        Err((fault, offset)) => {
            found.flags.error = true;
            found.keep_unread(body, offset);
            found.error = Some(BodyError::new(
                format!("Multipart parsing error: Multipart: {fault}"),
                offset,
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests;
