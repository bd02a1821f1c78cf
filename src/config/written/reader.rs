//! A typed walk through TOML. It reports every problem with its place and goes on.
//!
//! Not `serde`: that stops at the first error, and knows no place for a problem that is found later. Every key that
//! code looks up becomes a known key, so unknown keys need no list of their own.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Diagnostics;
use super::source::{At, Placed, Source};
use crate::config::section_kind::SectionKind;
use seclang::suggest::did_you_mean;

/// The value of a key that may be left out. `Absent` and `Faulty` differ: a default must not replace a faulty value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Given<T> {
    Absent,
    /// It is present and its value is wrong, which was reported.
    Faulty,
    Value(T),
}

/// A value as a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    NotOne,
    /// It does not fit into 64 bits.
    TooLarge,
    Is(i64),
}

/// A value, and the words that messages name it by.
#[derive(Debug, Clone)]
pub(crate) struct Item<'s, 'r> {
    pub(crate) at: At<'s>,
    value: &'s DeValue<'s>,
    /// Like `"bind"` or `an entry of "bind"`.
    what: String,
    diagnostics: &'r Diagnostics,
}

/// A table. Its keys are looked up one by one; [`Section::finish`] reports those that nobody looked up.
#[derive(Debug)]
pub(crate) struct Section<'s, 'r> {
    pub(crate) at: At<'s>,
    kind: SectionKind,
    /// Like `listener "public"`.
    pub(crate) what: String,
    table: &'s DeTable<'s>,
    asked: RefCell<Vec<&'static str>>,
    pub(crate) diagnostics: &'r Diagnostics,
}

impl<T> Given<T> {
    /// The value, or `default` if none is written; `None` if it is faulty.
    pub(crate) fn or(self, default: T) -> Option<T> {
        self.or_else(|| default)
    }

    /// Like [`Given::or`], for a default that is made.
    pub(crate) fn or_else(self, default: impl FnOnce() -> T) -> Option<T> {
        match self {
            Self::Absent => Some(default()),
            Self::Faulty => None,
            Self::Value(value) => Some(value),
        }
    }

    /// `None` if it is faulty, so that `given.unless_faulty()?` ends what needs it.
    #[expect(clippy::option_option, reason = "the outer one is for `?`")]
    pub(crate) fn unless_faulty(self) -> Option<Option<T>> {
        match self {
            Self::Absent => Some(None),
            Self::Faulty => None,
            Self::Value(value) => Some(Some(value)),
        }
    }

    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Faulty => None,
        }
    }

    pub(crate) fn as_ref(&self) -> Given<&T> {
        match self {
            Self::Absent => Given::Absent,
            Self::Faulty => Given::Faulty,
            Self::Value(value) => Given::Value(value),
        }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        self.and_then(|value| Given::Value(change(value)))
    }

    pub(crate) fn and_then<U>(self, change: impl FnOnce(T) -> Given<U>) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Faulty => Given::Faulty,
            Self::Value(value) => change(value),
        }
    }
}

impl<T> From<Option<T>> for Given<T> {
    /// `None` is a faulty value.
    fn from(read: Option<T>) -> Self {
        read.map_or(Self::Faulty, Self::Value)
    }
}

/// The tables of a file, as far as they could be understood; the rest is reported.
pub(crate) fn parse<'s>(source: &'s Source, diagnostics: &Diagnostics) -> Spanned<DeTable<'s>> {
    // The recoverable parser continues after an error, so that one run reports every problem.
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        diagnostics.add_broken(source.at(span.start, span.end), error.message());
    }
    table
}

impl<'s, 'r> Section<'s, 'r> {
    pub(crate) fn root(
        source: &'s Source,
        table: &'s Spanned<DeTable<'s>>,
        diagnostics: &'r Diagnostics,
    ) -> Self {
        Self {
            at: source.at(0, 0),
            kind: SectionKind::Main,
            what: "the configuration".to_owned(),
            table: table.get_ref(),
            asked: RefCell::default(),
            diagnostics,
        }
    }

