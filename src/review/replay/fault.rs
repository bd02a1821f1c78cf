//! Why an entry of an HTTP archive is not the request that was sent. Whoever wrote the archive left something out or
//! wrote it differently.

use std::fmt;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub enum EntryFault {
    /// The archive ends before it.
    Missing,
    /// It is no entry of HAR 1.2.
    Malformed {
        /// In the archive, from 1.
        line: usize,
        /// What the parser says.
        error: String,
    },
    /// The URL's scheme is not one of HTTP.
    Scheme(String),
    /// No version of HTTP.
    Protocol(String),
    /// The cookies are a list, and the field is missing.
    CookieField,
    /// A value of the head has a line break or a NUL, so it could add a field or end the head.
    HeadBytes,
    /// A body of so many bytes is missing.
    NoBody(u64),
    /// The body is not the base64 that the entry announces.
    Base64,
    /// The body was no text, and the archive has replacement characters for some of its bytes.
    LostBytes,
    /// The body is in an unknown encoding.
    Encoding(String),
    /// The body has another length than was sent.
    Length {
        /// Bytes in the archive.
        archived: usize,
        /// Bytes that were sent.
        sent: u64,
    },
    /// Only names and values of this media type are there.
    ParametersOnly(String),
    /// A form's values may be encoded or not.
    AmbiguousForm,
}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such entry"),
            Self::Malformed { line, error } => write!(
                f,
                "line {line} of the archive: the entry is not as HAR 1.2 says: {error}"
            ),
            Self::Scheme(scheme) => write!(f, "{scheme:?} is no URL of a request over HTTP"),
            Self::Protocol(version) => write!(f, "{version:?} is no version of HTTP"),
            Self::CookieField => {
                f.write_str("the archive lists cookies and leaves out the Cookie field")
            }
            Self::HeadBytes => f.write_str("a line break or a NUL stands in its head"),
            Self::NoBody(bytes) => write!(f, "the archive leaves out its body of {bytes} bytes"),
            Self::Base64 => f.write_str("its body is not base64"),
            Self::LostBytes => {
                f.write_str("its body has bytes that are no text, which the archive lost")
            }
            Self::Encoding(encoding) => {
                write!(f, "the encoding {encoding:?} of its body is unknown")
            }
            Self::Length { archived, sent } => write!(
                f,
                "the archive has {archived} bytes of its body, but {sent} were sent"
            ),
            Self::ParametersOnly(media_type) => write!(
                f,
                "the archive has only the names and values of its body ({media_type}), not its bytes"
            ),
            Self::AmbiguousForm => {
                f.write_str("the archive does not say how the values of its form were encoded")
            }
        }
    }
}
