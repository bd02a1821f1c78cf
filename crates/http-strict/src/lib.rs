//! Strict checks of HTTP heads and of the framing of bodies, before anyone interprets them. No I/O.
//!
//! Two servers that read one request in two ways can be played against each other (request smuggling). What passes
//! these checks means the same to every server that reads it: it has one request line, one host and one way to frame
//! its body. Everything else passes untouched, such as any visible byte in a target or a field value: a web application
//! firewall judges those.
//!
//! ```
//! use drawbridge_http_strict::{BodyFraming, Head};
//!
//! let raw = b"POST /login HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\n";
//! let head = Head::parse(raw)?;
//! assert_eq!(&raw[head.target.clone()], b"/login");
//! assert_eq!(head.body, BodyFraming::Length(5));
//!
//! let raw = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
//! let error = Head::parse(raw).unwrap_err();
//! assert_eq!((error.status, error.code), (400, "content_length_and_transfer_encoding"));
//! # Ok::<(), drawbridge_http_strict::HeadError>(())
//! ```
//!
//! [`Head::parse`] and [`ChunkedFraming`] read HTTP/1.x (RFC 9112), [`check_h2`] checks what an HTTP/2 library decoded
//! (RFC 9113), and [`check_response`] checks the head of an answer.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

mod chunked;
mod credentials;
mod field_name;
mod h1;
mod h2;
mod host;
mod response;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use chunked::{BodyError, ChunkedFraming, decode_chunked};
pub use credentials::{bearer, cookie, cookies, only_bearer};
pub use field_name::{field_name_byte, field_name_form, same_field_name};
pub use h2::{H2Head, check_h2};
pub use host::{split_port, valid_authority, without_port};
pub use response::{check_response, explain_response_head, switches_to_websocket};

/// A request head that HTTP allows. All ranges point into the raw bytes it was parsed from.
#[derive(Debug, Clone)]
pub struct Head {
    /// The request line without its CRLF.
    pub line: Range<usize>,
    /// The method, a token (RFC 9110, section 9.1).
    pub method: Range<usize>,
    /// The request target as it was sent (RFC 9112, section 3.2).
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
    /// `http://authority/path?query`; `authority` equals `Host` if there is one.
    Absolute {
        /// Host and optional port, without the scheme.
        authority: Range<usize>,
        /// From the first `/` or `?` after the authority; empty if there is none.
        path: Range<usize>,
    },
    /// `*`, for OPTIONS.
    Asterisk,
}

/// How the end of a request's body is found (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body.
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body is chunked (RFC 9112, section 7.1).
    Chunked,
}

/// How large a head may be. The default is 64 KiB, lines included, and 256 header lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, its empty line included.
    pub head: usize,
    /// Bytes of one line, its CRLF not included.
    pub line: usize,
    /// Header lines.
    pub headers: usize,
}

/// Why a head is refused, and what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadError {
    /// The status to answer with, e.g. 400, 414 or 431; 502 for the head of a response.
    pub status: u16,
    /// Stable, for logs and counters, e.g. `content_length_and_transfer_encoding`.
    pub code: &'static str,
    /// What is wrong, in words for a log. Of what was received it quotes at most one byte, a field's name, or the value
    /// of a field that frames the body.
    pub reason: String,
}

impl Head {
    /// Parses a complete raw head within the default limits. Bytes after its empty line are not looked at.
    ///
    /// # Errors
    /// The first thing that HTTP forbids, or the first default limit that is exceeded (414 or 431).
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

/// Whether this is a token, which the names of methods, fields and cookies are (RFC 9110, 5.6.2).
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

/// Whether a token may have this byte (RFC 9110, 5.6.2).
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    // A table, because each byte of every name is looked up.
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

/// Refuses control bytes in a field value: a CR, LF or NUL could end the field for another server.
fn check_value(name: &[u8], value: &[u8]) -> Result<(), HeadError> {
    // Without a branch for each byte, so that the compiler checks many bytes at once.
    if value.iter().fold(true, |ok, &b| ok & is_value_byte(b)) {
        return Ok(());
    }
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

/// A byte for a message: itself if it is printable.
fn show(byte: u8) -> String {
    format!("'{}'", byte.escape_ascii())
}

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
