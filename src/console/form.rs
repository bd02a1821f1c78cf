//! The fields of a form or a query.

use std::borrow::Cow;

/// Fields by name; where one is given twice, the first counts.
pub(super) struct Form<'b>(Vec<(Cow<'b, str>, Cow<'b, str>)>);

/// More fields than any form of ours has.
const MOST: usize = 32;

impl<'b> Form<'b> {
    pub(super) fn parse(bytes: &'b [u8]) -> Self {
        Self(form_urlencoded::parse(bytes).take(MOST).collect())
    }

    /// The value without the space around it; empty if the field is missing.
    pub(super) fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        // What people paste often has a line end.
        found.map_or("", |(_, value)| value.trim())
    }

    /// The value, if it is not empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        Some(self.value(name)).filter(|value| !value.is_empty())
    }
}
