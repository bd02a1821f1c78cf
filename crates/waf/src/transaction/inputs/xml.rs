//! The variables of an XML document.

use crate::audit::mask;
use crate::body::xml::{self, Limits, Xml};
use crate::variables::{Slice, Text};

/// Secrets of one document that are looked for. A client chooses how many there are.
const MOST_SECRETS: usize = 256;

/// Text, attributes and what paths select of an XML document. Empty for every other body.
#[derive(Debug, Default)]
pub(crate) struct XmlBody {
    text: Option<Slice>,
    attributes: Vec<Slice>,
    /// What the rules' paths select: which of them, and the value.
    selected: Vec<(u32, Slice)>,
    /// Contents of elements and attributes with secret names. The values of `XML:/*` no longer have the names.
    secrets: Vec<Slice>,
}

/// Which part of a document a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum XmlPart {
    Text,
    Attribute,
    /// By the path at this place among the rule set's.
    Selected(u32),
}

impl XmlBody {
    /// Every value: the text, then the attributes, then what paths select.
    pub(crate) fn values(&self) -> impl Iterator<Item = (XmlPart, Slice)> {
        let text = self.text.iter().map(|&text| (XmlPart::Text, text));
        let attributes = self.attributes.iter().map(|&a| (XmlPart::Attribute, a));
        let selected = self.selected.iter();
        let selected = selected.map(|&(path, value)| (XmlPart::Selected(path), value));
        text.chain(attributes).chain(selected)
    }

    pub(crate) fn is_text(&self, value: Slice) -> bool {
        self.text == Some(value)
    }

    pub(crate) fn is_selected(&self, value: Slice) -> bool {
        self.selected.iter().any(|(_, v)| *v == value)
    }

    pub(crate) fn secrets(&self) -> &[Slice] {
        &self.secrets
    }

    /// How many attributes and selected values there are.
    pub(crate) fn items(&self) -> usize {
        self.attributes.len() + self.selected.len()
    }

    pub(crate) fn fill(&mut self, text: &mut Text, document: &Xml) {
        self.text = Some(text.push(&document.text));
        self.attributes = document.attributes.iter().map(|a| text.push(a)).collect();
        let selected = document.selected.iter();
        self.selected = selected
            .map(|(path, value)| (*path, text.push(value)))
            .collect();
    }

    /// Finds the values whose names in the document mark them as secret.
    pub(crate) fn learn_secrets(&mut self, text: &mut Text, document: &[u8], limits: &Limits) {
        let found = &mut self.secrets;
        mask::secrets(document, &mut |range| {
            let mut learn = |secret: &[u8]| {
                if found.len() < MOST_SECRETS {
                    found.push(text.push(secret));
                }
            };
            let secret = unquoted(document.get(range).unwrap_or_default().trim_ascii());
            learn(secret);
            // Rules see the text within it, without tags and references.
            if secret.iter().any(|b| b"<&".contains(b)) {
                let inner = xml::parse(&[b"<s>", secret, b"</s>"].concat(), limits);
                learn(inner.text.trim_ascii());
                inner.attributes.iter().for_each(|value| learn(value));
            }
        });
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    inner.unwrap_or(value)
}
