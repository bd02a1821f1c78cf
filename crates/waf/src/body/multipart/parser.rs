//! Reads a body line by line, with one part open at a time.
//!
//! Messages and numbers of errors are ModSecurity's, because existing rules and log searches know them. The work is
//! linear: each line is looked at once.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::ops::Range;

use memchr::memmem::Finder;

use super::super::{excerpt, media_type, work};
use super::boundary::Boundary;
use super::disposition::{self, Disposition};
use super::fault::{Failure, MultipartFault};
use super::headers::Headers;
use super::transfer::{self, Coding};
use super::{LONGEST_HEADER, Limits, Multipart, Part};

/// What a line is, without its context.
enum Line {
    /// It begins with the boundary. `end` is None if something follows that may not.
    Boundary {
        is_final: bool,
        end: Option<LineEnd>,
    },
    /// A lenient reader would take it for the boundary.
    Refused(MultipartFault),
    Lookalike,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Lf,
    CrLf,
}

/// The part that is being read.
struct Open<'b> {
    headers: Headers<'b>,
    name: Option<Vec<u8>>,
    filename: Option<Vec<u8>>,
    other_name: Option<Vec<u8>>,
    other_filenames: Vec<Vec<u8>>,
    coding: Coding,
    /// None while in the headers.
    content_start: Option<usize>,
    has_data: bool,
    /// Bytes of the last line end, which belongs to the content only if another line of it follows.
    line_end: usize,
}

pub(super) struct Parser<'p, 'b> {
    body: &'b [u8],
    boundary: &'p [u8],
    /// Finds `--` and the boundary.
    delimiter: Finder<'p>,
    limits: &'p Limits,
    found: &'p mut Multipart<'b>,
    open: Option<Open<'b>>,
    files: usize,
    /// Bytes of part headers, and of contents that are not files, as ModSecurity v2 counts them.
    without_files: usize,
    boundaries: usize,
    complete: bool,
    /// How the line before this one ended.
    previous_end: Option<LineEnd>,
}

impl<'p, 'b> Parser<'p, 'b> {
    pub(super) fn new(
        boundary: &'p Boundary,
        body: &'b [u8],
        limits: &'p Limits,
        found: &'p mut Multipart<'b>,
    ) -> Self {
        Self {
            body,
            boundary: boundary.value(),
            delimiter: Finder::new(boundary.delimiter()),
            limits,
            found,
            open: None,
            files: 0,
            without_files: 0,
            boundaries: 0,
            complete: false,
            previous_end: None,
        }
    }

    pub(super) fn run(mut self) -> Result<(), Failure> {
        let mut at = 0;
        let result = loop {
            let rest = &self.body[at..];
            let Some(length) = memchr::memchr(b'\n', rest) else {
                break self.end_of_body(at);
            };
            let line = &rest[..=length];
            if let Err(failure) = self.line(at, line) {
                break Err(failure);
            }
            if work::is_over() {
                break Err((MultipartFault::OutOfTime, at));
            }
            at += line.len();
            if self.complete {
                let after = &self.body[at..];
                // The epilogue. Readers that go on after the final boundary would find parts in it.
                self.found.flags.data_after |= !after.is_empty();
                self.found.flags.text_after |= !is_blank(after);
                break Ok(());
            }
            self.previous_end = match line {
                [.., b'\r', b'\n'] => Some(LineEnd::CrLf),
                _ => Some(LineEnd::Lf),
            };
        };
        match &result {
            // Rules see what fits.
            Err((MultipartFault::NoFilesLimit, offset)) => self.abandon_part(*offset, *offset),
            Err((_, offset)) => self.abandon_part(*offset, self.body.len()),
            Ok(()) => {}
        }
        result
    }

    /// One line with its line end, which starts at `at`.
    fn line(&mut self, at: usize, line: &'b [u8]) -> Result<(), Failure> {
        work::add(line.len());
        match self.look_at(line) {
            Line::Boundary { is_final, end } => {
                // The line end before a boundary is part of the delimiter (RFC 2046, 5.1.1).
                self.note_line_end_before();
                if !self.stands_in_place_of_data() {
                    return self.boundary_line(at, line, is_final, end);
                }
                self.found.flags.invalid_part = true;
            }
            Line::Refused(fault) => return Err((fault, at)),
            Line::Lookalike => {
                self.found.flags.unmatched_boundary = true;
                self.found.flags.boundary_in_line |= self.delimiter.find(line).is_some();
            }
            Line::Other => {}
        }
        self.data_line(at, line)
    }

