//! A typed walk through TOML that notes every problem with its place and goes on.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::inputs::Inputs;
use super::kept::{Certificates, Kept, Refused};
use super::suggest::did_you_mean;
use seclang::diagnostic::{Diagnostic, Location, Severity};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A file and its text.
#[derive(Debug)]
pub(super) struct Source {
    pub path: PathBuf,
    pub text: String,
    /// The order in which files were read, for sorting.
    pub index: usize,
}

/// A place in a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'s> {
    source: &'s Source,
    start: usize,
    end: usize,
}

/// Something read, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Placed<'s, T> {
    pub value: T,
    pub at: At<'s>,
}

/// Every problem found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Beside a place in the order of files.
    found: RefCell<Vec<((usize, usize), Diagnostic)>>,
    /// Where a file is no TOML; what was made of such places is not worth a second message.
    broken: RefCell<HashSet<(usize, usize)>>,
    /// The foreign ones that were told.
    told: RefCell<HashSet<String>>,
    /// Every file that was read.
    pub inputs: RefCell<Inputs>,
    /// What runs now.
    pub kept: Kept,
    pub certificates: RefCell<Certificates>,
    /// What goes on in its last good version.
    pub refused: RefCell<Vec<Refused>>,
}

/// A value and the words to name it by.
#[derive(Debug, Clone)]
pub(super) struct Item<'s, 'r> {
    pub at: At<'s>,
    value: &'s DeValue<'s>,
    /// Like `"bind"` or `an entry of "bind"`.
    what: String,
    report: &'r Report,
}

/// A table whose keys are asked for one by one; what nobody asked for is unknown.
#[derive(Debug)]
pub(super) struct Section<'s, 'r> {
    pub at: At<'s>,
    /// Like `listener "public"`.
    pub what: String,
    table: &'s DeTable<'s>,
    asked: RefCell<Vec<&'static str>>,
    pub report: &'r Report,
}

impl Source {
    /// # Errors
    /// Why the file cannot be read.
    pub fn read(path: &Path, index: usize) -> Result<Self, String> {
        let bytes = seclang::files::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => error.to_string(),
        })?;
        let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len_utf8());
        }
        Ok(Self {
            path: path.to_owned(),
            text,
            index,
        })
    }

    /// What could be understood of it; the rest is reported.
    pub fn parse<'s>(&'s self, report: &Report) -> Spanned<DeTable<'s>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let place = (self.index, span.start);
            report.broken.borrow_mut().insert(place);
            let at = self.at(span.start, span.end);
            let diagnostic = Diagnostic::error(at.location(), error.message());
            report.found.borrow_mut().push((place, diagnostic));
        }
        table
    }

    pub fn at(&self, start: usize, end: usize) -> At<'_> {
        At {
            source: self,
            start,
            end,
        }
    }

    /// The folder that relative paths in it are relative to.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

impl<'s> At<'s> {
    pub fn location(&self) -> Location {
        Location::in_text(&self.source.path, &self.source.text, self.start, self.end)
    }

    /// `file:line:column`, to be named in another place's message.
    pub fn text(&self) -> String {
        let at = self.location();
        format!("{}:{}:{}", at.path.display(), at.line, at.column)
    }

    pub fn directory(&self) -> &'s Path {
        self.source.directory()
    }

    /// A path written here, from the working directory.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.source.directory().join(path)
    }

    fn inside(&self, span: std::ops::Range<usize>) -> Self {
        Self {
            start: span.start,
            end: span.end,
            ..*self
        }
    }
}

impl Report {
    pub fn with_kept(kept: Kept) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    /// How much was found so far, for [`Report::take_errors_since`].
    pub fn mark(&self) -> usize {
        self.found.borrow().len()
    }

    /// Takes back the errors that were reported since, to tell them of a unit that is refused.
    pub fn take_errors_since(&self, mark: usize) -> Vec<Diagnostic> {
        let mut found = self.found.borrow_mut();
        let mark = mark.min(found.len());
        let later = found.split_off(mark);
        let (errors, others): (Vec<_>, Vec<_>) = later.into_iter().partition(|(_, d)| d.is_error());
        found.extend(others);
        errors
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()
    }

