//! The main file and the files it includes, as one document.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::DeTable;

use super::diagnostics::Diagnostics;
use super::reader::{Item, Section};
use super::source::{At, Placed, Source};
use crate::config::section_kind::SectionKind;

/// The tables of all files. A key, or the name of a table, may be written in one of them only: no file overrides
/// another, so their order never matters.
#[derive(Debug)]
pub(crate) struct Document<'s, 'r> {
    roots: Vec<Section<'s, 'r>>,
    pub(crate) diagnostics: &'r Diagnostics,
}

/// A table with a name, like `[upstreams.orders]`.
#[derive(Debug)]
pub(crate) struct Named<'s, 'r> {
    pub(crate) name: &'s str,
    /// Where the name is written.
    pub(crate) at: At<'s>,
    pub(crate) section: Section<'s, 'r>,
}

impl<'s, 'r> Document<'s, 'r> {
    pub(crate) fn new(
        files: impl Iterator<Item = (&'s Source, &'s Spanned<DeTable<'s>>)>,
        diagnostics: &'r Diagnostics,
    ) -> Self {
        let roots: Vec<_> = files
            .map(|(source, table)| Section::root(source, table, diagnostics))
            .collect();
        let (main, included) = match roots.split_first() {
            Some((main, included)) => (Some(main), included),
            None => (None, &[][..]),
        };
        // Looked up only to make it a known key; the included files were read before.
        if let Some(main) = main {
            main.item("include");
        }
        // Nested includes could form a cycle, and make it hard to see which files belong to a configuration.
        for root in included {
            if root.item("include").is_some()
                && let Some(at) = root.key_at("include")
            {
                diagnostics.error(at, "only the main file includes others");
            }
        }
        Self { roots, diagnostics }
    }

    /// The beginning of the main file.
    pub(crate) fn start(&self) -> Option<At<'s>> {
        self.roots.first().map(|main| main.at)
    }

    /// The value of a key that may be written once in all files.
    pub(crate) fn item(&self, key: &'static str) -> Option<Item<'s, 'r>> {
        let mut first: Option<(At<'s>, Item<'s, 'r>)> = None;
        for root in &self.roots {
            let Some(item) = root.item(key) else { continue };
            let at = root.key_at(key).unwrap_or(item.at);
            match &first {
                None => first = Some((at, item)),
                Some((known, _)) => {
                    let message = format!("\"{key}\" is already set at {}", known.text());
                    self.diagnostics.error(at, message);
                }
            }
        }
        first.map(|(_, item)| item)
    }

    /// The values of a key in all files, and where the key is written.
    pub(crate) fn items(&self, key: &'static str) -> impl Iterator<Item = Item<'s, 'r>> {
        self.roots.iter().filter_map(move |root| root.item(key))
    }

    /// The tables of a kind in all files, like `[upstreams.*]`. If two have one name, only the first.
    pub(crate) fn named(
        &self,
        key: &'static str,
        kind: SectionKind,
        word: &str,
    ) -> Vec<Named<'s, 'r>> {
        self.named_among(key, kind, word, |_, _| true)
    }

    /// Like [`Document::named`], of a table that has keys of its own too: only what `is_named` says is a name.
    pub(crate) fn named_among(
        &self,
        key: &'static str,
        kind: SectionKind,
        word: &str,
        is_named: impl Fn(&str, &Item<'s, 'r>) -> bool,
    ) -> Vec<Named<'s, 'r>> {
        let mut found: Vec<Named<'s, 'r>> = Vec::new();
        let mut known: HashMap<&str, At<'s>> = HashMap::new();
        for root in &self.roots {
            let Some(item) = root.item(key) else {
                continue;
            };
            if item.is_list_of_tables() {
                let at = root.key_at(key).unwrap_or(item.at);
                let message = format!("\"{key}\" are tables with names, not a list");
                let help = format!("write [{key}.NAME] instead of [[{key}]]");
                self.diagnostics.error_with_help(at, message, Some(help));
                continue;
            }
            let Some(table) = item.section(SectionKind::Names, key) else {
                continue;
            };
            let entries = table.entries();
            for (Placed { value: name, at }, item) in
                entries.filter(|(name, item)| is_named(name.value, item))
            {
                if let Some(first) = known.get(name) {
                    let message = format!("{word} \"{name}\" is already there at {}", first.text());
                    self.diagnostics.error(at, message);
                    continue;
                }
                // The first of two counts; the checks below are about it.
                known.insert(name, at);
                check_name(name, word, at, self.diagnostics);
                if let Some(mut section) = item.section(kind, format!("{word} \"{name}\"")) {
                    // Problems of the whole table are reported at its name.
                    section.at = at;
                    found.push(Named { name, at, section });
                }
            }
        }
        found
    }

    /// The tables of an array of tables in all files, like `[[routes]]`.
    pub(crate) fn repeated(
        &self,
        key: &'static str,
        kind: SectionKind,
        what: &str,
    ) -> Vec<Section<'s, 'r>> {
        let items = self.roots.iter().filter_map(|root| {
            let item = root.item(key)?;
            if !item.is_table() {
                return Some(item);
            }
            let at = root.key_at(key).unwrap_or(item.at);
            let message = format!("\"{key}\" is a list of tables, not a table");
            let help =
                format!("write [[{key}]] once for each, with its name inside: name = \"NAME\"");
            self.diagnostics.error_with_help(at, message, Some(help));
            None
        });
        let entries = items.flat_map(|item| item.array().unwrap_or_default());
        entries
            .filter_map(|item| item.section(kind, what))
            .collect()
    }

    /// Reports unknown top-level keys. Not if a file is broken: a key may seem to be at the top level because the
    /// parser lost its table.
    pub(crate) fn finish(&self) {
        if self.diagnostics.has_broken_files() {
            return;
        }
        for root in &self.roots {
            root.finish();
        }
    }
}

/// Reports a name that cannot be used unquoted in logs, in metrics, in a URL of the admin API and in a shell.
pub(crate) fn check_name(name: &str, word: &str, at: At<'_>, diagnostics: &Diagnostics) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let message = format!(
            "\"{name}\" is no name for a {word}: use 1 to 64 letters, digits, \"-\", \"_\" and \".\""
        );
        diagnostics.error(at, message);
    }
}
