//! XML, as the values that rules read: all text (`XML:/*`), all attributes (`XML://@*`), and what paths select.
//!
//! Nothing is fetched and nothing is expanded. What a document type declaration defines (entities, default attribute
//! values) would be text that only the backend sees, so a declaration with an internal subset is refused. One that only
//! names an external subset is skipped, and references to what it may define stay in the text as written. Without a
//! declaration an undefined reference is an error.
//!
//! If a document has an error, the rest of it counts as text, so that rules see it.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

mod encoding;
mod fault;
pub(crate) mod path;
mod select;

use std::collections::HashSet;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{BodyError, excerpt, work};
use fault::XmlFault;
use path::Path;
use select::Selection;

/// The most that is read; beyond it the document has an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Elements inside one another; libxml2 has the same bound.
    pub depth: usize,
    /// Attributes of the whole document.
    pub attributes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 256,
            attributes: 10_000,
        }
    }
}

/// What rules read of a document, in UTF-8, except for what could not be decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Xml {
    /// `XML:/*`: the text of the root element and all below it in one piece, CDATA included, comments
    /// and processing instructions not.
    pub text: Vec<u8>,
    /// `XML://@*`: the values of all attributes in the order of the document. As in XPath, namespace
    /// declarations are none.
    pub attributes: Vec<Vec<u8>>,
    /// Which path selected it, and the value; in the order in which they ended.
    pub selected: Vec<(u32, Vec<u8>)>,
    /// Why the document was not read to its end.
    pub error: Option<BodyError>,
}

/// Reads `body` as a document. An empty body has none and is no error.
#[must_use]
pub fn parse(body: &[u8], limits: &Limits) -> Xml {
    parse_as(body, None, &[], limits)
}

/// The same for a body whose Content-Type names a `charset`, with the values that `paths` select.
pub(crate) fn parse_as(
    body: &[u8],
    charset: Option<&[u8]>,
    paths: &[Arc<Path>],
    limits: &Limits,
) -> Xml {
    let mut parser = Parser::new(limits, Selection::new(paths, body.len()));
    if body.is_empty() {
        return parser.found;
    }
    let source = match encoding::decode(body, charset) {
        Ok(source) => source,
        Err(fault) => return parser.fail(&fault, body, 0),
    };
    let failure = match (parser.document(&source.text), source.invalid_at) {
        (Err(failure), Some(end)) if failure.offset >= end => invalid_bytes(end),
        (Err(failure), _) => failure,
        (Ok(()), Some(end)) => invalid_bytes(end),
        (Ok(()), None) => return parser.whole(),
    };
    let rest = source.rest(body, failure.offset);
    parser.fail(&failure.fault, &rest, source.offset_in_body(failure.offset))
}

fn invalid_bytes(offset: usize) -> Failure {
    Failure {
        fault: XmlFault::InvalidBytes,
        offset,
    }
}

struct Failure {
    fault: XmlFault,
    /// In the decoded text.
    offset: usize,
}

struct Parser<'l, 'p> {
    limits: &'l Limits,
    selection: Selection<'p>,
    found: Xml,
    depth: usize,
    has_root: bool,
    has_doctype: bool,
}

impl<'l, 'p> Parser<'l, 'p> {
    fn new(limits: &'l Limits, selection: Selection<'p>) -> Self {
        Self {
            limits,
            selection,
            found: Xml::default(),
            depth: 0,
            has_root: false,
            has_doctype: false,
        }
    }

    fn whole(mut self) -> Xml {
        self.found.selected = std::mem::take(&mut self.selection.found);
        self.found
    }

    fn fail(mut self, fault: &XmlFault, rest: &[u8], offset: usize) -> Xml {
        self.found.text.extend_from_slice(rest);
        self.found.error = Some(BodyError::new(
            format!("XML parsing error: XML: Failed parsing document: {fault}."),
            offset,
        ));
        self.whole()
    }

