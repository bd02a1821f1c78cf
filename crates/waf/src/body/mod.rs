//! Bodies and headers of clients: from bytes to names and values.
//!
//! Every parser is one pass over a borrowed slice. Its work and its output are bounded by the length of its input and
//! by the limits that it is given, and nothing recurses on the depth of the input. What a parser cannot read is a
//! [`BodyError`], never a silent gap: the rules see it as `REQBODY_ERROR`, and what was read before the error is still
//! inspected.

pub mod content_coding;
pub mod cookies;
pub mod json;
pub(crate) mod media_type;
pub mod multipart;
pub mod urlencoded;
pub mod xml;

#[cfg(test)]
mod mutate;
#[cfg(test)]
mod tests;
mod work;

use std::fmt;

/// Takes one name and its value; both live only as long as the call.
pub type Sink<'s> = dyn FnMut(&[u8], &[u8]) + 's;

/// Why a body could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// `REQBODY_ERROR_MSG`, in ModSecurity's words if it has any. Bytes of the body that are
    /// quoted in it are escaped and cut.
    pub message: String,
    /// Where in the body, in bytes from its start; its length if it ended too early.
    pub offset: usize,
}

impl BodyError {
    fn new(message: impl Into<String>, offset: usize) -> Self {
        Self {
            message: message.into(),
            offset,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.message, self.offset)
    }
}

impl std::error::Error for BodyError {}

/// The first bytes of `bytes` for a message: printable ASCII as it is, the rest as `\xHH`.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const LONGEST: usize = 128;
    let mut out = String::new();
    for &b in bytes.iter().take(LONGEST) {
        match b {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(b));
            }
            0x20..=0x7e => out.push(char::from(b)),
            _ => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    if bytes.len() > LONGEST {
        out.push_str("...");
    }
    out
}

/// C's `isspace`, which ModSecurity trims by.
fn is_space(b: u8) -> bool {
    matches!(b, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ')
}

fn hex_value(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}
