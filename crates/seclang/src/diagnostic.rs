//! A problem in a file that a user wrote: where it is, what it is, and what to do about it.
//!
//! Rule files and the configuration share this type, so that all problems look the same.

use std::fmt;
use std::path::{Path, PathBuf};

/// Whether a problem keeps the configuration from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration can be used; something in it most likely does not do what its author means.
    Warning,
    /// The configuration is not used.
    Error,
}

/// A place in a file. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// How many characters the caret underlines; at least 1.
    pub width: u32,
    /// The text of the line, for the caret display; empty if there is none.
    pub text: String,
}

impl Location {
    /// The place of bytes `start..end` in `text`.
    ///
    /// Offsets past the end mean the end; an offset inside a character means its start.
    #[must_use]
    pub fn in_text(path: &Path, text: &str, start: usize, end: usize) -> Self {
        let before = text.as_bytes().get(..start).unwrap_or(text.as_bytes());
        Self::on_line(path, text, start, end, count_lines(before))
    }

    /// The same for callers that know the number of the line that `start` is on, from 1. Counting the lines takes longer
    /// than all the rest.
    #[must_use]
    pub fn on_line(path: &Path, text: &str, start: usize, end: usize, line: u32) -> Self {
        let mut start = start.min(text.len());
        // A slice of `str` panics within a character.
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        // The caret underlines one line only.
        let mut end = end.clamp(start, line_end);
        while !text.is_char_boundary(end) {
            end += 1;
        }
        let count = |s: &str| u32::try_from(s.chars().count()).unwrap_or(u32::MAX);
        Self {
            path: path.to_owned(),
            line,
            column: count(&text[line_start..start]) + 1,
            width: count(&text[start..end]).max(1),
            // With Windows line ends the CR belongs to the end of the line.
            text: text[line_start..line_end].trim_end_matches('\r').to_owned(),
        }
    }

    /// A file as a whole, if no place inside it is meant.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            line: 1,
            column: 1,
            width: 1,
            text: String::new(),
        }
    }
}

/// One problem, as `check` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it keeps the configuration from being used.
    pub severity: Severity,
    /// Where the problem is.
    pub location: Location,
    /// What the problem is, in one sentence without a full stop.
    pub message: String,
    /// What to do about it, if that is not plain from the message.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without help.
    #[must_use]
    pub fn error(location: Location, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            location,
            message: message.into(),
            help: None,
        }
    }

    /// A warning without help.
    #[must_use]
    pub fn warning(location: Location, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(location, message)
        }
    }

    /// The same with a sentence that says what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether it keeps the configuration from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The problem with its line, a caret, and ANSI colours where `colour` is set.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let paint = |code: &str, text: &str| match colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let at = &self.location;
        let place = format!("{}:{}:{}", at.path.display(), at.line, at.column);
        let (word, code) = match self.severity {
            Severity::Error => ("error", "1;31"),
            Severity::Warning => ("warning", "1;33"),
        };
        let mut out = format!(
            "{}: {}: {}\n",
            paint("1", &place),
            paint(code, word),
            self.message
        );
        if !at.text.is_empty() {
            let (text, column) = window(&at.text, at.column as usize);
            let number = at.line.to_string();
            let gutter = " ".repeat(number.len());
            let pad: String = text.chars().take(column - 1).map(blank).collect();
            // Not past the end of what is shown of a long line.
            let width = (at.width as usize)
                .min(text.chars().count().saturating_sub(column - 1))
                .max(1);
            out += &format!(
                "{number} | {text}\n{gutter} | {pad}{}\n",
                paint(code, &"^".repeat(width))
            );
        }
        if let Some(help) = &self.help {
            out += &format!("  {}: {help}\n", paint("1;36", "help"));
        }
        out
    }
}

/// `file:line:column: message`, for logs and machines.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.location;
        write!(
            f,
            "{}:{}:{}: {}",
            at.path.display(),
            at.line,
            at.column,
            self.message
        )
    }
}

impl std::error::Error for Diagnostic {}

fn count_lines(before: &[u8]) -> u32 {
    // One less than the most, so that the sum still fits.
    u32::try_from(before.iter().filter(|&&b| b == b'\n').count()).unwrap_or(u32::MAX - 1) + 1
}

/// A tab stays a tab, so that the caret stands below its character whatever the width of a tab.
fn blank(c: char) -> char {
    if c == '\t' { '\t' } else { ' ' }
}

/// At most 120 characters of a long line around the column, and the column within them: rules of the CRS have thousands
/// in a line.
fn window(text: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 120;
    let column = column.max(1);
    if text.chars().count() <= WIDTH {
        return (text.to_owned(), column);
    }
    let first = column.saturating_sub(WIDTH / 3);
    (
        text.chars().skip(first).take(WIDTH).collect(),
        column - first,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caret_stands_under_the_span() {
        let text = "one\nrule \"é\" here\n";
        let start = text.find("here").unwrap();
        let at = Location::in_text(Path::new("a.conf"), text, start, start + 4);
        assert_eq!((at.line, at.column, at.width), (2, 10, 4));
        let shown = Diagnostic::error(at, "no").with_help("yes").render(false);
        assert_eq!(
            shown,
            "a.conf:2:10: error: no\n2 | rule \"é\" here\n  |          ^^^^\n  help: yes\n"
        );
    }

    #[test]
    fn offsets_outside_the_text_are_clamped() {
        let at = Location::in_text(Path::new("a"), "é", 1, 99);
        assert_eq!((at.line, at.column, at.width), (1, 1, 1));
        let at = Location::in_text(Path::new("a"), "x\n", 50, 60);
        assert_eq!((at.line, at.column), (2, 1));
    }
}
