//! Answers that are written in the configuration.

use std::fmt;

use bytes::Bytes;

use super::field::FieldChanges;
use super::redirect::Redirect;

/// What a route without an upstream answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAnswer {
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// Always the same.
    Fixed(FixedAnswer),
}

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

impl fmt::Display for RouteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redirect(redirect) => {
                write!(
                    f,
                    "redirect {} to {}",
                    redirect.status(),
                    redirect.to().source()
                )
            }
            Self::Fixed(answer) => write!(f, "fixed answer {}", answer.status),
        }
    }
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