    /// The value of this key, if it is present. The key is known from then on.
    pub(crate) fn item(&self, key: &'static str) -> Option<Item<'s, 'r>> {
        // Also if it is absent: the message about an unknown key names those that are known.
        self.asked.borrow_mut().push(key);
        // The test of the reference compares these with its tables.
        self.diagnostics.note_asked(self.kind, key);
        let (_, value) = self.table.get_key_value(key)?;
        Some(Item {
            at: self.at.with_span(value.span()),
            value: value.get_ref(),
            what: format!("\"{key}\""),
            diagnostics: self.diagnostics,
        })
    }

    /// The same table as one of another kind, if one of its keys says so.
    pub(crate) fn of_kind(self, kind: SectionKind) -> Self {
        Self { kind, ..self }
    }

    /// Like [`Section::item`], but its absence is an error.
    pub(crate) fn required(&self, key: &'static str, help: &str) -> Option<Item<'s, 'r>> {
        let item = self.item(key);
        if item.is_none() {
            let message = format!("{} has no \"{key}\"", self.what);
            self.diagnostics
                .error_with_help(self.at, message, Some(help));
        }
        item
    }

    /// What `read` makes of the value of this key.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Item<'s, 'r>) -> Option<T>,
    ) -> Given<T> {
        match self.item(key) {
            Some(item) => read(&item).into(),
            None => Given::Absent,
        }
    }

    /// The place of a key, if it is present.
    pub(crate) fn key_at(&self, key: &str) -> Option<At<'s>> {
        let (found, _) = self.table.get_key_value(key)?;
        Some(self.at.with_span(found.span()))
    }

    /// All keys and values in the order of the file, for tables whose keys the user chooses.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Placed<'s, &'s str>, Item<'s, 'r>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        // The parser's table is sorted by name, but of two entries with one name the first in the file counts.
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, value)| {
            let name = key.get_ref().as_ref();
            let key = Placed {
                value: name,
                at: self.at.with_span(key.span()),
            };
            let item = Item {
                at: self.at.with_span(value.span()),
                value: value.get_ref(),
                what: format!("\"{name}\""),
                diagnostics: self.diagnostics,
            };
            (key, item)
        })
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(&self) {
        self.finish_but(|_| false);
    }

    /// The same of a table in which the user chooses names for tables.
    pub(crate) fn finish_but_tables(&self) {
        self.finish_but(|value| matches!(value, DeValue::Table(_)));
    }

    fn finish_but(&self, is_known: impl Fn(&DeValue<'_>) -> bool) {
        let asked = self.asked.borrow();
        for (key, _) in self
            .table
            .iter()
            .filter(|(_, value)| !is_known(value.get_ref()))
        {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            // A known key that is close helps more than the list of all.
            let help = did_you_mean(name, asked.iter().copied()).unwrap_or_else(|| {
                let mut known = asked.clone();
                known.sort_unstable();
                format!("known here: {}", known.join(", "))
            });
            let message = format!("unknown key \"{name}\" in {}", self.what);
            let at = self.at.with_span(key.span());
            self.diagnostics.error_with_help(at, message, Some(help));
        }
    }
}

impl<'s, 'r> Item<'s, 'r> {
    pub(crate) fn string(&self) -> Option<Placed<'s, &'s str>> {
        match self.value {
            DeValue::String(text) => Some(self.placed(text.as_ref())),
            _ => self.wrong("a string"),
        }
    }

