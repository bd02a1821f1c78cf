//! Rule files in load order, with everything that they include, as one list of directives.
//!
//! Files may include each other in circles, so depth, number and total size are bounded.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::ast::{Directive, Sources, Span, Spanned};
use super::parser::parse;
use crate::diagnostic::{Diagnostic, Location};
use crate::glob;

/// How deep files may include files; deeper ones are most likely a circle.
const MAX_DEPTH: usize = 16;

/// How many files and includes one rule set may have.
const MAX_FILES: usize = 1024;

/// How many bytes all of them together may have.
const MAX_BYTES: usize = 64 << 20;

/// One of the things a rule set is made of.
#[derive(Debug, Clone)]
pub enum Input {
    /// A path, or a glob (`rules/*.conf`) whose matches are loaded in byte order.
    /// Relative to the working directory.
    Files(String),
    /// This file, whatever characters are in its path.
    File(PathBuf),
    /// Text that is not in a file.
    Text {
        /// Names the text in problems; relative includes start at its folder.
        path: PathBuf,
        /// The directives.
        text: String,
    },
}

/// Where files come from.
pub trait Files {
    /// The file's bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What matches a pattern relative to `base`, in byte order, as [`glob::expand`] has it; none is not an error.
    ///
    /// # Errors
    /// A folder on the way that exists and cannot be read.
    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>>;
}

/// The contents of all files.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every file that was read, and every text.
    pub sources: Sources,
    /// In load order; every include is replaced by what it includes.
    pub directives: Vec<Directive>,
    /// Every problem of every file, in load order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and parses everything, and reports every problem of every file.
pub fn load(inputs: Vec<Input>, files: &dyn Files) -> Loaded {
    let mut loader = Loader {
        files,
        out: Loaded::default(),
        open: Vec::new(),
        count: 0,
        bytes: 0,
    };
    for input in inputs {
        match input {
            Input::Files(pattern) => {
                let whole = Location::file(Path::new(&pattern));
                loader.include(Path::new(""), &pattern, true, &whole);
            }
            Input::File(path) => {
                let whole = Location::file(&path);
                loader.file(&path, true, &whole);
            }
            Input::Text { path, text } => {
                let whole = Location::file(&path);
                loader.source(path, text, &whole);
            }
        }
    }
    loader.out
}

struct Loader<'a> {
    files: &'a dyn Files,
    out: Loaded,
    /// The files being read, outermost first, without `.` in their paths.
    open: Vec<PathBuf>,
    count: usize,
    bytes: usize,
}

