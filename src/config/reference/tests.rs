//! The tables against the parser.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::config::written;
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::document::Document;
use crate::config::written::reader;
use crate::config::written::source::Source;

/// The shortest document without a problem.
const REDIRECT: &str =
    "[listeners.plain]\nbind = [\"0.0.0.0:80\"]\nredirect_to_https = \"public\"\n";

/// A key and the line that stands for it.
type Lines<'a> = &'a dyn Fn(SectionKind, &Key) -> Option<String>;

fn keys() -> impl Iterator<Item = (SectionKind, &'static Key)> {
    let sections = SECTIONS.iter().copied().flatten();
    sections.flat_map(|section| section.keys.iter().map(|key| (section.kind, key)))
}

fn is_table(key: &Key) -> bool {
    let Key { value, .. } = key;
    matches!(
        value,
        Value::Table(_) | Value::Tables(_) | Value::NamedTables(_)
    )
}

/// A document with a table of every kind.
fn document(lines: Lines<'_>) -> String {
    let mut text = String::new();
    for section in SECTIONS.iter().copied().flatten() {
        if matches!(section.kind, SectionKind::Redirect | SectionKind::Respond) {
            // A route has an upstream or one of these.
            let _ = writeln!(
                text,
                "[[routes]]\nname = \"{:?}\"\nhosts = [\"a.test\"]\npaths = [\"/\"]\nlisteners = [\"it\"]\npolicy = \"it\"",
                section.kind
            );
        }
        if section.kind != SectionKind::Main {
            let _ = writeln!(text, "{}", section.header.replace("NAME", "it"));
        }
        let keys = section.keys.iter().filter(|key| !is_table(key));
        for line in keys.filter_map(|key| lines(section.kind, key)) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn example(key: &Key) -> String {
    format!("{} = {}", key.name, key.example)
}

/// A listener has certificates, or this.
fn is_redirect(key: &Key) -> bool {
    key.name == "redirect_to_https"
}

struct Parsed {
    written: String,
    problems: Vec<String>,
    asked: BTreeSet<(SectionKind, &'static str)>,
}

fn parse(text: &str) -> Parsed {
    let diagnostics = Diagnostics::default();
    let source = Source::new(Path::new("it.toml"), text.to_owned(), 0);
    let table = reader::parse(&source, &diagnostics);
    let files = std::iter::once((&source, &table));
    let written = written::parse(&Document::new(files, &diagnostics));
    let written = format!("{written:#?}");
    let asked = diagnostics.asked();
    let problems = diagnostics.into_sorted();
    Parsed {
        written,
        asked,
        problems: problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_tables_have_the_keys_that_the_parser_looks_for() {
    let text = document(&|_, key| (!is_redirect(key)).then(|| example(key)));
    let Parsed {
        problems, asked, ..
    } = parse(&text);
    assert_eq!(problems, [""; 0], "an example is wrong:\n{text}");
    let listed: BTreeSet<_> = keys().map(|(kind, key)| (kind, key.name)).collect();
    assert_eq!(listed, asked);
    assert_eq!(
        listed.len(),
        keys().count(),
        "a key stands in a table twice"
    );
    assert_eq!(parse(REDIRECT).problems, [""; 0]);
}

#[test]
fn a_default_is_what_holds_where_nothing_is_written() {
    for (kind, key) in keys() {
        let DefaultValue::Is(default) = key.default else {
            continue;
        };
        let line = format!("{} = {default}", key.name);
        // A comment of the same length keeps the places of all that follows.
        let absent = format!("#{}", " ".repeat(line.len() - 1));
        let with = |own: &str| {
            parse(&document(&|other_kind, other| {
                let needed = match other.default {
                    DefaultValue::Is(_) => other.name == "max_pending",
                    _ => !is_redirect(other),
                };
                match (other_kind, other.name) == (kind, key.name) {
                    true => Some(own.to_owned()),
                    false => needed.then(|| example(other)),
                }
            }))
        };
        let (absent, written) = (with(&absent), with(&line));
        assert_eq!(written.problems, [""; 0], "{line}");
        assert_eq!(absent.written, written.written, "{kind:?}: {line}");
    }
}

/// The parser notes which of these keys are written, so that the test above cannot compare.
#[test]
fn the_defaults_of_rotation_hold_where_nothing_is_written() {
    let rotation = |lines: &str| {
        let parsed = parse(&format!(
            "{REDIRECT}[signing]\nissuer = \"https://a.test\"\n{lines}"
        ));
        assert_eq!(parsed.problems, [""; 0], "{lines}");
        let (_, rest) = parsed.written.split_once("rotation: ").unwrap();
        rest.split_once("rotation_keys").unwrap().0.to_owned()
    };
    let absent = rotation("");
    for (name, other) in [("overlap", "\"1h\""), ("algorithm", "\"EdDSA\"")] {
        let (_, key) = keys()
            .find(|(kind, key)| *kind == SectionKind::Signing && key.name == name)
            .unwrap();
        let default = key.default.words();
        let default = default.trim_matches('`');
        assert_eq!(absent, rotation(&format!("{name} = {default}")), "{name}");
        assert_ne!(absent, rotation(&format!("{name} = {other}")), "{name}");
    }
}

#[test]
fn choices_and_ranges_are_those_of_the_parser() {
    for (kind, key) in keys() {
        let (value, expected) = match key.value {
            Value::Choice(choices) => {
                let choices: Vec<_> = choices.iter().map(|c| format!("\"{c}\"")).collect();
                ("\"?\"", format!("must be {}\n", choices.join(" or ")))
            }
            Value::Integer(_, low, high) => ("-1", format!("must be {low} to {high}\n")),
            Value::Integers(low, high) => ("[-1]", format!("must be {low} to {high}\n")),
            _ => continue,
        };
        let text = document(
            &|other_kind, other| match (other_kind, other.name) == (kind, key.name) {
                true => Some(format!("{} = {value}", key.name)),
                false => (!is_redirect(other)).then(|| example(other)),
            },
        );
        let problems = parse(&text).problems.join("\n") + "\n";
        let expected = format!("\"{}\" {expected}", key.name);
        let entry = format!("an entry of {expected}");
        assert!(
            problems.contains(&expected) || problems.contains(&entry),
            "{kind:?}: expected {expected}, told:\n{problems}"
        );
    }
}

#[test]
fn the_page_is_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let page = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/reference.md is stale: UPDATE_DOCS=1 cargo test --lib config::reference"
    );
}
