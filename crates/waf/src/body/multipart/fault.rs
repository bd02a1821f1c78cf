//! Why a multipart body cannot be read, as one type for all parts of the parser. The words are ModSecurity's where it has
//! any, because rules and people look for them in `REQBODY_ERROR_MSG`.

use std::fmt;

use super::LONGEST_HEADER;

/// Why a body was not read to its end. The client erred, except for the first two variants. What a variant quotes of
/// the request is escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MultipartFault {
    /// The time for this transaction is over. The body may be a good one.
    OutOfTime,
    /// [`Limits::without_files`](super::Limits::without_files) is reached. The body may be a good one.
    NoFilesLimit,

    /// The request has no Content-Type.
    NoContentType,
    /// The Content-Type is longer than any client writes.
    ContentTypeTooLong,
    /// The Content-Type is not `multipart/form-data`.
    OtherMediaType,
    /// A parameter of the Content-Type has no `;` before it or no `=` in it.
    MalformedParameter,
    /// A parameter of the Content-Type has one quote, or something behind the second one.
    ParameterQuotes,
    /// A parameter of the Content-Type is called almost like the boundary's.
    SimilarParameter,
    /// The Content-Type has no boundary.
    NoBoundaryParameter,
    /// A reader that searches for the word finds another boundary in the Content-Type than one that reads parameters.
    SeveralBoundaryParameters,
    /// The boundary has characters that RFC 2046 forbids, or that end it for some readers.
    BoundaryCharacters,
    /// The boundary is empty.
    EmptyBoundary,

    /// A line is a boundary if the quotes of the Content-Type belong to it.
    QuotedBoundaryLine,
    /// A line is a boundary if the blanks before it do not count.
    IndentedBoundaryLine,
    /// This line begins with the boundary and goes on as none may.
    BoundaryLine(String),
    /// No line is a boundary.
    NoBoundaryLine,
    /// The body ends without the boundary that ends it.
    NoFinalBoundary,
    /// There are more parts than this limit.
    TooManyParts(usize),

    /// A line of a part's headers is longer than [`LONGEST_HEADER`].
    HeaderLineTooLong,
    /// A header is longer than [`LONGEST_HEADER`], its folded lines included.
    HeaderTooLong,
    /// A part's headers hold a NUL byte, at which some readers stop.
    NulInHeaders,
    /// This header has no colon.
    HeaderWithoutColon(String),
    /// A header has no name before its colon.
    HeaderWithoutName,
    /// A header's name has characters that none may have.
    HeaderCharacters,
    /// A part has the header of this name twice.
    DuplicateHeader(String),
    /// A part has more headers than this limit.
    TooManyHeaders(usize),
    /// The first line of a part's headers begins with a blank, so there is no header that it goes on with.
    FoldedFirstHeader,

    /// A part has no Content-Disposition.
    NoDisposition,
    /// A Content-Disposition cannot be read.
    Disposition {
        /// ModSecurity's number for what is wrong with it.
        code: i8,
        /// The header's value.
        value: String,
    },
    /// A Content-Disposition has no name.
    DispositionWithoutName,
    /// A Content-Disposition names a file in a way that some readers do not see.
    DispositionFilename,
}

/// What is wrong, and where in the body, in bytes from its start.
pub(super) type Failure = (MultipartFault, usize);

impl fmt::Display for MultipartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::OutOfTime => super::super::work::OUT_OF_TIME,
            Self::NoFilesLimit => "SecRequestBodyNoFilesLimit is reached.",
            Self::NoContentType => "Content-Type header not available.",
            Self::ContentTypeTooLong => "Invalid boundary in C-T (length).",
            Self::OtherMediaType => "Invalid MIME type.",
            Self::MalformedParameter => "Invalid boundary in C-T (malformed).",
            Self::ParameterQuotes => "Invalid boundary in C-T (quote).",
            Self::SimilarParameter => "Invalid boundary in C-T (parameter name).",
            Self::NoBoundaryParameter => "Boundary not found in C-T.",
            Self::SeveralBoundaryParameters => "Multiple boundary parameters in C-T.",
            Self::BoundaryCharacters => "Invalid boundary in C-T (characters).",
            Self::EmptyBoundary => "Invalid boundary in C-T (empty).",
            Self::QuotedBoundaryLine => "Invalid boundary (quotes).",
            Self::IndentedBoundaryLine => "Invalid boundary (whitespace).",
            Self::BoundaryLine(line) => return write!(f, "Invalid boundary: {line}"),
            Self::NoBoundaryLine => "No boundaries found in payload.",
            Self::NoFinalBoundary => "Final boundary missing.",
            Self::TooManyParts(limit) => return write!(f, "Too many parts (limit {limit})."),
            Self::HeaderLineTooLong => {
                return write!(f, "Part header line over {LONGEST_HEADER} bytes long");
            }
            Self::HeaderTooLong => "Part header too long.",
            Self::NulInHeaders => "Nul byte in part headers.",
            Self::HeaderWithoutColon(line) => {
                return write!(f, "Invalid part header (colon missing): {line}.");
            }
            Self::HeaderWithoutName => "Invalid part header (header name missing).",
            Self::HeaderCharacters => "Invalid part header (contains invalid character).",
            Self::DuplicateHeader(name) => return write!(f, "Duplicate part header: {name}."),
            Self::TooManyHeaders(limit) => {
                return write!(f, "Too many part headers (limit {limit}).");
            }
            Self::FoldedFirstHeader => "Invalid part header (folding error).",
            Self::NoDisposition => "Part missing Content-Disposition header.",
            Self::Disposition { code, value } => {
                return write!(f, "Invalid Content-Disposition header ({code}): {value}.");
            }
            Self::DispositionWithoutName => "Content-Disposition header missing name field.",
            Self::DispositionFilename => "Invalid Content-Disposition header (filename).",
        };
        f.write_str(words)
    }
}

impl std::error::Error for MultipartFault {}