    /// A whole number in this range.
    pub(crate) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        match self.number() {
            Number::NotOne => self.wrong("a whole number"),
            Number::Is(number) if range.contains(&number) => Some(number),
            number => {
                let (low, high) = (range.start(), range.end());
                let limits = match (number, *high) {
                    // Only a number that is too small can be below it.
                    (Number::Is(_), i64::MAX) => format!("at least {low}"),
                    (_, high) => format!("{low} to {high}"),
                };
                self.fail(format!("{} must be {limits}", self.what))
            }
        }
    }

    pub(crate) fn number(&self) -> Number {
        let DeValue::Integer(digits) = self.value else {
            return Number::NotOne;
        };
        // TOML also has hexadecimal, octal and binary numbers, and the parser leaves the digits as text.
        let number = i64::from_str_radix(digits.as_str(), digits.radix());
        number.map_or(Number::TooLarge, Number::Is)
    }

    /// A number from 0 to 1.
    pub(crate) fn fraction(&self) -> Option<f64> {
        let number = match self.value {
            DeValue::Float(digits) => digits.as_str().parse().ok(),
            DeValue::Integer(digits) => digits.as_str().parse().ok(),
            _ => return self.wrong("a number"),
        };
        match number {
            Some(number) if (0.0..=1.0).contains(&number) => Some(number),
            _ => self.fail(format!("{} must be 0 to 1", self.what)),
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong("true or false"),
        }
    }

    pub(crate) fn raw_string(&self) -> Option<&'s str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            _ => None,
        }
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(crate) fn is_list_of_tables(&self) -> bool {
        let DeValue::Array(entries) = self.value else {
            return false;
        };
        let is_table = |entry: &Spanned<DeValue<'_>>| matches!(entry.get_ref(), DeValue::Table(_));
        // Nobody wrote `[[...]]` where the array is empty.
        !entries.is_empty() && entries.iter().all(is_table)
    }

    /// One of these words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let words: Vec<String> = choices.iter().map(|(w, _)| format!("\"{w}\"")).collect();
        let message = format!("{} must be {}", self.what, words.join(" or "));
        let help = did_you_mean(text.value, choices.iter().map(|(word, _)| *word));
        self.diagnostics.error_with_help(self.at, message, help);
        None
    }

    /// The entries of an array that must not be empty. Returns none if it is not an array.
    pub(crate) fn list(&self) -> Vec<Self> {
        let items = self.array();
        // An empty list of servers or rules would mean that nothing is reachable, or nothing inspected.
        if let Some([]) = items.as_deref() {
            let message = format!("{} must not be empty", self.what);
            self.diagnostics.error(self.at, message);
        }
        items.unwrap_or_default()
    }

    pub(crate) fn array(&self) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value else {
            // A frequent mistake: a single value without brackets. The message shows it with brackets.
            if let DeValue::String(text) = self.value {
                let help = format!("write [\"{text}\"]");
                let message = format!("{} must be an array", self.what);
                self.diagnostics
                    .error_with_help(self.at, message, Some(help));
                return None;
            }
            return self.wrong("an array");
        };
        // For an array in an array, the words stay "an entry of" the key.
        let what = match self.what.strip_prefix("an entry of ") {
            Some(_) => self.what.clone(),
            None => format!("an entry of {}", self.what),
        };
        let items = array.iter().map(|value| Self {
            at: self.at.with_span(value.span()),
            value: value.get_ref(),
            what: what.clone(),
            diagnostics: self.diagnostics,
        });
        Some(items.collect())
    }

    /// The entries of an array of strings. An entry that is not a string is reported and left out.
    pub(crate) fn strings(&self) -> Vec<Placed<'s, &'s str>> {
        self.list().iter().filter_map(Self::string).collect()
    }

    /// The table that this is; `what` names it in messages.
    pub(crate) fn section(
        &self,
        kind: SectionKind,
        what: impl Into<String>,
    ) -> Option<Section<'s, 'r>> {
        let DeValue::Table(table) = self.value else {
            return self.wrong("a table");
        };
        Some(Section {
            at: self.at,
            kind,
            what: what.into(),
            table,
            asked: RefCell::default(),
            diagnostics: self.diagnostics,
        })
    }

    /// The result of `parse` for this string. If it fails, its words are reported.
    pub(crate) fn parse<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.string()?;
        match parse(text.value) {
            Ok(value) => Some(value),
            Err(reason) => self.fail(reason.to_string()),
        }
    }

    pub(crate) fn wrong<T>(&self, expected: &str) -> Option<T> {
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

    pub(crate) fn fail<T>(&self, message: impl Into<String>) -> Option<T> {
        self.diagnostics.error(self.at, message);
        None
    }

    pub(crate) fn diagnostics(&self) -> &'r Diagnostics {
        self.diagnostics
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    fn placed<T>(&self, value: T) -> Placed<'s, T> {
        Placed { value, at: self.at }
    }
}