    fn look_at(&self, line: &[u8]) -> Line {
        // As v2: two dashes and a line end alone look like no boundary.
        let Some(after_dashes) = line.strip_prefix(b"--").filter(|_| line.len() > 3) else {
            return match self.delimiter.find(line) {
                Some(_) => Line::Lookalike,
                None => Line::Other,
            };
        };
        if let Some(tail) = after_dashes.strip_prefix(self.boundary) {
            let (is_final, tail) = match tail.strip_prefix(b"--") {
                Some(tail) => (true, tail),
                None => (false, tail),
            };
            let end = match tail {
                b"\n" => Some(LineEnd::Lf),
                b"\r\n" => Some(LineEnd::CrLf),
                _ => None,
            };
            return Line::Boundary { is_final, end };
        }
        let quoted = after_dashes.strip_prefix(b"\"");
        if self.found.flags.boundary_quoted && quoted.is_some_and(|b| b.starts_with(self.boundary))
        {
            return Line::Refused(MultipartFault::QuotedBoundaryLine);
        }
        let trimmed = super::super::cookies::trim_start(after_dashes);
        if trimmed.len() < after_dashes.len() && trimmed.starts_with(self.boundary) {
            return Line::Refused(MultipartFault::IndentedBoundaryLine);
        }
        Line::Lookalike
    }

    /// Whether a boundary here stands where the headers or the first line of data of the open part should be. It is
    /// then taken for such a line.
    fn stands_in_place_of_data(&self) -> bool {
        self.boundaries > 0 && self.open.as_ref().is_some_and(|part| !part.has_data)
    }

    fn note_line_end_before(&mut self) {
        self.found.flags.lf_line |= self.previous_end == Some(LineEnd::Lf);
    }

    fn boundary_line(
        &mut self,
        at: usize,
        line: &[u8],
        is_final: bool,
        end: Option<LineEnd>,
    ) -> Result<(), Failure> {
        match end {
            Some(LineEnd::CrLf) => self.found.flags.crlf_line = true,
            Some(LineEnd::Lf) => self.found.flags.lf_line = true,
            None => return Err((MultipartFault::BoundaryLine(excerpt(line)), at)),
        }
        self.close_part(at);
        self.boundaries += 1;
        if is_final {
            self.complete = true;
            return Ok(());
        }
        if self.found.parts.len() >= self.limits.parts {
            return Err((MultipartFault::TooManyParts(self.limits.parts), at));
        }
        self.open = Some(Open {
            headers: Headers::default(),
            name: None,
            filename: None,
            other_name: None,
            other_filenames: Vec::new(),
            coding: Coding::Identity,
            content_start: None,
            has_data: false,
            line_end: 0,
        });
        Ok(())
    }

    fn data_line(&mut self, at: usize, line: &'b [u8]) -> Result<(), Failure> {
        let Some(part) = &mut self.open else {
            self.found.flags.data_before = true;
            self.found.flags.text_before |= !is_blank(line);
            return Ok(());
        };
        if part.content_start.is_some() {
            // Content is kept as positions in the body, so its lines need no copy.
            part.has_data = true;
            // `SecRequestBodyNoFilesLimit` does not count what is in files.
            if part.filename.is_some() {
                return Ok(());
            }
            let line_end = line_end(line);
            let pending = std::mem::replace(&mut part.line_end, line_end);
            let room = self.limits.without_files - self.without_files;
            let stopped = (at - pending).saturating_add(room).min(at + line.len());
            return self.count_without_files(pending + line.len() - line_end, stopped);
        }
        if line.len() > LONGEST_HEADER {
            return Err((MultipartFault::HeaderLineTooLong, at));
        }
        // A reader of C strings would see a shorter header.
        if memchr::memchr(0, line).is_some() {
            return Err((MultipartFault::NulInHeaders, at));
        }
        if line.ends_with(b"\r\n") {
            self.found.flags.crlf_line = true;
        } else {
            self.found.flags.lf_line = true;
        }
        if matches!(line, b"\n" | b"\r\n") {
            self.headers_end(at, at + line.len())?;
        } else {
            part.headers
                .add_line(line, self.limits.headers_per_part, &mut self.found.flags)
                .map_err(|fault| (fault, at))?;
        }
        self.count_without_files(line.len(), at + line.len())
    }

    /// As in ModSecurity v2, a body is over the limit if it reaches it. `stopped` is where rules see no more then.
    fn count_without_files(&mut self, bytes: usize, stopped: usize) -> Result<(), Failure> {
        self.without_files += bytes;
        match self.without_files < self.limits.without_files {
            true => Ok(()),
            false => Err((MultipartFault::NoFilesLimit, stopped)),
        }
    }

