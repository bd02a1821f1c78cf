//! The text of a configuration file, and places in it.
//!
//! A place stays with its value through all steps, so that a problem that only a later step finds is reported with its
//! line.

use std::fmt;
use std::path::{Path, PathBuf};

use seclang::diagnostic::Location;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A file and its text.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Where its lines begin. Every listener, route and certificate asks for the line of its place.
    line_starts: Vec<usize>,
    /// The order in which the files were read. Problems are sorted by it.
    pub(crate) index: usize,
}

/// A place in a source: from one byte to another.
#[derive(Clone, Copy)]
pub(crate) struct At<'s> {
    source: &'s Source,
    start: usize,
    end: usize,
}

/// A value and where it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed<'s, T> {
    pub(crate) value: T,
    pub(crate) at: At<'s>,
}

impl Source {
    pub(crate) fn new(path: &Path, mut text: String, index: usize) -> Self {
        // Some Windows editors write one. It would shift the columns of the first line.
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len_utf8());
        }
        // Only now, since places count from behind the mark.
        let after_line_feeds = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        Self {
            path: path.to_owned(),
            line_starts: std::iter::once(0).chain(after_line_feeds).collect(),
            text,
            index,
        }
    }

    /// The number of the line that this byte is on, from 1.
    fn line(&self, byte: usize) -> u32 {
        let begun = self.line_starts.partition_point(|&start| start <= byte);
        u32::try_from(begun).unwrap_or(u32::MAX)
    }

    pub(crate) fn at(&self, start: usize, end: usize) -> At<'_> {
        At {
            source: self,
            start,
            end,
        }
    }

    /// The folder from which relative paths in this file start. An included file in another folder has its own.
    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

impl fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl<'s> At<'s> {
    pub(crate) fn location(&self) -> Location {
        let Source { path, text, .. } = self.source;
        let line = self.source.line(self.start);
        Location::on_line(path, text, self.start, self.end, line)
    }

    /// The index of the file and the byte in it: the order in which problems are reported.
    pub(crate) fn order(&self) -> (usize, usize) {
        (self.source.index, self.start)
    }

    /// `file:line:column`, for a message about another place.
    pub(crate) fn text(&self) -> String {
        let at = self.location();
        format!("{}:{}:{}", at.path.display(), at.line, at.column)
    }

    pub(crate) fn directory(&self) -> &'s Path {
        self.source.directory()
    }

    /// The file that a path at this place names.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.source.directory().join(path)
    }

    /// The text that it is in.
    pub(crate) fn source(&self) -> &'s Source {
        self.source
    }

    /// Its bytes in that text.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// Another place in the same file.
    pub(crate) fn with_span(&self, span: std::ops::Range<usize>) -> Self {
        Self {
            start: span.start,
            end: span.end,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_on_the_line_that_counting_finds() {
        for text in ["", "a", "\n", "a\nb", "a\n\nü = 1\r\n", "\u{feff}a\n"] {
            let source = Source::new(Path::new("a.toml"), text.to_owned(), 0);
            for start in 0..=source.text.len() + 2 {
                let counted = Location::in_text(&source.path, &source.text, start, start + 1);
                let found = source.at(start, start + 1).location();
                assert_eq!(found, counted, "byte {start} of {text:?}");
            }
        }
    }
}
