//! What a matching operator captured: positions in the value, or bytes of its own.
//!
//! There are never more than [`Captures::MOST`] groups.

use std::ops::Range;

/// The contents of TX.0 to TX.9 after a match. One object serves all evaluations of a transaction.
#[derive(Debug, Default, Clone)]
pub struct Captures {
    groups: Vec<Group>,
    /// Bytes of groups that are not part of the value.
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) enum Group {
    Absent,
    OfValue(Range<usize>),
    Own(Range<usize>),
}

impl Captures {
    /// The most groups that are kept: TX.0 to TX.9 are all that rules can read.
    pub const MOST: usize = 10;

    /// Removes every group.
    pub fn clear(&mut self) {
        self.groups.clear();
        self.bytes.clear();
    }

    /// Whether there is no group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many groups there are, absent ones before the last counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// The groups as positions, for an engine that keeps positions instead of bytes.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The bytes of a [`Group::Own`].
    pub(crate) fn own(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// Adds a group that is part of the value.
    pub fn push_range(&mut self, range: Range<usize>) {
        self.push(Some(range));
    }

    /// Adds a group that is not part of the value.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        if self.groups.len() < Self::MOST {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            self.groups.push(Group::Own(start..self.bytes.len()));
        }
    }

    /// Adds a group; None is one that took no part in the match.
    pub(super) fn push(&mut self, range: Option<Range<usize>>) {
        if self.groups.len() < Self::MOST {
            self.groups
                .push(range.map_or(Group::Absent, Group::OfValue));
        }
    }

    /// Groups after the last that took part do not exist (ModSecurity v2 leaves their TX variables unset).
    pub(super) fn drop_absent_end(&mut self) {
        while matches!(self.groups.last(), Some(Group::Absent)) {
            self.groups.pop();
        }
    }

    /// Group `index` of a match in `value`; None if there is none or it took no part.
    #[must_use]
    pub fn group<'a>(&'a self, index: usize, value: &'a [u8]) -> Option<&'a [u8]> {
        self.resolve(self.groups.get(index)?, value)
    }

    /// The groups of a match in `value` in order. None took no part; ModSecurity v2 sets its TX variable to
    /// the empty string.
    pub fn iter<'a>(&'a self, value: &'a [u8]) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        self.groups
            .iter()
            .map(move |group| self.resolve(group, value))
    }

    fn resolve<'a>(&'a self, group: &Group, value: &'a [u8]) -> Option<&'a [u8]> {
        match group {
            Group::Absent => None,
            Group::OfValue(range) => value.get(range.clone()),
            Group::Own(range) => self.bytes.get(range.clone()),
        }
    }
}
