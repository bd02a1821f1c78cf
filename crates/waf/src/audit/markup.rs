//! Where secrets lie in XML and HTML: in elements with secret names, and next to their names.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::ops::Range;

use super::secret_names::{NAME, NAMING, is_secret_name};

/// How the tags of an element are written: plainly, or escaped as text of another document.
pub(super) struct Markup {
    open: &'static [u8],
    close: &'static [u8],
}

pub(super) const PLAIN: Markup = Markup {
    open: b"<",
    close: b">",
};
pub(super) const ESCAPED: Markup = Markup {
    open: b"&lt;",
    close: b"&gt;",
};

/// A tag that begins an element.
struct Tag<'t> {
    name: &'t [u8],
    attributes: Range<usize>,
    /// The place after it.
    end: usize,
    is_empty: bool,
}

impl Markup {
    /// The name of a tag that begins here, and where it ends.
    fn name<'t>(&self, text: &'t [u8], at: usize) -> Option<(&'t [u8], usize)> {
        let rest = text.get(at..)?.strip_prefix(self.open)?;
        let length = rest
            .iter()
            .take(NAME)
            .take_while(|&&b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b) || b >= 0x80)
            .count();
        (length > 0).then(|| (&rest[..length], at + self.open.len() + length))
    }

    fn tag<'t>(&self, text: &[u8], name: &'t [u8], from: usize, length: usize) -> Tag<'t> {
        let attributes = from..from + length;
        Tag {
            name,
            is_empty: text[attributes.clone()].ends_with(b"/"),
            end: attributes.end + self.close.len(),
            attributes,
        }
    }

    /// Bytes up to the end of a tag. It looks no further than the next tag, so that all calls together look at each
    /// byte once.
    fn near_end(&self, rest: &[u8]) -> Option<usize> {
        let first = self.open[0];
        let mut signs = memchr::memchr2_iter(first, self.close[0], rest);
        let at = signs
            .find(|&at| rest[at..].starts_with(self.close) || rest[at..].starts_with(self.open))?;
        rest[at..].starts_with(self.close).then_some(at)
    }

    /// The same, ignoring brackets within quotes.
    fn end(&self, rest: &[u8]) -> Option<usize> {
        // Without a bound, a quote that is never closed would make each tag read the rest of the document.
        const ATTRIBUTES: usize = 4096;
        let mut quote = None;
        for (at, &byte) in rest.iter().enumerate().take(ATTRIBUTES) {
            match quote {
                Some(open) if byte == open => quote = None,
                Some(_) => {}
                None if rest[at..].starts_with(self.close) => return Some(at),
                None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
                None => {}
            }
        }
        None
    }

    /// From the end of its tag to the closing tag, or to the end of the text.
    fn content(&self, text: &[u8], tag: &Tag<'_>) -> Range<usize> {
        let closing = [self.open, b"/", tag.name].concat();
        let length = memchr::memmem::find(&text[tag.end..], &closing);
        tag.end..length.map_or(text.len(), |i| tag.end + i)
    }
}

/// `<password>...</password>`, `<entry key="password">...</entry>`, `<add key="password" value="..."/>`,
/// `<name>password</name><value>...</value>`.
pub(super) fn element(text: &[u8], at: usize, markup: &Markup) -> Option<Range<usize>> {
    let (name, from) = markup.name(text, at)?;
    if is_secret_name(name) {
        let Some(length) = markup.end(&text[from..]) else {
            // The tag does not end, so its content may begin anywhere.
            return Some(from..text.len());
        };
        let tag = markup.tag(text, name, from, length);
        // Its attributes are judged by their own names.
        return (!tag.is_empty).then(|| markup.content(text, &tag));
    }
    let tag = markup.tag(text, name, from, markup.near_end(&text[from..])?);
    let attributes = &text[tag.attributes.clone()];
    // Most tags have no attribute, and this test is cheaper than the search.
    if attributes.contains(&b'=') && names_a_secret(attributes) {
        return match attribute(attributes, b"value") {
            Some(value) => Some(from + value.start..from + value.end),
            None if tag.is_empty => None,
            None => Some(markup.content(text, &tag)),
        };
    }
    // The prefix of a namespace says nothing about the content.
    let local = name.rsplit(|&b| b == b':').next().unwrap_or_default();
    match !tag.is_empty && NAMING.iter().any(|n| n.eq_ignore_ascii_case(local)) {
        true => element_beside(text, &tag, markup),
        false => None,
    }
}

fn names_a_secret(attributes: &[u8]) -> bool {
    let mut found = NAMING.iter().filter_map(|name| attribute(attributes, name));
    found.any(|value| is_secret_name(&attributes[value]))
}

/// The content of the element that follows one whose content is the name of a secret.
fn element_beside(text: &[u8], naming: &Tag<'_>, markup: &Markup) -> Option<Range<usize>> {
    let near = |from: usize| &text[from..text.len().min(from + NAME)];
    let length = memchr::memmem::find(near(naming.end), markup.open)?;
    let closing = naming.end + length;
    if !is_secret_name(text[naming.end..closing].trim_ascii()) {
        return None;
    }
    let length = memchr::memmem::find(near(closing), markup.close)?;
    let next = closing + length + markup.close.len();
    let blanks = near(next)
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    let (name, from) = markup.name(text, next + blanks)?;
    let value = markup.tag(text, name, from, markup.near_end(&text[from..])?);
    (!value.is_empty).then(|| markup.content(text, &value))
}

/// The value of an attribute, without its quotes.
fn attribute(attributes: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(sign) = memchr::memchr(b'=', &attributes[from..]).map(|i| from + i) {
        let begun = attributes[from..sign].trim_ascii_end();
        let length = begun
            .iter()
            .rev()
            .take_while(|&&b| !b.is_ascii_whitespace() && !b"\"'/".contains(&b))
            .count();
        let blanks = attributes[sign + 1..]
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
        let quote = *attributes.get(sign + 1 + blanks)?;
        if !matches!(quote, b'"' | b'\'') {
            from = sign + 1;
            continue;
        }
        let start = sign + 2 + blanks;
        let end = start + memchr::memchr(quote, &attributes[start..])?;
        if begun[begun.len() - length..].eq_ignore_ascii_case(name) {
            return Some(start..end);
        }
        from = end + 1;
    }
    None
}
