//! Strictness over the raw request head and the framing of the body: what is refused before anyone
//! interprets it. Pure.
//!
//! Used by the proxy on what a client sent and by the rule tests on what a test says. What passes here
//! means the same to every server that reads it: one request line, one host, one way to frame the body.
//! What the rules are meant to judge passes untouched: any other byte in a target or a header's value.

mod chunked;
mod h1;
mod h2;
mod host;
mod response;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use chunked::{BodyError, ChunkedFraming, decode_chunked};
pub use h2::{H2Head, check_h2};
pub use host::{split_port, valid_authority};
pub use response::{check_response, explain_response_head, switches_to_websocket};

/// A request head that HTTP allows. All ranges point into the raw bytes it was parsed from.
#[derive(Debug, Clone)]
pub struct Head {
    /// The request line without its CRLF.
    pub line: Range<usize>,
    pub method: Range<usize>,
    pub target: Range<usize>,
    /// `HTTP/1.1`
    pub protocol: Range<usize>,
    /// What the target is, and where its parts are.
    pub form: TargetForm,
    /// Names and values in order; blanks around values are not in the range.
    pub headers: Vec<(Range<usize>, Range<usize>)>,
    /// The value of `Host`; None only in HTTP/1.0.
    pub host: Option<Range<usize>>,
    /// How the body is framed.
    pub body: BodyFraming,
    /// The head's length, its empty line included.
    pub length: usize,
}

/// The forms of a request target (RFC 9112, section 3.2) that a front door serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    Origin,
    /// `http://authority/path?query`; `authority` equals `Host` where there is one.
    Absolute {
        authority: Range<usize>,
        /// From the first `/` or `?` after the authority; empty where there is none.
        path: Range<usize>,
    },
    /// `*`, for OPTIONS.
    Asterisk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    None,
    Length(u64),
    Chunked,
}

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, its empty line included.
    pub head: usize,
    /// Bytes of one line, its CRLF not included.
    pub line: usize,
    /// Header lines.
    pub headers: usize,
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
    /// Parses a complete raw head within the default limits. Bytes after its empty line are not looked at.
    ///
    /// # Errors
    /// The first thing that HTTP forbids.
    pub fn parse(raw: &[u8]) -> Result<Self, HeadError> {
        Self::parse_within(raw, &HeadLimits::default())
    }

    /// Parses a complete raw head within `limits`.
    ///
    /// # Errors
    /// The first thing that HTTP forbids, or the first limit that is exceeded (414 or 431).
    pub fn parse_within(raw: &[u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        h1::parse(raw, limits)
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            line: 64 * 1024,
            headers: 256,
        }
    }
}

impl HeadError {
    fn bad(code: &'static str, reason: impl Into<String>) -> Self {
        Self::with_status(400, code, reason)
    }

    fn with_status(status: u16, code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            status,
            code,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

impl std::error::Error for HeadError {}

/// RFC 9110, section 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

fn is_token_byte(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128_u8 {
            table[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let others = b"!#$%&'*+-.^_`|~";
        let mut at = 0;
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

/// A field value holds no control byte.
fn check_value(name: &[u8], value: &[u8]) -> Result<(), HeadError> {
    let Some(&byte) = value.iter().find(|&&b| !is_value_byte(b)) else {
        return Ok(());
    };
    Err(HeadError::bad(
        "control_in_header",
        format!(
            "the value of {} holds the control byte {}",
            name.escape_ascii(),
            show(byte)
        ),
    ))
}

/// A byte that may stand in a field value: visible, a blank, or obs-text (RFC 9110, section 5.5).
fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// A byte for a message: itself where it is printable.
fn show(byte: u8) -> String {
    format!("'{}'", byte.escape_ascii())
}
