//! Header fields by name. A name may occur several times (RFC 9110, 5.2 and 5.3). Fields with a list as value are one
//! list. For a field that may have one value, a second value is never ignored: the upstream might use it.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the bytes that they cut"
)]

use super::item::Item;
use crate::variables::{Slice, Text};

/// Why the type of a body is unknown.
pub(crate) const TWO_TYPES: &str = "the message has two Content-Types that differ";

/// The media type that a message gives for its body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ContentType {
    /// The first; empty if there is none.
    pub value: Vec<u8>,
    /// Another Content-Type says something else, and the upstream may use that one.
    pub differs: bool,
}

/// The values of every field of this name, in order. An underscore stands for a hyphen: some gateways read
/// `Content_Type` as they read `Content-Type`.
pub(crate) fn values<'t>(
    text: &'t Text,
    items: &'t [Item],
    name: &'t str,
) -> impl Iterator<Item = Slice> + 't {
    let same = |&(a, b): &(&u8, &u8)| {
        a.eq_ignore_ascii_case(b) || matches!((a, b), (b'_', b'-') | (b'-', b'_'))
    };
    let is = move |item: &&Item| {
        let key = text.at(item.key);
        key.len() == name.len() && key.iter().zip(name.as_bytes()).all(|pair| same(&pair))
    };
    items.iter().filter(is).map(|item| item.value)
}

/// The elements of every field of this name as one list.
pub(crate) fn list(text: &Text, items: &[Item], name: &str) -> Option<Vec<u8>> {
    let mut whole: Option<Vec<u8>> = None;
    for value in values(text, items, name) {
        match &mut whole {
            None => whole = Some(text.at(value).to_vec()),
            Some(whole) => {
                whole.extend_from_slice(b", ");
                whole.extend_from_slice(text.at(value));
            }
        }
    }
    whole
}

pub(crate) fn content_type(text: &Text, items: &[Item]) -> ContentType {
    let mut found = ContentType::default();
    for (index, value) in values(text, items, "content-type").enumerate() {
        let value = text.at(value).trim_ascii();
        if index == 0 {
            found.value = value.to_vec();
        }
        // Not compared by meaning: how the upstream compares them is unknown, so any difference counts.
        found.differs |= value != found.value || names_two_types(value);
    }
    found
}

/// `text/plain, application/json`: two fields that an intermediary has joined.
fn names_two_types(value: &[u8]) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    let mut first = None;
    let mut start = 0;
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            // A backslash escapes only within a quoted string (RFC 9110, 5.6.4).
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                first.get_or_insert(&value[..at]);
                start = at + 1;
                if differs(first, &value[start..]) {
                    return true;
                }
            }
            _ => {}
        }
    }
    start > 0 && differs(first, &value[start..])
}

/// Whether another media type follows the comma. A parameter (`charset=utf-8`) after a comma is a mistake, not a type.
fn differs(first: Option<&[u8]>, rest: &[u8]) -> bool {
    let end = memchr::memchr2(b';', b',', rest).unwrap_or(rest.len());
    let is_type = memchr::memchr(b'/', &rest[..end]).is_some()
        && memchr::memchr2(b'=', b'"', &rest[..end]).is_none();
    is_type && first.is_some_and(|first| first.trim_ascii() != rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &mut Text, fields: &[(&str, &str)]) -> Vec<Item> {
        let item = |(key, value): &(&str, &str)| Item {
            key: text.push(key.as_bytes()),
            value: text.push(value.as_bytes()),
        };
        fields.iter().map(item).collect()
    }

    #[test]
    fn a_list_is_one_list() {
        for (fields, whole) in [
            (&[][..], None),
            (&[("Content-Encoding", "gzip")], Some("gzip")),
            (
                &[
                    ("content-encoding", "identity"),
                    ("A", "b"),
                    ("Content-Encoding", "deflate"),
                ],
                Some("identity, deflate"),
            ),
            (
                &[("Content_Encoding", "br"), ("Content-Encoding", "")],
                Some("br, "),
            ),
        ] {
            let mut text = Text::default();
            let items = items(&mut text, fields);
            let found = list(&text, &items, "content-encoding");
            assert_eq!(found.as_deref(), whole.map(str::as_bytes), "{fields:?}");
        }
    }

    #[test]
    fn types_that_differ() {
        for (fields, differs) in [
            (&["application/json"][..], false),
            (&["application/json", "application/json"], false),
            (&["application/json", " application/json "], false),
            (&["text/plain", "application/json"], true),
            (
                &["application/json", "application/json; charset=utf-8"],
                true,
            ),
            (&["application/json", ""], true),
            (&["text/plain, application/json"], true),
            (&["text/plain,application/json;charset=utf-8"], true),
            (&["application/json, application/json"], false),
            (&["application/json,charset=utf-8"], false),
            (&["multipart/form-data; boundary=\"a,b/c\""], false),
            (
                &["multipart/form-data; boundary=a, multipart/form-data; boundary=b"],
                true,
            ),
        ] {
            let mut text = Text::default();
            let fields: Vec<_> = fields
                .iter()
                .map(|value| ("Content-Type", *value))
                .collect();
            let items = items(&mut text, &fields);
            assert_eq!(content_type(&text, &items).differs, differs, "{fields:?}");
        }
    }
}
