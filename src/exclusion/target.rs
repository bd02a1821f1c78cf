//! A value that a rule looked at, as an exclusion names it.
//!
//! ModSecurity compares the names in `ctl:ruleRemoveTarget...` letter by letter; a pattern between slashes is known
//! here and in Coraza, but in no release of ModSecurity. So a pattern stands only where a name does not do.

use std::fmt::Write as _;

/// `COLLECTION:key`, or a variable that has no keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) collection: String,
    pub(super) key: Option<Vec<u8>>,
}

impl Target {
    /// From a matched variable. None if no exclusion could name it: a count, or what rules themselves set.
    pub(super) fn of(variable: &[u8]) -> Option<Self> {
        // What an earlier link of a chain matched is shown with its own name behind this one.
        let variable = variable
            .strip_prefix(b"MATCHED_VARS:")
            .or_else(|| variable.strip_prefix(b"MATCHED_VARS_NAMES:"))
            .unwrap_or(variable);
        let (collection, key) = match memchr::memchr(b':', variable) {
            Some(at) => {
                let (collection, key) = variable.split_at(at);
                (collection, Some(key.get(1..).unwrap_or_default()))
            }
            None => (variable, None),
        };
        let collection = std::str::from_utf8(collection).ok()?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if collection.is_empty() || !collection.chars().all(is_name) || is_internal(collection) {
            return None;
        }
        // An argument without a name cannot be named; the collection is what is left.
        let key = key.filter(|key| !key.is_empty());
        Some(Self {
            collection: collection.to_owned(),
            key: key.map(<[u8]>::to_vec),
        })
    }

    /// A path in an XML body.
    pub(super) fn xml(path: &str) -> Self {
        Self {
            collection: "XML".to_owned(),
            key: Some(path.as_bytes().to_vec()),
        }
    }

    /// Whether nothing else can stand there in the requests of the exclusion's scope: names, and what the scope says.
    pub(super) fn is_fixed(&self) -> bool {
        let is_name = self.collection.ends_with("_NAMES") && self.collection != "FILES_NAMES";
        let of_scope = ["REQUEST_METHOD", "REQUEST_FILENAME", "REQUEST_BASENAME"];
        (is_name && self.key.is_some()) || of_scope.contains(&self.collection.as_str())
    }

    /// This name and no other.
    pub(super) fn exact(&self) -> String {
        match self.key.as_deref() {
            None => self.collection.clone(),
            // A path in place of a name, which engines know only as rules have it.
            Some(path @ (b"/*" | b"//@*")) if self.collection == "XML" => {
                format!("XML:{}", String::from_utf8_lossy(path))
            }
            Some(key) if is_plain(key) => {
                format!("{}:{}", self.collection, String::from_utf8_lossy(key))
            }
            Some(key) => format!("{}:/^{}$/", self.collection, escaped(key)),
        }
    }

    /// This name with any numbers where it has some; None if it has none.
    pub(super) fn numbered(&self) -> Option<String> {
        let pattern = numbers_as_pattern(self.key.as_deref()?)?;
        Some(format!("{}:/^{pattern}$/", self.collection))
    }

    /// Whether the two names differ at most in their numbers.
    pub(super) fn is_like(&self, name: &[u8]) -> bool {
        self.key.as_deref().is_some_and(|key| {
            key.eq_ignore_ascii_case(name)
                || numbers_as_pattern(key).is_some_and(|own| {
                    numbers_as_pattern(name).is_some_and(|other| own.eq_ignore_ascii_case(&other))
                })
        })
    }
}

/// Variables that rules make: an exclusion of them would not name what the client sent.
fn is_internal(collection: &str) -> bool {
    const INTERNAL: [&str; 8] = [
        "TX",
        "MATCHED_VAR",
        "MATCHED_VARS",
        "MATCHED_VAR_NAME",
        "IP",
        "GLOBAL",
        "SESSION",
        "ENV",
    ];
    INTERNAL.contains(&collection)
}

/// Whether each engine reads these bytes of a name as themselves.
fn is_plain(key: &[u8]) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.[]:@+*()!$~".contains(&b);
    key.iter().all(|&b| is_plain(b))
}

/// The bytes as a pattern that matches them alone, without characters that end an action.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for &byte in bytes {
        match byte {
            b'-' | b'_' | b'@' | b'!' | b'~' | b'=' | b'&' | b'%' | b'/' => {
                // `/` would end a pattern between slashes, `%` could begin a macro.
                match byte {
                    b'/' | b'%' => {
                        let _ = write!(out, "\\x{byte:02x}");
                    }
                    _ => out.push(char::from(byte)),
                }
            }
            b'.' | b'[' | b']' | b'(' | b')' | b'*' | b'+' | b'$' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}

/// `json.items.17.note` as `json\.items\.\d+\.note`: digits between other characters than letters count as a number.
fn numbers_as_pattern(name: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut found = false;
    // A name begins and ends as if a separator stood there.
    let mut before = b'.';
    let mut rest = name;
    while let Some(&byte) = rest.first() {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let after = rest.get(digits).copied().unwrap_or(b'.');
        // `x2` and `sha256` are names, and `items.17` has an index.
        let stands_alone = !before.is_ascii_alphabetic() && !after.is_ascii_alphabetic();
        let length = match digits {
            0 => 1,
            _ => digits,
        };
        let (piece, other) = rest.split_at(length);
        if digits > 0 && stands_alone {
            found = true;
            out.push_str("\\d+");
        } else {
            out.push_str(&escaped(piece));
        }
        before = piece.last().copied().unwrap_or(byte);
        rest = other;
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_for_each_engine() {
        for (variable, exact, numbered) in [
            ("ARGS:note", Some("ARGS:note"), None),
            (
                "ARGS:json.items.17.note",
                Some("ARGS:json.items.17.note"),
                Some(r"ARGS:/^json\.items\.\d+\.note$/"),
            ),
            (
                "ARGS:lines[3][text]",
                Some("ARGS:lines[3][text]"),
                Some(r"ARGS:/^lines\[\d+\]\[text\]$/"),
            ),
            ("ARGS:address2", Some("ARGS:address2"), None),
            ("ARGS:a,b'\"", Some(r"ARGS:/^a\x2cb\x27\x22$/"), None),
            ("XML:/*", Some("XML:/*"), None),
            ("REQUEST_BODY", Some("REQUEST_BODY"), None),
            ("MATCHED_VARS:ARGS:q", Some("ARGS:q"), None),
            ("TX:1", None, None),
            ("&REQUEST_HEADERS:Host", None, None),
            ("", None, None),
        ] {
            let target = Target::of(variable.as_bytes());
            let said = target.as_ref().map(Target::exact);
            assert_eq!(said.as_deref(), exact, "{variable}");
            let said = target.as_ref().and_then(Target::numbered);
            assert_eq!(said.as_deref(), numbered, "{variable}");
        }
    }

    #[test]
    fn names_that_differ_in_numbers_are_alike() {
        let target = Target::of(b"ARGS:json.items.17.note").unwrap();
        for (name, alike) in [
            ("json.items.3.note", true),
            ("json.items.3.title", false),
            ("json.items.x.note", false),
        ] {
            assert_eq!(target.is_like(name.as_bytes()), alike, "{name}");
        }
    }
}