    fn headers_end(&mut self, at: usize, content_start: usize) -> Result<(), Failure> {
        // Only an open part has headers.
        let Some(part) = &mut self.open else {
            return Ok(());
        };
        let Some(value) = part.headers.value(b"Content-Disposition") else {
            return Err((MultipartFault::NoDisposition, at));
        };
        let said = disposition::parse(value, &mut self.found.flags);
        let fault = match said {
            Disposition {
                refused: Some(code),
                ..
            } => Some(MultipartFault::Disposition {
                code,
                value: excerpt(value),
            }),
            Disposition { name: None, .. } => Some(MultipartFault::DispositionWithoutName),
            Disposition {
                filename: None,
                extended: Some(_),
                ..
            } => Some(MultipartFault::DispositionFilename),
            // Simple readers search for exactly this text. If it is missing, they see a field instead of a file.
            Disposition {
                filename: Some(_), ..
            } if memchr::memmem::find(value, b"filename=").is_none() => {
                Some(MultipartFault::DispositionFilename)
            }
            _ => None,
        };
        if let Some(name) = &said.name {
            self.found.name.clone_from(name);
        }
        if let Some(filename) = &said.filename {
            self.found.filename.clone_from(filename);
        }
        if said.filename.is_some() {
            self.files += 1;
            self.found.flags.file_limit_exceeded |= self.files > self.limits.files;
        }
        let coding = part.headers.value(b"Content-Transfer-Encoding");
        part.coding = coding.map_or(Coding::Identity, Coding::of);
        self.found.flags.part_coding |= part.coding == Coding::Unknown;
        let kind = part.headers.value(b"Content-Type").unwrap_or_default();
        let reads = |charset: Option<&[u8]>| charset.is_none_or(media_type::holds_ascii);
        self.found.flags.part_coding |=
            // No rule reads what a file contains, so its charset hides nothing.
            said.filename.is_none() && !media_type::charset(kind).is_ok_and(reads);
        part.other_name = said.name.as_deref().and_then(transfer::encoded_words);
        let words = said.filename.as_deref().and_then(transfer::encoded_words);
        for other in said.extended.into_iter().chain(words) {
            if said.filename.as_ref() != Some(&other) && !part.other_filenames.contains(&other) {
                part.other_filenames.push(other);
            }
        }
        // Also if the header is refused: rules see what could be read of it.
        part.name = said.name;
        part.filename = said.filename;
        if let Some(fault) = fault {
            return Err((fault, at));
        }
        part.content_start = Some(content_start);
        Ok(())
    }

    /// Puts the open part among the parts. `end` is where the line of its boundary starts.
    fn close_part(&mut self, end: usize) {
        let Some(part) = self.open.take() else { return };
        let start = part.content_start.unwrap_or(end);
        // The line end before a boundary belongs to the boundary.
        let line_end = line_end(&self.body[start..end]);
        self.found.flags.invalid_part |= part.name.is_none();
        self.push_part(part, start..end - line_end, true);
    }

    /// Keeps the open part with the body up to `end`, from the point where reading stopped.
    fn abandon_part(&mut self, stopped: usize, end: usize) {
        let Some(part) = self.open.take() else { return };
        let start = part.content_start.unwrap_or(stopped);
        self.push_part(part, start..end, false);
    }

    fn push_part(&mut self, part: Open<'b>, content: Range<usize>, complete: bool) {
        // The contents of files are no value of any rule.
        let coded = match part.filename {
            None => part.coding.decode(&self.body[content.clone()]),
            Some(_) => None,
        };
        let decoded = coded.map(|(decoded, clean)| {
            self.found.flags.part_coding |= !clean;
            decoded
        });
        self.found.parts.push(Part {
            name: part.name.unwrap_or_default(),
            filename: part.filename,
            other_name: part.other_name,
            other_filenames: part.other_filenames,
            decoded,
            headers: part.headers.into_lines(),
            content,
            complete,
        });
    }

    /// The rest without a line end: the final boundary, or an incomplete body.
    fn end_of_body(&mut self, at: usize) -> Result<(), Failure> {
        // An empty body has no parts to miss, whatever its type says.
        if self.body.is_empty() {
            return Ok(());
        }
        let rest = &self.body[at..];
        // From the start of the body: no part has taken any of it, and rules must see all of it.
        if self.boundaries == 0 {
            return Err((MultipartFault::NoBoundaryLine, 0));
        }
        let is_final = rest
            .strip_prefix(b"--")
            .and_then(|rest| rest.strip_prefix(self.boundary))
            .is_some_and(|rest| rest == b"--");
        // RFC 2046 (5.1.1) asks for no line end after the last boundary.
        if !is_final {
            return Err((MultipartFault::NoFinalBoundary, at));
        }
        self.note_line_end_before();
        if self.stands_in_place_of_data() {
            self.found.flags.invalid_part = true;
        }
        self.close_part(at);
        self.complete = true;
        Ok(())
    }
}

/// How many bytes at the end of these are a line end.
fn line_end(bytes: &[u8]) -> usize {
    match bytes {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// Only line ends and blanks, which no reader interprets.
fn is_blank(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|b| matches!(b, b'\r' | b'\n' | b' ' | b'\t'))
}
