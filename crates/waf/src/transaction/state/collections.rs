//! Collections other than `TX`: the open persistent ones, the identities that rules set, and `ENV`.

use crate::variables::{Slice, Text, Variable};

/// Environment variables that one transaction may set, because their names may come from a client. Later ones stay
/// unset.
const MOST_ENVIRONMENT: usize = 256;

/// What `initcol`, `setuid`, `setsid`, `setrsc` and `setenv` set. Persistent values themselves are in the store.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    /// The key each opened persistent collection was opened with.
    opened: Vec<(Variable, Vec<u8>)>,
    identities: Vec<(Variable, Slice)>,
    environment: Vec<(Slice, Slice)>,
}

impl Collections {
    /// The key a collection was opened with; None if it is not open.
    pub(crate) fn key(&self, collection: Variable) -> Option<&[u8]> {
        self.opened
            .iter()
            .find(|(v, _)| *v == collection)
            .map(|o| o.1.as_slice())
    }

    pub(crate) fn open(&mut self, collection: Variable, key: Vec<u8>) {
        self.opened.push((collection, key));
    }

    /// The last identity that `setuid`, `setsid` or `setrsc` set.
    pub(crate) fn identity(&self, collection: Variable) -> Option<Slice> {
        self.identities
            .iter()
            .find(|(v, _)| *v == collection)
            .map(|i| i.1)
    }

    pub(crate) fn set_identity(&mut self, collection: Variable, key: Slice) {
        self.identities.retain(|(v, _)| *v != collection);
        self.identities.push((collection, key));
    }

    /// Names and values of `ENV`.
    pub(crate) fn environment(&self) -> &[(Slice, Slice)] {
        &self.environment
    }

    /// None removes the variable.
    pub(crate) fn set_environment(&mut self, text: &Text, name: Slice, value: Option<Slice>) {
        self.environment
            .retain(|(n, _)| !text.at(*n).eq_ignore_ascii_case(text.at(name)));
        // The old value is out by now, so that a change needs no room.
        if let Some(value) = value.filter(|_| self.environment.len() < MOST_ENVIRONMENT) {
            self.environment.push((name, value));
        }
    }
}
