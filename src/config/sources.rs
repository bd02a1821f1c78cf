//! Reads the files of the configuration: the main one and those it includes.

use std::fmt;
use std::io;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use super::inputs::Inputs;
use super::written::diagnostics::Diagnostics;
use super::written::reader::Section;
use super::written::source::Source;
use seclang::glob;

/// Why a file of the configuration cannot be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// No file has that name.
    Absent,
    /// Its bytes are not UTF-8.
    NotUtf8,
    /// It exists and cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str(glob::ABSENT),
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}

/// Reads one file; `index` is its place in the order of all files, by which problems are sorted.
///
/// # Errors
/// The file cannot be read, or is not text.
pub(crate) fn read(path: &Path, index: usize) -> Result<Source, ReadError> {
    let bytes = seclang::files::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Absent,
        _ => ReadError::Unreadable(error),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| ReadError::NotUtf8)?;
    Ok(Source::new(path, text, index))
}

/// Reads the files that `include` names, in byte order of each pattern.
pub(crate) fn read_included(
    main: &Source,
    table: &Spanned<DeTable<'_>>,
    diagnostics: &Diagnostics,
    inputs: &mut Inputs,
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let Some(item) = Section::root(main, table, diagnostics).item("include") else {
        return sources;
    };
    for pattern in item.strings() {
        // Noted before it is expanded: a file that matches later is a change.
        inputs.pattern(main.directory(), pattern.value);
        // A plain name must exist; a pattern may match nothing.
        let found = match glob::is_pattern(pattern.value) {
            true => glob::expand(main.directory(), pattern.value),
            // A file that is not there is reported below.
            false => Ok(vec![main.directory().join(pattern.value)]),
        };
        let paths = match found {
            Ok(paths) => paths,
            Err(error) => {
                let message = format!("cannot list \"{}\": {error}", pattern.value);
                diagnostics.error(pattern.at, message);
                continue;
            }
        };
        if paths.is_empty() {
            diagnostics.warning(pattern.at, format!("\"{}\" names no file", pattern.value));
        }
        for path in paths {
            if let Some(why) = glob::no_file(&path) {
                let message = match glob::is_pattern(pattern.value) {
                    true => format!("\"{}\" names {}, and {why}", pattern.value, path.display()),
                    false if why == glob::ABSENT => format!("\"{}\" names no file", pattern.value),
                    false => format!("\"{}\" names no file: {why}", pattern.value),
                };
                diagnostics.error(pattern.at, message);
                continue;
            }
            // Several patterns may name one file, and one of them the main file.
            if path == main.path || sources.iter().any(|known| known.path == path) {
                continue;
            }
            inputs.file(&path);
            // 0 is the main file.
            match read(&path, sources.len() + 1) {
                Ok(source) => sources.push(source),
                Err(why) => {
                    diagnostics.error(pattern.at, format!("cannot read {}: {why}", path.display()));
                }
            }
        }
    }
    sources
}
