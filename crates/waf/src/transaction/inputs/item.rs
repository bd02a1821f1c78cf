//! A named value as it was sent.

use crate::variables::Slice;

/// A header field, cookie, argument or file: its name and its value, each where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub key: Slice,
    pub value: Slice,
}
