//! Why a document cannot be read, as one type for all parts of the parser: whoever reads the audit log must be able to
//! tell a broken document from one that is past a limit of ours.

use std::fmt;

use quick_xml::events::attributes::AttrError;

/// Why a document was not read to its end. The client erred, except for [`XmlFault::OutOfTime`]. What a variant quotes
/// of the document is escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum XmlFault {
    /// The time for this transaction is over. The document may be a good one.
    OutOfTime,
    /// The reader found it not well-formed: the reader's words.
    Syntax(String),
    /// An attribute is not a name, `=` and a quoted value.
    Attribute(AttrError),
    /// The XML declaration has no version that is known: the reader's words.
    Declaration(String),
    /// The XML declaration is not the first thing of the document.
    LateDeclaration,
    /// A document type declaration stands behind the root element or another one, or is not spelt in capitals.
    MisplacedDoctype,
    /// A document type declaration has an internal subset, whose definitions only the upstream would apply.
    DoctypeWithDefinitions,
    /// There is no element.
    NoRoot,
    /// Another element follows the root element.
    SecondRoot,
    /// There is text before or after the root element.
    TextOutsideRoot,
    /// The document ends before its root element does.
    UnclosedElement,
    /// Elements stand inside one another deeper than this limit.
    TooDeep(usize),
    /// An element, an attribute or an entity has this name, which is none.
    InvalidName(String),
    /// An element has the attribute of this name twice.
    DuplicateAttribute(String),
    /// There are more attributes than this limit.
    TooManyAttributes(usize),
    /// The value of an attribute holds a `<`.
    MarkupInAttribute,
    /// The value of an attribute holds an `&` without its `;`.
    UnclosedReference,
    /// The reference `#...` stands for no character that XML allows.
    InvalidCharacter(String),
    /// Nothing defines the entity of this name.
    UndefinedEntity(String),

    /// The document is in UTF-32.
    Utf32,
    /// The Content-Type or the declaration names this encoding, which is not read.
    UnsupportedEncoding(String),
    /// The Content-Type or the declaration names this encoding, which the first bytes contradict.
    WrongEncoding(String),
    /// The Content-Type or the declaration names this encoding, and the first bytes or the other of the two another.
    EncodingConflict(String),
    /// Bytes stand for no character in the document's encoding.
    InvalidBytes,

    /// More namespaces are declared at once than this limit.
    TooManyNamespaces(usize),
    /// This prefix of a name is not declared. It matters only if a rule selects by a path.
    UndeclaredPrefix(String),
    /// The paths of the rules select many times as many bytes as the document has.
    TooManyBytesSelected,
    /// The paths of the rules select more values than this limit.
    TooManyValuesSelected(usize),
}

impl fmt::Display for XmlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTime => f.write_str(super::work::OUT_OF_TIME),
            Self::Syntax(words) | Self::Declaration(words) => f.write_str(words),
            Self::Attribute(error) => error.fmt(f),
            Self::LateDeclaration => f.write_str("XML declaration not at the start"),
            Self::MisplacedDoctype => f.write_str("a document type declaration where none may be"),
            Self::DoctypeWithDefinitions => {
                f.write_str("a document type declaration with definitions")
            }
            Self::NoRoot => f.write_str("no root element"),
            Self::SecondRoot => f.write_str("a second root element"),
            Self::TextOutsideRoot => f.write_str("text outside the root element"),
            Self::UnclosedElement => f.write_str("end of the document inside an element"),
            Self::TooDeep(limit) => write!(f, "more than {limit} elements deep"),
            Self::InvalidName(name) => write!(f, "invalid name {name}"),
            Self::DuplicateAttribute(name) => write!(f, "attribute {name} twice"),
            Self::TooManyAttributes(limit) => write!(f, "more than {limit} attributes"),
            Self::MarkupInAttribute => f.write_str("'<' in an attribute's value"),
            Self::UnclosedReference => f.write_str("a reference without its ';'"),
            Self::InvalidCharacter(name) => write!(f, "invalid character reference {name}"),
            Self::UndefinedEntity(name) => write!(f, "undefined entity {name}"),
            Self::Utf32 => f.write_str("UTF-32 is not supported"),
            Self::UnsupportedEncoding(name) => write!(f, "encoding {name} is not supported"),
            Self::WrongEncoding(name) => write!(f, "the document is not in {name}"),
            Self::EncodingConflict(name) => {
                write!(f, "encoding {name}, and something else says another")
            }
            Self::InvalidBytes => f.write_str("bytes that are not in the document's encoding"),
            Self::TooManyNamespaces(limit) => write!(f, "more than {limit} namespaces at once"),
            Self::UndeclaredPrefix(prefix) => write!(f, "the prefix {prefix} has no namespace"),
            Self::TooManyBytesSelected => f.write_str("the rules select too much of the document"),
            Self::TooManyValuesSelected(limit) => {
                write!(f, "the rules select more than {limit} values")
            }
        }
    }
}

impl std::error::Error for XmlFault {}
