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
        Self {
            path: path.to_owned(),
            text,
            index,
        }
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
        Location::in_text(&self.source.path, &self.source.text, self.start, self.end)
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

    /// Another place in the same file.
    pub(crate) fn with_span(&self, span: std::ops::Range<usize>) -> Self {
        Self {
            start: span.start,
            end: span.end,
            ..*self
        }
    }
}