    /// This unit's last good version goes on.
    pub fn refuse(&self, unit: impl Into<String>, reasons: Vec<Diagnostic>) {
        let unit = unit.into();
        let mut refused = self.refused.borrow_mut();
        match refused.iter_mut().find(|known| known.unit == unit) {
            Some(known) => known.reasons.extend(reasons),
            None => refused.push(Refused { unit, reasons }),
        }
    }

    pub fn error(&self, at: At<'_>, message: impl Into<String>) {
        self.add(at, Diagnostic::error(at.location(), message));
    }

    pub fn warning(&self, at: At<'_>, message: impl Into<String>) {
        self.add(at, Diagnostic::warning(at.location(), message));
    }

    pub fn error_with_help(
        &self,
        at: At<'_>,
        message: impl Into<String>,
        help: Option<impl Into<String>>,
    ) {
        let diagnostic = Diagnostic::error(at.location(), message);
        self.add(
            at,
            match help {
                Some(help) => diagnostic.with_help(help),
                None => diagnostic,
            },
        );
    }

    pub fn add(&self, at: At<'_>, diagnostic: Diagnostic) {
        let place = (at.source.index, at.start);
        if !self.broken.borrow().contains(&place) {
            self.found.borrow_mut().push((place, diagnostic));
        }
    }

    /// A problem of a file that is not the configuration's own: told after those.
    pub fn add_foreign(&self, diagnostic: Diagnostic) {
        if self.told.borrow_mut().insert(diagnostic.to_string()) {
            let last = (usize::MAX, 0);
            self.found.borrow_mut().push((last, diagnostic));
        }
    }

    pub fn has_broken_files(&self) -> bool {
        !self.broken.borrow().is_empty()
    }

    pub fn has_errors(&self) -> bool {
        self.has_errors_since(0)
    }

    pub fn has_errors_since(&self, mark: usize) -> bool {
        let found = self.found.borrow();
        let mut later = found.iter().skip(mark);
        later.any(|(_, d)| d.severity == Severity::Error)
    }

    /// In the order of files and places.
    pub fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(place, _)| *place);
        found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()
    }
}

impl<'s, 'r> Section<'s, 'r> {
    pub fn root(source: &'s Source, table: &'s Spanned<DeTable<'s>>, report: &'r Report) -> Self {
        Self {
            at: source.at(0, 0),
            what: "the configuration".to_owned(),
            table: table.get_ref(),
            asked: RefCell::default(),
            report,
        }
    }

    /// The value of this key, if it is there. Makes the key a known one.
    pub fn item(&self, key: &'static str) -> Option<Item<'s, 'r>> {
        self.asked.borrow_mut().push(key);
        let (_, value) = self.table.get_key_value(key)?;
        Some(Item {
            at: self.at.inside(value.span()),
            value: value.get_ref(),
            what: format!("\"{key}\""),
            report: self.report,
        })
    }

    /// Like [`Section::item`], but its absence is an error.
    pub fn required(&self, key: &'static str, help: &str) -> Option<Item<'s, 'r>> {
        let item = self.item(key);
        if item.is_none() {
            let message = format!("{} has no \"{key}\"", self.what);
            self.report.error_with_help(self.at, message, Some(help));
        }
        item
    }

    /// The place of a key, where it is there.
    pub fn key_at(&self, key: &str) -> Option<At<'s>> {
        let (found, _) = self.table.get_key_value(key)?;
        Some(self.at.inside(found.span()))
    }

    /// All keys and values, whatever they are, as they stand in the file.
    pub fn entries(&self) -> impl Iterator<Item = (Placed<'s, &'s str>, Item<'s, 'r>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, value)| {
            let name = key.get_ref().as_ref();
            let key = Placed {
                value: name,
                at: self.at.inside(key.span()),
            };
            let item = Item {
                at: self.at.inside(value.span()),
                value: value.get_ref(),
                what: format!("\"{name}\""),
                report: self.report,
            };
            (key, item)
        })
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let help = did_you_mean(name, asked.iter().copied()).unwrap_or_else(|| {
                let mut known = asked.clone();
                known.sort_unstable();
                format!("known here: {}", known.join(", "))
            });
            let message = format!("unknown key \"{name}\" in {}", self.what);
            let at = self.at.inside(key.span());
            self.report.error_with_help(at, message, Some(help));
        }
    }
}

