//! Finds what a name stands for, and finds names that nothing uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::Broken;
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::source::{At, Placed};
use seclang::suggest::did_you_mean;

/// What was declared under the names of a kind.
#[derive(Debug)]
pub(crate) struct Declared<'s, T> {
    /// Like `upstream`, for messages.
    word: &'static str,
    entries: BTreeMap<&'s str, Entry<'s, T>>,
    /// An undeclared name was looked up. It may be a misspelling of an unused one, so unused names are not reported
    /// then.
    has_unknown: bool,
}

#[derive(Debug)]
struct Entry<'s, T> {
    at: At<'s>,
    value: Result<Arc<T>, Broken>,
    is_used: bool,
}

impl<'s, T> Declared<'s, T> {
    pub(crate) fn new(word: &'static str) -> Self {
        Self {
            word,
            entries: BTreeMap::new(),
            has_unknown: false,
        }
    }

    /// `None` is a faulty value, which was reported. It is declared all the same, so that uses of its name are not
    /// errors too.
    pub(crate) fn declare(&mut self, name: &'s str, at: At<'s>, value: Option<Arc<T>>) {
        self.declare_result(name, at, value.ok_or(Broken::Faulty));
    }

    pub(crate) fn declare_result(
        &mut self,
        name: &'s str,
        at: At<'s>,
        value: Result<Arc<T>, Broken>,
    ) {
        let entry = Entry {
            at,
            value,
            is_used: false,
        };
        self.entries.insert(name, entry);
    }

    /// What is declared under this name.
    ///
    /// # Errors
    /// It is broken, or there is no such name, which is reported.
    pub(crate) fn lookup(
        &mut self,
        name: &Placed<'_, &str>,
        diagnostics: &Diagnostics,
    ) -> Result<Arc<T>, Broken> {
        if let Some(entry) = self.entries.get_mut(name.value) {
            // Also if its value is broken: the name itself is right.
            entry.is_used = true;
            return entry.value.clone();
        }
        self.has_unknown = true;
        let help = did_you_mean(name.value, self.entries.keys().copied());
        let message = format!("there is no {} \"{}\"", self.word, name.value);
        diagnostics.error_with_help(name.at, message, help);
        Err(Broken::Faulty)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// None if it is broken or not declared.
    pub(crate) fn value(&self, name: &str) -> Option<&Arc<T>> {
        self.entries.get(name)?.value.as_ref().ok()
    }

    pub(crate) fn mark_used(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.is_used = true;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'s str, At<'s>, Option<&Arc<T>>)> {
        let entries = self.entries.iter();
        entries.map(|(name, entry)| (*name, entry.at, entry.value.as_ref().ok()))
    }

    pub(crate) fn warn_unused(&self, diagnostics: &Diagnostics) {
        // The use of a name may be in the part of a file that could not be parsed.
        if self.has_unknown || diagnostics.has_broken_files() {
            return;
        }
        for (name, entry) in self.entries.iter().filter(|(_, entry)| !entry.is_used) {
            let message = format!("nothing uses {} \"{name}\"", self.word);
            diagnostics.warning(entry.at, message);
        }
    }

    /// All values but the closed ones; None if one is faulty.
    pub(crate) fn into_values(self) -> Option<BTreeMap<String, Arc<T>>> {
        let entries = self.entries.into_iter();
        // Nobody needs a closed one any more: an upstream got a bundle that trusts nobody, a listener is closed as well.
        let open = entries.filter(|(_, entry)| !matches!(entry.value, Err(Broken::Closed)));
        open.map(|(name, entry)| Some((name.to_owned(), entry.value.ok()?)))
            .collect()
    }
}
