//! An answer that is written in the configuration.

use bytes::Bytes;

use super::field::FieldChanges;

/// What a route with `respond` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAnswer {
    /// 200 to 599.
    pub status: u16,
    /// Its body; empty for a status that has none (RFC 9110, 6.4.1).
    pub body: Bytes,
    /// Its header fields: only what is set.
    pub fields: FieldChanges,
}

impl FixedAnswer {
    /// The largest body: a page, and no download.
    pub const MAX_BODY: usize = 64 * 1024;

    /// Whether an answer of this status can have a body.
    #[must_use]
    pub fn takes_body(status: u16) -> bool {
        !matches!(status, 204 | 304)
    }
}
