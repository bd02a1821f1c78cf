//! Header fields that a listener or a route sets, adds and removes.

use std::fmt;
use std::sync::Arc;

use http_strict::{is_token, same_field_name};

use super::template::{Facts, Template};
use crate::dropped_fields::{Dropped, field_rule};

/// What is done to the header fields of a message, in this order: removed, set, added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldChanges {
    /// These are taken out.
    pub remove: Vec<FieldName>,
    /// These get one value, whatever they had.
    pub set: Vec<(FieldName, Template)>,
    /// These get one more value.
    pub add: Vec<(FieldName, Template)>,
}

/// The name of a field that a configuration may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(Arc<str>);

/// Whose fields are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// What gateways get.
    Request,
    /// What clients get.
    Answer,
}

/// One change, with the values of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldEdit {
    /// Takes the field out.
    Remove(FieldName),
    /// The field's only value.
    Set(FieldName, Vec<u8>),
    /// Its value where the message has no such field.
    SetIfMissing(FieldName, Vec<u8>),
    /// One more value.
    Add(FieldName, Vec<u8>),
}

/// Why a configuration cannot change a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldError {
    /// It is no name of a field (RFC 9110, 5.1).
    NotAName(String),
    /// Its name, and why it is not changed, as the end of a sentence about it.
    Reserved(String, &'static str),
}

/// The fields of an answer that frame it or end at this hop.
const FRAMING: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAName(text) => write!(f, "\"{text}\" is no name of a header field"),
            Self::Reserved(name, why) => {
                write!(f, "the field {name} cannot be changed here: it {why}")
            }
        }
    }
}

impl std::error::Error for FieldError {}

impl FieldName {
    /// # Errors
    /// It is no name, or the field is not the configuration's to change.
    pub fn parse(text: &str, message: Message) -> Result<Self, FieldError> {
        if !is_token(text.as_bytes()) {
            return Err(FieldError::NotAName(text.to_owned()));
        }
        let reserved = match message {
            Message::Request => reserved_in_requests(text),
            Message::Answer => FRAMING
                .iter()
                .any(|name| name.eq_ignore_ascii_case(text))
                .then_some("frames the answer"),
        };
        match reserved {
            Some(why) => Err(FieldError::Reserved(text.to_owned(), why)),
            None => Ok(Self(text.into())),
        }
    }

    /// A name that the front door itself writes.
    pub(super) fn known(name: &str) -> Self {
        Self(name.into())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a gateway could take a field of this name for this one: CGI variables have one spelling for many names.
    #[must_use]
    pub fn is_spelled(&self, name: &[u8]) -> bool {
        same_field_name(self.0.as_bytes(), name)
    }
}

fn reserved_in_requests(name: &str) -> Option<&'static str> {
    let rule = field_rule(name.as_bytes())?;
    match rule.dropped {
        Dropped::Always => Some(rule.why),
        Dropped::UnlessTrusted => None,
        Dropped::OtherSpellings if name.eq_ignore_ascii_case("user-agent") => None,
        // The rules judged the body as the client's fields describe it.
        Dropped::OtherSpellings => Some(rule.why),
    }
}

impl FieldChanges {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Its templates.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.set.iter().chain(&self.add).map(|(_, value)| value)
    }

    /// The names of the fields that it changes.
    pub fn names(&self) -> impl Iterator<Item = &FieldName> {
        let given = self.set.iter().chain(&self.add).map(|(name, _)| name);
        given.chain(&self.remove)
    }

    /// The names of all that it changes, for people: `set X-A, add X-B, remove X-C`.
    #[must_use]
    pub fn words(&self) -> String {
        let set = self.set.iter().map(|(name, _)| ("set", name));
        let add = self.add.iter().map(|(name, _)| ("add", name));
        let remove = self.remove.iter().map(|name| ("remove", name));
        let words = set.chain(add).chain(remove);
        let words: Vec<String> = words
            .map(|(verb, name)| format!("{verb} {}", name.as_str()))
            .collect();
        words.join(", ")
    }

    /// Adds the changes for a request to `edits`. A field that is set to a value which is not there is removed, so that
    /// nobody takes a client's own for it.
    pub fn make(&self, facts: &impl Facts, edits: &mut Vec<FieldEdit>) {
        edits.extend(self.remove.iter().cloned().map(FieldEdit::Remove));
        edits.extend(
            self.set
                .iter()
                .map(|(name, value)| match value.field(facts) {
                    Some(value) => FieldEdit::Set(name.clone(), value),
                    None => FieldEdit::Remove(name.clone()),
                }),
        );
        let added = self.add.iter();
        edits.extend(
            added.filter_map(|(name, value)| {
                Some(FieldEdit::Add(name.clone(), value.field(facts)?))
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::Value;

    use super::*;
    use crate::transform::template::{Use, Variable};

    struct Nobody;

    impl Facts for Nobody {
        fn text(&self, variable: &Variable) -> Option<Cow<'_, [u8]>> {
            (*variable == Variable::Host).then(|| Cow::Borrowed(&b"api"[..]))
        }

        fn claim(&self, _name: &str) -> Option<&Value> {
            None
        }
    }

    #[test]
    fn fields_that_frame_or_identify_are_not_changed() {
        for (name, request, answer) in [
            ("X-Env", true, true),
            ("X-Real-IP", true, true),
            ("User-Agent", true, true),
            ("Authorization", true, true),
            ("Host", false, true),
            ("X-Forwarded-For", false, true),
            ("x_forwarded_for", false, true),
            ("Content-Length", false, false),
            ("Content-Type", false, true),
            ("Content_Type", false, true),
            ("Connection", false, false),
            ("Transfer-Encoding", false, false),
            ("X-Request-Id", false, true),
            ("Client-Cert", false, true),
            ("a b", false, false),
            ("", false, false),
        ] {
            let in_request = FieldName::parse(name, Message::Request);
            assert_eq!(in_request.is_ok(), request, "{name} in a request");
            let in_answer = FieldName::parse(name, Message::Answer);
            assert_eq!(in_answer.is_ok(), answer, "{name} in an answer");
        }
    }

    #[test]
    fn a_field_without_its_value_is_removed() {
        let name = |text| FieldName::parse(text, Message::Request).unwrap();
        let template = |text| Template::parse(text, Use::Field).unwrap();
        let changes = FieldChanges {
            remove: vec![name("X-Debug")],
            set: vec![
                (name("X-Host"), template("{host}")),
                (name("X-User"), template("{claim.sub}")),
            ],
            add: vec![(name("Via"), template("{claim.sub}"))],
        };
        let mut edits = Vec::new();
        changes.make(&Nobody, &mut edits);
        assert_eq!(
            edits,
            [
                FieldEdit::Remove(name("X-Debug")),
                FieldEdit::Set(name("X-Host"), b"api".to_vec()),
                FieldEdit::Remove(name("X-User")),
            ]
        );
        assert_eq!(
            changes.words(),
            "set X-Host, set X-User, add Via, remove X-Debug"
        );
    }
}
