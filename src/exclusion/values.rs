//! How values are written in queries, forms, cookies, JSON and XML: their names, and the same with another value.

use serde_json::Value;

/// Name and value of `a=1`.
pub(super) fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => {
            let (name, value) = pair.split_at(at);
            (name, value.get(1..).unwrap_or_default())
        }
        None => (pair, b""),
    }
}

/// The decoded names of `a=1&b=2`, each once.
pub(super) fn names(pairs: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for pair in pairs.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
        let name = percent_decoded(split_pair(pair).0);
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen.into_iter()
}

/// The pairs with another value for each of this name.
pub(super) fn with_pair(pairs: &[u8], name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    with_values(pairs, b'&', value, |key| percent_decoded(key) == name)
}

/// The header field `Cookie` with another value for this cookie.
pub(super) fn with_cookie(header: &[u8], name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    // Rules decode a cookie's value, and `;` would end it: it is encoded like that of an argument.
    with_values(header, b';', value, |key| {
        key.trim_ascii().eq_ignore_ascii_case(name)
    })
}

/// The list with this value, encoded, for each key that `is_it`; None if there is none.
fn with_values(
    list: &[u8],
    separator: u8,
    value: &[u8],
    is_it: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut found = false;
    let pairs = list.split(|&b| b == separator).map(|pair| {
        let (key, _) = split_pair(pair);
        if !is_it(key) {
            return pair.to_vec();
        }
        found = true;
        [key, b"=", &percent_encoded(value)].concat()
    });
    let changed: Vec<Vec<u8>> = pairs.collect();
    found.then(|| changed.join(&separator))
}

/// The document with this value as its only text: rules see all texts as one. None if it is more than elements and
/// their texts.
pub(super) fn with_xml_text(body: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    // In comments and CDATA sections `<` begins no tag.
    if memchr::memmem::find(body, b"<!").is_some() {
        return None;
    }
    // Inside the root element: a text behind it would make the document malformed.
    let last = memchr::memmem::rfind(body, b"</")?;
    let mut changed = Vec::new();
    let mut is_text = false;
    // Markup is copied, text is left out, and the value stands before the last end tag.
    for (at, &byte) in body.iter().enumerate() {
        if at == last {
            changed.extend_from_slice(&xml_escaped(value));
        }
        is_text = is_text && byte != b'<';
        if !is_text {
            changed.push(byte);
        }
        is_text = is_text || byte == b'>';
    }
    Some(changed)
}

fn xml_escaped(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in value {
        match byte {
            b'<' => text.extend_from_slice(b"&lt;"),
            b'&' => text.extend_from_slice(b"&amp;"),
            // XML allows no other control characters.
            0..=8 | 11 | 12 | 14..=31 => {}
            byte => text.push(byte),
        }
    }
    text
}

/// The names that the engine gives to the values of a JSON body.
pub(super) fn json_names(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                json_names(member, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                json_names(item, &format!("{path}.{index}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// Puts a text in the place of the value of this name; false if there is none.
pub(super) fn set_json(value: &mut Value, path: &str, wanted: &[u8], new: &str) -> bool {
    match value {
        Value::Object(members) => members
            .iter_mut()
            .any(|(key, member)| set_json(member, &format!("{path}.{key}"), wanted, new)),
        Value::Array(items) => {
            let mut items = items.iter_mut().enumerate();
            items.any(|(index, item)| set_json(item, &format!("{path}.{index}"), wanted, new))
        }
        // Without regard to case, as rules find arguments.
        leaf if path.as_bytes().eq_ignore_ascii_case(wanted) => {
            // Also in the place of a number: rules see the text of both.
            *leaf = Value::String(new.to_owned());
            true
        }
        _ => false,
    }
}

/// Everything but letters, digits and `-._~` as `%HH`.
pub(super) fn percent_encoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ if byte.is_ascii_alphanumeric() => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

/// `%HH` and `+` decoded; what is malformed stays.
pub(super) fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
                let code = digit(0).zip(digit(1)).map(|(high, low)| high * 16 + low);
                match code.and_then(|code| u8::try_from(code).ok()) {
                    Some(decoded) => {
                        out.push(decoded);
                        rest = after.get(2..).unwrap_or_default();
                    }
                    // Rules see it as the engine decodes it, which leaves malformed escapes as they are too.
                    None => out.push(byte),
                }
            }
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_hexadecimal_digits_are_an_escape() {
        for (encoded, decoded) in [
            ("a%20b+c", "a b c"),
            ("%C3%a9", "é"),
            ("%+1", "% 1"),
            ("%-1%g1%1", "%-1%g1%1"),
            ("%", "%"),
        ] {
            assert_eq!(percent_decoded(encoded.as_bytes()), decoded.as_bytes());
        }
    }
}
