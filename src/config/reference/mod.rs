//! Every key of the configuration: what it takes, what it is by default and what it means.
//!
//! `docs/reference.md` is made from these tables. The tests compare them with the keys that the parser looks
//! for, parse every example and compare every default, so that the tables cannot go stale.

mod console;
mod cors;
mod identity;
mod ingress;
mod limits;
mod otlp;
mod routing;
mod security_headers;
mod transform;
mod upstreams;

use std::fmt::Write;

use super::section_kind::SectionKind;

/// A kind of table, and the keys it has.
#[derive(Debug)]
pub struct Section {
    /// What the parser calls it.
    pub kind: SectionKind,
    /// As it is written in a file, like `[listeners.NAME]`.
    pub header: &'static str,
    /// What the table is for, in one sentence.
    pub about: &'static str,
    /// In the order of the page.
    pub keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// As it is written before the `=`.
    pub name: &'static str,
    /// What it takes.
    pub value: Value,
    /// What holds where it is not written.
    pub default: DefaultValue,
    /// One sentence.
    pub meaning: &'static str,
    /// A value, in TOML.
    pub example: &'static str,
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// A string; the word says of what.
    Text(&'static str),
    /// An array of such strings.
    List(&'static str),
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number of this unit, from and to these.
    Integer(&'static str, i64, i64),
    /// A number from 0 to 1.
    Fraction,
    /// An array of whole numbers, from and to these.
    Integers(i64, i64),
    /// A string with a unit.
    Duration,
    /// A string with a unit, which may be days.
    Age,
    /// The same, in seconds too.
    LongDuration,
    /// Bytes: a number, or a string with a unit.
    Size,
    /// A table of this kind; its keys have a table of their own.
    Table(SectionKind),
    /// An array of such tables.
    Tables(SectionKind),
    /// Tables of this kind by names that the user chooses.
    NamedTables(SectionKind),
    /// A table whose keys are variables that the CRS documents.
    Variables,
    /// A table of such strings, by names that the user chooses.
    ByName(&'static str),
    /// A table of arrays of such strings, by names that the user chooses.
    ListsByName(&'static str),
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy)]
pub enum DefaultValue {
    /// It must be written.
    Required,
    /// This value, in TOML.
    Is(&'static str),
    /// These words.
    Means(&'static str),
}

/// All kinds of tables, in the order of the guide.
pub const SECTIONS: &[&[Section]] = &[
    ingress::SECTIONS,
    console::SECTIONS,
    routing::SECTIONS,
    transform::SECTIONS,
    identity::SECTIONS,
    upstreams::SECTIONS,
];

const fn key(
    name: &'static str,
    value: Value,
    default: DefaultValue,
    meaning: &'static str,
    example: &'static str,
) -> Key {
    Key {
        name,
        value,
        default,
        meaning,
        example,
    }
}

const HEAD: &str = "\
# Reference: every key of `drawbridge.toml`

What each table of the configuration takes. The guides show how to use it: [ingress.md](ingress.md) for listeners,
routes and upstreams, [security.md](security.md) for policies, [certificates.md](certificates.md) for certificates and
trust. An unknown key is an error with file, line and column.

Paths start from the folder of the file that names them. Durations are strings with a unit, from `\"1ms\"` to `\"24h\"`
unless the table names days.

This file is generated from the tables that the tests compare with the parser:
`UPDATE_DOCS=1 cargo test --lib config::reference`.
";

/// The reference as a page in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS.iter().copied().flatten() {
        let header = match section.kind {
            // Its header is a sentence and no name of a table.
            SectionKind::Main => section.header.to_owned(),
            _ => code(section.header),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## {header}\n\n{}\n\n| Key | Type | Unit or range | Default | Meaning | Example |\n|---|---|---|---|---|---|\n",
            section.about
        );
        for key in section.keys {
            let cells = [
                code(key.name),
                key.value.words(),
                key.value.unit(),
                key.default.words(),
                key.meaning.to_owned(),
                code(key.example),
            ];
            // A bar in a cell would begin the next column.
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
    }
    page
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// As it is written in a file.
fn header_of(kind: SectionKind) -> &'static str {
    let mut all = SECTIONS.iter().copied().flatten();
    let section = all.find(|section| section.kind == kind);
    section.map_or("", |section| section.header)
}

impl Value {
    fn words(self) -> String {
        match self {
            Self::Text(what) => what.to_owned(),
            Self::List(what) => format!("array: {what}"),
            Self::Choice(choices) => {
                let choices: Vec<_> = choices.iter().map(|c| format!("`\"{c}\"`")).collect();
                choices.join(", ")
            }
            Self::Boolean => "`true`, `false`".to_owned(),
            Self::Integer(..) => "whole number".to_owned(),
            Self::Integers(..) => "array: whole numbers".to_owned(),
            Self::Fraction => "number".to_owned(),
            Self::Duration | Self::Age | Self::LongDuration => "duration".to_owned(),
            Self::Size => "size".to_owned(),
            Self::Table(kind) => format!("table: `{}`", header_of(kind)),
            Self::Tables(kind) => format!("array of tables: `{}`", header_of(kind)),
            Self::NamedTables(kind) => format!("tables with names: `{}`", header_of(kind)),
            Self::Variables => "table of CRS variables".to_owned(),
            Self::ByName(what) => format!("table of names: {what}"),
            Self::ListsByName(what) => format!("table of names, each an array: {what}"),
        }
    }

    fn unit(self) -> String {
        match self {
            Self::Duration => "ms, s, m, h".to_owned(),
            Self::Age => "m, h, d; 1h to 3650d".to_owned(),
            Self::LongDuration => "s, m, h, d; 1s to 3650d".to_owned(),
            Self::Fraction => "0 to 1".to_owned(),
            Self::Size => "bytes, KiB, MiB, GiB".to_owned(),
            Self::Integer("", low, high) | Self::Integers(low, high) => format!("{low} to {high}"),
            Self::Integer(unit, low, high) => format!("{unit}, {low} to {high}"),
            _ => String::new(),
        }
    }
}

impl DefaultValue {
    fn words(self) -> String {
        match self {
            Self::Required => "required".to_owned(),
            Self::Is(value) => code(value),
            Self::Means(words) => words.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