impl<'s, 'r> Item<'s, 'r> {
    pub fn string(&self) -> Option<Placed<'s, &'s str>> {
        match self.value {
            DeValue::String(text) => Some(self.placed(text.as_ref())),
            _ => self.wrong("a string"),
        }
    }

    /// A whole number, read as any type that has one.
    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let Some(number) = self.raw_integer() else {
            return self.wrong("a whole number");
        };
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let (low, high) = (range.start(), range.end());
                let limits = match *high {
                    i64::MAX => format!("at least {low}"),
                    high => format!("{low} to {high}"),
                };
                self.fail(format!("{} must be {limits}", self.what))
            }
        }
    }

    /// `Some(None)` is a number too large to be one.
    pub fn raw_integer(&self) -> Option<Option<i64>> {
        let DeValue::Integer(digits) = self.value else {
            return None;
        };
        Some(i64::from_str_radix(digits.as_str(), digits.radix()).ok())
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong("true or false"),
        }
    }

    pub fn raw_string(&self) -> Option<&'s str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            _ => None,
        }
    }

    pub fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub fn is_list_of_tables(&self) -> bool {
        let DeValue::Array(entries) = self.value else {
            return false;
        };
        let is_table = |entry: &Spanned<DeValue<'_>>| matches!(entry.get_ref(), DeValue::Table(_));
        !entries.is_empty() && entries.iter().all(is_table)
    }

    /// One of these words.
    pub fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let words: Vec<String> = choices.iter().map(|(w, _)| format!("\"{w}\"")).collect();
        let message = format!("{} must be {}", self.what, words.join(" or "));
        let help = did_you_mean(text.value, choices.iter().map(|(word, _)| *word));
        self.report.error_with_help(self.at, message, help);
        None
    }

    /// The entries of an array that must not be empty. Empty where it is none.
    pub fn list(&self) -> Vec<Self> {
        let items = self.array();
        if let Some([]) = items.as_deref() {
            let message = format!("{} must not be empty", self.what);
            self.report.error(self.at, message);
        }
        items.unwrap_or_default()
    }

    pub fn array(&self) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value else {
            if let DeValue::String(text) = self.value {
                let help = format!("write [\"{text}\"]");
                let message = format!("{} must be an array", self.what);
                self.report.error_with_help(self.at, message, Some(help));
                return None;
            }
            return self.wrong("an array");
        };
        let what = match self.what.strip_prefix("an entry of ") {
            Some(_) => self.what.clone(),
            None => format!("an entry of {}", self.what),
        };
        let items = array.iter().map(|value| Self {
            at: self.at.inside(value.span()),
            value: value.get_ref(),
            what: what.clone(),
            report: self.report,
        });
        Some(items.collect())
    }

    /// The entries of an array of strings; one that is no string is reported and left out.
    pub fn strings(&self) -> Vec<Placed<'s, &'s str>> {
        self.list().iter().filter_map(Self::string).collect()
    }

    pub fn section(&self, what: impl Into<String>) -> Option<Section<'s, 'r>> {
        let DeValue::Table(table) = self.value else {
            return self.wrong("a table");
        };
        Some(Section {
            at: self.at,
            what: what.into(),
            table,
            asked: RefCell::default(),
            report: self.report,
        })
    }

    /// Like a parser that says what is wrong.
    pub fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.string()?;
        match parse(text.value) {
            Ok(value) => Some(value),
            Err(reason) => self.fail(reason),
        }
    }

    pub fn wrong<T>(&self, expected: &str) -> Option<T> {
        let article = match self.value.type_str() {
            "array" | "integer" => "an",
            _ => "a",
        };
        self.fail(format!(
            "{} must be {expected}, not {article} {}",
            self.what,
            self.value.type_str()
        ))
    }

    pub fn fail<T>(&self, message: impl Into<String>) -> Option<T> {
        self.report.error(self.at, message);
        None
    }

    pub fn report(&self) -> &'r Report {
        self.report
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    fn placed<T>(&self, value: T) -> Placed<'s, T> {
        Placed { value, at: self.at }
    }
}
