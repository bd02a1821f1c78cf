//! Strictness over the raw request head: what is refused before anyone interprets it. Pure.
//!
//! Used by the proxy on what a client sent and by the rule tests on what a test says.

use std::ops::Range;

/// A request head that HTTP allows. All ranges point into the raw bytes it was parsed from.
#[derive(Debug, Clone)]
pub struct Head {
    /// The request line without its CRLF.
    pub line: Range<usize>,
    pub method: Range<usize>,
    pub target: Range<usize>,
    /// `HTTP/1.1`
    pub protocol: Range<usize>,
    /// Names and values in order; blanks around values are not in the range.
    pub headers: Vec<(Range<usize>, Range<usize>)>,
    /// How the body is framed.
    pub body: BodyFraming,
    /// The head's length, its empty line included.
    pub length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    None,
    Length(u64),
    Chunked,
}

/// What HTTP forbids, and what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadError {
    pub status: u16,
    /// Stable, for logs and counters, e.g. `content_length_and_transfer_encoding`.
    pub code: &'static str,
    pub reason: String,
}

impl Head {
    /// Parses a complete raw head.
    ///
    /// # Errors
    /// The first thing that HTTP forbids.
    pub fn parse(raw: &[u8]) -> Result<Self, HeadError> {
        let _ = raw;
        Err(HeadError {
            status: 400,
            code: "unwritten",
            reason: String::new(),
        })
    }
}
