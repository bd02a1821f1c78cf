//! What rules select of a document, collected while it is read.
//!
//! The lists follow the open elements: what an element adds to `states`, `gathering` and `namespaces` goes when it
//! closes.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::sync::Arc;

use quick_xml::events::BytesStart;

use super::super::excerpt;
use super::fault::XmlFault;
use super::path::{Path, State};

/// Namespace declarations in force at once. Each name is looked up among them, so more would make the work quadratic.
const MOST_NAMESPACES: usize = 128;
/// Values that are selected of one document.
const MOST_VALUES: usize = 10_000;

pub(super) struct Selection<'p> {
    paths: &'p [Arc<Path>],
    /// The states of the paths, one row for each open element and one above the root.
    states: Vec<State>,
    namespaces: Vec<Namespace>,
    gathering: Vec<Gathering>,
    depth: usize,
    /// Bytes that may still be collected: an element inside a selected one is collected several times.
    bytes_left: usize,
    /// Which path, and the value.
    pub(super) found: Vec<(u32, Vec<u8>)>,
}

struct Namespace {
    depth: usize,
    prefix: String,
    uri: String,
}

/// A selected value that is still being read.
struct Gathering {
    path: u32,
    depth: usize,
    /// Only text directly in the element, for `text()`.
    own_text: bool,
    value: Vec<u8>,
}

impl<'p> Selection<'p> {
    pub(super) fn new(paths: &'p [Arc<Path>], document: usize) -> Self {
        Self {
            paths,
            states: paths.iter().map(|_| Path::start()).collect(),
            namespaces: Vec::new(),
            gathering: Vec::new(),
            depth: 0,
            // Nested selections copy text a few times; a short document gets a floor.
            bytes_left: document.saturating_mul(4).saturating_add(64 * 1024),
            found: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Before the attributes of the element are given.
    pub(super) fn declare(&mut self, name: &str, value: &[u8]) -> Result<(), XmlFault> {
        let prefix = match name.strip_prefix("xmlns") {
            Some("") => "",
            Some(rest) => match rest.strip_prefix(':') {
                Some(prefix) => prefix,
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        if self.namespaces.len() >= MOST_NAMESPACES {
            return Err(XmlFault::TooManyNamespaces(MOST_NAMESPACES));
        }
        self.namespaces.push(Namespace {
            // It holds from the element on that `open` is about to enter.
            depth: self.depth + 1,
            prefix: prefix.to_owned(),
            uri: String::from_utf8_lossy(value).into_owned(),
        });
        Ok(())
    }

    /// The element begins, and all its declarations were given.
    pub(super) fn open(&mut self, element: &BytesStart<'_>) -> Result<(), XmlFault> {
        self.end_own_text()?;
        self.depth += 1;
        let name = element.name();
        let (prefix, local) = split(name.as_ref());
        let namespace = self.namespace(prefix, true)?.to_owned();
        // Each open element has one row of states, so the last row is the parent's.
        let above = self.states.len() - self.paths.len();
        for (index, path) in self.paths.iter().enumerate() {
            let state = path.enter(self.states[above + index], &namespace, local);
            self.states.push(state);
            let own_text = path.takes_text(state);
            if own_text || path.takes_element(state) {
                self.gathering.push(Gathering {
                    path: u32::try_from(index).unwrap_or(u32::MAX),
                    depth: self.depth,
                    own_text,
                    value: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// An attribute of the element that is open.
    pub(super) fn attribute(&mut self, name: &str, value: &[u8]) -> Result<(), XmlFault> {
        let (prefix, local) = split(name);
        let namespace = self.namespace(prefix, false)?.to_owned();
        let row = self.states.len() - self.paths.len();
        for (index, path) in self.paths.iter().enumerate() {
            if path.takes_attribute(self.states[row + index], &namespace, local) {
                self.take(value.len())?;
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                self.keep(index, value.to_vec())?;
            }
        }
        Ok(())
    }

    pub(super) fn text(&mut self, text: &[u8]) -> Result<(), XmlFault> {
        let depth = self.depth;
        let takes = |g: &Gathering| !g.own_text || g.depth == depth;
        let copies = self.gathering.iter().filter(|g| takes(g)).count();
        // Counted before anything is copied, so that one long text cannot be copied once for each open element.
        self.take(copies.saturating_mul(text.len()))?;
        for gathering in self.gathering.iter_mut().filter(|g| takes(g)) {
            gathering.value.extend_from_slice(text);
        }
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), XmlFault> {
        self.end_own_text()?;
        while let Some(gathering) = self.gathering.pop_if(|g| g.depth == self.depth) {
            // `end_own_text` has given the others already.
            if !gathering.own_text {
                self.keep(gathering.path, gathering.value)?;
            }
        }
        self.states
            .truncate(self.states.len().saturating_sub(self.paths.len()));
        self.depth = self.depth.saturating_sub(1);
        while self.namespaces.pop_if(|n| n.depth > self.depth).is_some() {}
        Ok(())
    }

    /// Ends the texts that a tag ends: `text()` gives one value for each run.
    fn end_own_text(&mut self) -> Result<(), XmlFault> {
        let mut ended = Vec::new();
        for gathering in self.gathering.iter_mut().rev() {
            // The list goes from outer to inner elements.
            if gathering.depth < self.depth {
                break;
            }
            if gathering.own_text && !gathering.value.is_empty() {
                ended.push((gathering.path, std::mem::take(&mut gathering.value)));
            }
        }
        // Found from the end, given in the order of the rules' paths.
        for (path, value) in ended.into_iter().rev() {
            self.keep(path, value)?;
        }
        Ok(())
    }

    fn namespace(&self, prefix: &str, of_element: bool) -> Result<&str, XmlFault> {
        // The default namespace does not apply to attributes (Namespaces in XML 1.0, 6.2).
        if prefix.is_empty() && !of_element {
            return Ok("");
        }
        if prefix == "xml" {
            return Ok("http://www.w3.org/XML/1998/namespace");
        }
        // From the innermost on: a prefix may be declared again further down.
        let known = self.namespaces.iter().rev().find(|n| n.prefix == prefix);
        match known {
            Some(namespace) => Ok(&namespace.uri),
            None if prefix.is_empty() => Ok(""),
            None => Err(XmlFault::UndeclaredPrefix(excerpt(prefix.as_bytes()))),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), XmlFault> {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or(XmlFault::TooManyBytesSelected)?;
        Ok(())
    }

    fn keep(&mut self, path: u32, value: Vec<u8>) -> Result<(), XmlFault> {
        if self.found.len() >= MOST_VALUES {
            return Err(XmlFault::TooManyValuesSelected(MOST_VALUES));
        }
        self.found.push((path, value));
        Ok(())
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_exceeds_the_limit_is_not_copied() {
        let text = vec![b'x'; 100_000];
        let paths = [Arc::new(Path::parse("//a", &[]).unwrap())];
        let mut selection = Selection::new(&paths, text.len());
        for _ in 0..200 {
            selection.open(&BytesStart::new("a")).unwrap();
        }
        let fault = selection.text(&text).unwrap_err();
        assert!(matches!(fault, XmlFault::TooManyBytesSelected), "{fault}");
        let copied: usize = selection.gathering.iter().map(|g| g.value.len()).sum();
        assert_eq!(copied, 0);
    }
}