impl Loader<'_> {
    /// Loads what a pattern names. `from` is where it is written.
    fn include(&mut self, base: &Path, pattern: &str, required: bool, from: &Location) {
        if !glob::is_pattern(pattern) {
            return self.file(&base.join(pattern), required, from);
        }
        let tried = base.join(pattern);
        let required = required && !glob::asks_for_plugins(pattern);
        match self.files.glob(base, pattern) {
            Err(error) => self.fail(from, format!("cannot list {}: {error}", tried.display())),
            Ok(found) if found.is_empty() => {
                self.miss(
                    required,
                    pattern,
                    from,
                    format!("no file matches {}", tried.display()),
                );
            }
            Ok(found) => {
                for path in found {
                    // It was listed a moment ago, so it must be there.
                    self.file(&path, true, from);
                }
            }
        }
    }

    fn file(&mut self, path: &Path, required: bool, from: &Location) {
        // Counted before the file is read: files that cannot be read cost time too.
        self.count += 1;
        if self.is_full() {
            return self.refuse_more(path, from);
        }
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            // Only an absent file can be optional: one that cannot be read is a mistake.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!("cannot read {}: {error}", path.display());
                return self.miss(required, &path.to_string_lossy(), from, message);
            }
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                let diagnostic = Diagnostic::error(from.clone(), message);
                let is_folder = error.kind() == io::ErrorKind::IsADirectory;
                let help = format!("name the files in it: {}/*.conf", path.display());
                self.out.diagnostics.push(match is_folder {
                    true => diagnostic.with_help(help),
                    false => diagnostic,
                });
                return;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => self.source(path.to_owned(), text, from),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let diagnostic = not_utf8(path, error.as_bytes(), valid);
                self.out.diagnostics.push(diagnostic);
            }
        }
    }

    fn source(&mut self, path: PathBuf, mut text: String, from: &Location) {
        // Some editors begin a file with a byte order mark, which would belong to the name of the first directive.
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        self.bytes = self.bytes.saturating_add(text.len());
        if let Some(message) = self.refusal(&path) {
            return self.fail(from, message);
        }
        let id = self.out.sources.add(path.clone(), text);
        let parsed = parse(id, &path, &self.out.sources.file(id).text);
        // Problems are reported in load order. Those of an included file come where it is included, so later problems
        // of this file wait.
        let mut diagnostics = parsed.diagnostics.into_iter().peekable();
        // While its includes are read, so that a circle is seen.
        self.open.push(plain(&path));
        for directive in parsed.directives {
            let Some((required, pattern, span)) = include_of(&directive) else {
                self.out.directives.push(directive);
                continue;
            };
            // The limit is reported already.
            if self.is_full() {
                continue;
            }
            let at = self.out.sources.locate(span);
            while let Some(earlier) = diagnostics.next_if(|d| d.location.line < at.line) {
                self.out.diagnostics.push(earlier);
            }
            let base = path.parent().unwrap_or(Path::new(""));
            self.include(base, &pattern.node, required, &at);
        }
        self.open.pop();
        self.out.diagnostics.extend(diagnostics);
    }

    /// Why this file is not read, if it is not.
    fn refusal(&self, path: &Path) -> Option<String> {
        if self.bytes > MAX_BYTES {
            let limit = MAX_BYTES >> 20;
            return Some(format!("the rule files have more than {limit} MiB in all"));
        }
        if self.open.contains(&plain(path)) {
            return Some(format!("{} includes itself", path.display()));
        }
        (self.open.len() > MAX_DEPTH).then(|| {
            format!(
                "includes are more than {MAX_DEPTH} deep at {}",
                path.display()
            )
        })
    }

    fn is_full(&self) -> bool {
        self.count > MAX_FILES
    }

    /// Reported once; later files are not even looked up.
    fn refuse_more(&mut self, path: &Path, from: &Location) {
        if self.count == MAX_FILES + 1 {
            let message = format!(
                "more than {MAX_FILES} files: {} and those after it are not loaded",
                path.display()
            );
            self.fail(from, message);
        }
    }

    /// Nothing is there. That is no problem for an optional file, unless the name suggests a mistake.
    fn miss(&mut self, required: bool, named: &str, at: &Location, message: String) {
        const HELP: &str = "a pattern knows `*` and `?`; `[` stands for itself";
        let diagnostic = match (required, named.contains('[')) {
            (true, true) => Diagnostic::error(at.clone(), message).with_help(HELP),
            (true, false) => Diagnostic::error(at.clone(), message),
            (false, true) => Diagnostic::warning(at.clone(), message).with_help(HELP),
            (false, false) => return,
        };
        self.out.diagnostics.push(diagnostic);
    }

    fn fail(&mut self, at: &Location, message: String) {
        let diagnostic = Diagnostic::error(at.clone(), message);
        self.out.diagnostics.push(diagnostic);
    }
}

/// For an include: whether it is required, the pattern, and its place.
fn include_of(directive: &Directive) -> Option<(bool, Spanned<String>, Span)> {
    let Directive::Setting {
        name, arguments, ..
    } = directive
    else {
        return None;
    };
    let required = match name.node.as_str() {
        "Include" => true,
        "IncludeOptional" => false,
        _ => return None,
    };
    let pattern = arguments.first()?.clone();
    let span = pattern.span;
    Some((required, pattern, span))
}

fn not_utf8(path: &Path, bytes: &[u8], valid: usize) -> Diagnostic {
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let location = Location::in_text(path, &before, before.len(), before.len());
    let message = format!("the byte at offset {valid} is not UTF-8");
    Diagnostic::error(location, message)
        .with_help("save the file as UTF-8; in a regular expression a byte is written `\\xHH`")
}

/// Without `.` components, so that one file mostly has one spelling. Links can still hide a circle, which the depth
/// then ends.
fn plain(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.map(|part| OsString::from(part.as_os_str())).collect()
}

#[cfg(test)]
mod tests;