    fn document(&mut self, input: &str) -> Result<(), Failure> {
        let mut reader = Reader::from_str(input);
        let position = |offset: u64| {
            usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(input.len())
        };
        loop {
            let start = position(reader.buffer_position());
            if work::is_over() {
                return Err(Failure {
                    fault: XmlFault::OutOfTime,
                    offset: start,
                });
            }
            let event = match reader.read_event() {
                Ok(Event::Eof) => break,
                Ok(event) => event,
                Err(error) => {
                    return Err(Failure {
                        fault: XmlFault::Syntax(excerpt(error.to_string().as_bytes())),
                        offset: position(reader.error_position()).max(start),
                    });
                }
            };
            work::add(position(reader.buffer_position()) - start);
            self.event(&event, start, &input[start..])
                .map_err(|fault| Failure {
                    fault,
                    offset: start,
                })?;
        }
        let fault = match (self.depth, self.has_root) {
            (0, true) => return Ok(()),
            (0, false) => XmlFault::NoRoot,
            _ => XmlFault::UnclosedElement,
        };
        Err(Failure {
            fault,
            offset: input.len(),
        })
    }

    fn event(&mut self, event: &Event<'_>, start: usize, source: &str) -> Result<(), XmlFault> {
        match event {
            Event::Start(element) => {
                // Before the check of the depth, so that rules see the attributes of the element that is too deep.
                self.element(element)?;
                if self.depth >= self.limits.depth {
                    return Err(XmlFault::TooDeep(self.limits.depth));
                }
                self.depth += 1;
            }
            Event::Empty(element) => {
                self.element(element)?;
                self.close()?;
            }
            // The reader has checked that it closes the innermost element.
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                self.close()?;
            }
            Event::Text(text) if self.depth > 0 => self.text(text)?,
            Event::Text(text) if text.bytes().all(is_blank) => {}
            Event::CData(text) if self.depth > 0 => self.text(text)?,
            Event::GeneralRef(name) if self.depth > 0 => {
                let start = self.found.text.len();
                push_reference(name, self.has_doctype, &mut self.found.text)?;
                self.selection.text(&self.found.text[start..])?;
            }
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                return Err(XmlFault::TextOutsideRoot);
            }
            // A second declaration could name another encoding.
            Event::Decl(_) if start > 0 => {
                return Err(XmlFault::LateDeclaration);
            }
            Event::Decl(declaration) => {
                declaration.xml_version().map_err(|error| {
                    XmlFault::Declaration(excerpt(error.to_string().as_bytes()))
                })?;
            }
            Event::DocType(content) => self.doctype(content, source)?,
            Event::Comment(_) | Event::PI(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlFault> {
        let start = self.found.text.len();
        push_lines(text, b'\n', &mut self.found.text);
        match self.selection.is_empty() {
            true => Ok(()),
            false => self.selection.text(&self.found.text[start..]),
        }
    }

    fn close(&mut self) -> Result<(), XmlFault> {
        match self.selection.is_empty() {
            true => Ok(()),
            false => self.selection.close(),
        }
    }

    /// Shows the selection an element and its attributes, the last `values` of those that were found.
    fn select(&mut self, element: &BytesStart<'_>, values: usize) -> Result<(), XmlFault> {
        if self.selection.is_empty() {
            return Ok(());
        }
        let mut names = Vec::new();
        for attribute in element.attributes().with_checks(false) {
            let attribute = attribute.map_err(XmlFault::Attribute)?;
            match is_declaration(attribute.key.0) {
                false => names.push(attribute.key.0),
                true => {
                    let mut uri = Vec::new();
                    push_attribute(&attribute.value, self.has_doctype, &mut uri)?;
                    self.selection.declare(attribute.key.0, &uri)?;
                }
            }
        }
        self.selection.open(element)?;
        let first = self.found.attributes.len().saturating_sub(values);
        for (name, value) in names.into_iter().zip(&self.found.attributes[first..]) {
            self.selection.attribute(name, value)?;
        }
        Ok(())
    }

    fn element(&mut self, element: &BytesStart<'_>) -> Result<(), XmlFault> {
        // quick-xml accepts several roots; other parsers stop at the second or refuse the document.
        if self.depth == 0 && self.has_root {
            return Err(XmlFault::SecondRoot);
        }
        self.has_root = true;
        // quick-xml does not check the characters of names.
        check_name(element.name().as_ref())?;
        let mut names = HashSet::new();
        let before = self.found.attributes.len();
        // The check for duplicates in quick-xml takes quadratic time; the set takes linear time.
        for attribute in element.attributes().with_checks(false) {
            let attribute = attribute.map_err(XmlFault::Attribute)?;
            let name = attribute.key.as_ref();
            work::add(name.len() + attribute.value.len());
            check_name(name)?;
            if !names.insert(attribute.key.0) {
                return Err(XmlFault::DuplicateAttribute(excerpt(name.as_bytes())));
            }
            // Counted over the whole document: many elements with few attributes cost as much memory.
            if self.found.attributes.len() >= self.limits.attributes {
                return Err(XmlFault::TooManyAttributes(self.limits.attributes));
            }
            let mut value = Vec::with_capacity(attribute.value.len());
            push_attribute(&attribute.value, self.has_doctype, &mut value)?;
            if !is_declaration(name) {
                self.found.attributes.push(value);
            }
        }
        self.select(element, self.found.attributes.len() - before)
    }

    fn doctype(&mut self, content: &str, source: &str) -> Result<(), XmlFault> {
        // quick-xml also takes other cases of the word, which XML does not.
        if self.has_root || self.has_doctype || !source.starts_with("<!DOCTYPE") {
            return Err(XmlFault::MisplacedDoctype);
        }
        self.has_doctype = true;
        let mut quote = None;
        for byte in content.bytes() {
            match (quote, byte) {
                // Definitions follow a bracket outside of quotes.
                (None, b'[') => return Err(XmlFault::DoctypeWithDefinitions),
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), _) if open == byte => quote = None,
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_declaration(name: &str) -> bool {
    name == "xmlns" || name.starts_with("xmlns:")
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// The letters of a name, as far as they are ASCII.
fn check_name(name: &str) -> Result<(), XmlFault> {
    let starts = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b':') || !b.is_ascii();
    let continues = |b: u8| starts(b) || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    if name.bytes().next().is_some_and(starts) && name.bytes().all(continues) {
        return Ok(());
    }
    Err(XmlFault::InvalidName(excerpt(name.as_bytes())))
}

/// Text with every line end (also CR LF and CR) as `line_end` (XML 1.0 section 2.11), which is how the backend sees it.
fn push_lines(text: &str, line_end: u8, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(line_end);
        rest = match &rest[at..] {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => &[],
        };
    }
    out.extend_from_slice(rest);
}

/// An attribute's value, normalised (XML 1.0 section 3.3.3).
fn push_attribute(value: &str, has_doctype: bool, out: &mut Vec<u8>) -> Result<(), XmlFault> {
    // XML 1.0, section 3.1. quick-xml lets it pass.
    if value.contains('<') {
        return Err(XmlFault::MarkupInAttribute);
    }
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        push_blanks(&rest[..at], out);
        rest = &rest[at + 1..];
        let Some(end) = memchr::memchr(b';', rest.as_bytes()) else {
            return Err(XmlFault::UnclosedReference);
        };
        push_reference(&rest[..end], has_doctype, out)?;
        rest = &rest[end + 1..];
    }
    push_blanks(rest, out);
    Ok(())
}

fn push_blanks(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    push_lines(text, b' ', out);
    for byte in &mut out[start..] {
        if *byte == b'\t' {
            *byte = b' ';
        }
    }
}

/// What `&name;` stands for.
fn push_reference(name: &str, has_doctype: bool, out: &mut Vec<u8>) -> Result<(), XmlFault> {
    if let Some(number) = name.strip_prefix('#') {
        let c = character(number)
            .ok_or_else(|| XmlFault::InvalidCharacter(excerpt(name.as_bytes())))?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        return Ok(());
    }
    match name {
        "amp" => out.push(b'&'),
        "lt" => out.push(b'<'),
        "gt" => out.push(b'>'),
        "quot" => out.push(b'"'),
        "apos" => out.push(b'\''),
        _ => {
            check_name(name)?;
            // Without a declaration nothing can define it, so the document is not well-formed; with one the backend may
            // know it.
            if !has_doctype {
                return Err(XmlFault::UndefinedEntity(excerpt(name.as_bytes())));
            }
            out.push(b'&');
            out.extend_from_slice(name.as_bytes());
            out.push(b';');
        }
    }
    Ok(())
}

fn character(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // `from_str_radix` would accept a sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    // The `Char` of XML 1.0, section 2.2. A `char` is no surrogate already.
    let legal = matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    legal.then_some(c)
}

#[cfg(test)]
mod tests;
