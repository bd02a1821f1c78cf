//! The main file and what it includes, as one document.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::DeTable;

use super::glob;
use super::reader::{At, Item, Placed, Report, Section, Source};

/// All files' tables. A key or a name stands in one file only.
#[derive(Debug)]
pub(super) struct Document<'s, 'r> {
    roots: Vec<Section<'s, 'r>>,
    pub report: &'r Report,
}

/// A table of a kind, like `[upstreams.orders]`.
#[derive(Debug)]
pub(super) struct Named<'s, 'r> {
    pub name: &'s str,
    /// Where the name stands.
    pub at: At<'s>,
    pub section: Section<'s, 'r>,
}

/// Reads the files that `include` names, in byte order of each pattern.
pub(super) fn read_included(
    main: &Source,
    table: &Spanned<DeTable<'_>>,
    report: &Report,
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let Some(item) = Section::root(main, table, report).item("include") else {
        return sources;
    };
    for pattern in item.strings() {
        let mut inputs = report.inputs.borrow_mut();
        inputs.pattern(main.directory(), pattern.value);
        drop(inputs);
        let found = match glob::is_pattern(pattern.value) {
            true => glob::expand(main.directory(), pattern.value),
            // One that is not there is told below.
            false => Ok(vec![main.directory().join(pattern.value)]),
        };
        let paths = match found {
            Ok(paths) => paths,
            Err(error) => {
                let message = format!("cannot list \"{}\": {error}", pattern.value);
                report.error(pattern.at, message);
                continue;
            }
        };
        if paths.is_empty() {
            report.warning(pattern.at, format!("\"{}\" names no file", pattern.value));
        }
        for path in paths {
            if let Some(why) = glob::no_file(&path) {
                let message = match glob::is_pattern(pattern.value) {
                    true => format!("\"{}\" names {}, and {why}", pattern.value, path.display()),
                    false if why == glob::ABSENT => format!("\"{}\" names no file", pattern.value),
                    false => format!("\"{}\" names no file: {why}", pattern.value),
                };
                report.error(pattern.at, message);
                continue;
            }
            if path == main.path || sources.iter().any(|known| known.path == path) {
                continue;
            }
            report.inputs.borrow_mut().file(&path);
            match Source::read(&path, sources.len() + 1) {
                Ok(source) => sources.push(source),
                Err(why) => {
                    report.error(pattern.at, format!("cannot read {}: {why}", path.display()));
                }
            }
        }
    }
    sources
}

impl<'s, 'r> Document<'s, 'r> {
    pub fn new(
        files: impl Iterator<Item = (&'s Source, &'s Spanned<DeTable<'s>>)>,
        report: &'r Report,
    ) -> Self {
        let roots: Vec<_> = files
            .map(|(source, table)| Section::root(source, table, report))
            .collect();
        let (main, included) = match roots.split_first() {
            Some((main, included)) => (Some(main), included),
            None => (None, &[][..]),
        };
        if let Some(main) = main {
            main.item("include");
        }
        for root in included {
            if root.item("include").is_some()
                && let Some(at) = root.key_at("include")
            {
                report.error(at, "only the main file includes others");
            }
        }
        Self { roots, report }
    }

    /// The beginning of the main file.
    pub fn start(&self) -> At<'s> {
        // `new` makes a root for the main file first.
        self.roots[0].at
    }

    /// The value of a key that may stand once in all files.
    pub fn item(&self, key: &'static str) -> Option<Item<'s, 'r>> {
        let mut first: Option<(At<'s>, Item<'s, 'r>)> = None;
        for root in &self.roots {
            let Some(item) = root.item(key) else { continue };
            let at = root.key_at(key).unwrap_or(item.at);
            match &first {
                None => first = Some((at, item)),
                Some((known, _)) => {
                    let message = format!("\"{key}\" is already set at {}", known.text());
                    self.report.error(at, message);
                }
            }
        }
        first.map(|(_, item)| item)
    }

    /// The tables of a kind in all files, like `[upstreams.*]`; the first of two with one name.
    pub fn named(&self, kind: &'static str, word: &str) -> Vec<Named<'s, 'r>> {
        let mut found: Vec<Named<'s, 'r>> = Vec::new();
        let mut known: HashMap<&str, At<'s>> = HashMap::new();
        for root in &self.roots {
            let Some(item) = root.item(kind) else {
                continue;
            };
            if item.is_list_of_tables() {
                let at = root.key_at(kind).unwrap_or(item.at);
                let message = format!("\"{kind}\" are tables with names, not a list");
                let help = format!("write [{kind}.NAME] instead of [[{kind}]]");
                self.report.error_with_help(at, message, Some(help));
                continue;
            }
            let Some(table) = item.section(kind) else {
                continue;
            };
            for (Placed { value: name, at }, item) in table.entries() {
                if let Some(first) = known.get(name) {
                    let message = format!("{word} \"{name}\" is already there at {}", first.text());
                    self.report.error(at, message);
                    continue;
                }
                known.insert(name, at);
                check_name(name, word, at, self.report);
                if let Some(mut section) = item.section(format!("{word} \"{name}\"")) {
                    section.at = at;
                    found.push(Named { name, at, section });
                }
            }
        }
        found
    }

    /// The tables of an array of tables in all files, like `[[routes]]`.
    pub fn repeated(&self, key: &'static str, what: &str) -> Vec<Section<'s, 'r>> {
        let items = self.roots.iter().filter_map(|root| {
            let item = root.item(key)?;
            if !item.is_table() {
                return Some(item);
            }
            let at = root.key_at(key).unwrap_or(item.at);
            let message = format!("\"{key}\" is a list of tables, not a table");
            let help =
                format!("write [[{key}]] once for each, with its name inside: name = \"NAME\"");
            self.report.error_with_help(at, message, Some(help));
            None
        });
        let entries = items.flat_map(|item| item.array().unwrap_or_default());
        entries.filter_map(|item| item.section(what)).collect()
    }

    /// Reports unknown top-level keys. Below a broken header keys stand where they do not belong.
    pub fn finish(&self) {
        if self.report.has_broken_files() {
            return;
        }
        for root in &self.roots {
            root.finish();
        }
    }
}

/// Names stand in logs and metrics and are typed in shells.
pub(super) fn check_name(name: &str, word: &str, at: At<'_>, report: &Report) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let message = format!(
            "\"{name}\" is no name for a {word}: use 1 to 64 letters, digits, \"-\", \"_\" and \".\""
        );
        report.error(at, message);
    }
}
