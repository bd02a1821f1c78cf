//! Why a JSON body cannot be read. The words are those of YAJL, ModSecurity's reader, where it has any.

use std::fmt;

/// Why a body was not read to its end. The client erred, except for [`JsonFault::OutOfTime`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonFault {
    /// The time for this transaction is over. The body may be a good one.
    OutOfTime,
    /// Bytes are not UTF-8.
    Utf8,
    /// The body ends inside a value.
    End,
    /// Something follows the value.
    TrailingBytes,
    /// A character stands where a value should, and begins none.
    Character,
    /// A comma, a colon or a closing bracket stands where a value should.
    Token,
    /// A word is not `true`, `false` or `null`.
    Word,
    /// A number has no digit behind its minus sign.
    MinusWithoutDigit,
    /// A number has no digit behind its decimal point.
    PointWithoutDigit,
    /// A number has no digit behind its `e`.
    ExponentWithoutDigit,
    /// A string holds a control character.
    ControlCharacter,
    /// A string holds a backslash before a character that cannot be escaped.
    Escape,
    /// A string holds `\u` without four hexadecimal digits.
    UnicodeEscape,
    /// Neither a comma nor `]` follows an element.
    AfterElement,
    /// Neither a comma nor `}` follows a member.
    AfterMember,
    /// A key is not a string.
    Key,
    /// No colon follows a key.
    Colon,
    /// Containers stand inside one another deeper than `SecRequestBodyJsonDepthLimit`.
    TooDeep,
    /// There are more arguments than this `SecArgumentsLimit`.
    TooManyArguments(usize),
    /// The name of an argument is longer than [`super::LONGEST_NAME`].
    NameTooLong,
    /// The names of all arguments are many times as long as the body.
    NamesTooLong,
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfTime => super::work::OUT_OF_TIME,
            Self::Utf8 => "lexical error: invalid bytes in UTF8 string.",
            Self::End => "parse error: premature EOF",
            Self::TrailingBytes => "parse error: trailing garbage",
            Self::Character => "lexical error: invalid char in json text.",
            Self::Token => "parse error: unallowed token at this point in JSON text",
            Self::Word => "lexical error: invalid string in json text.",
            Self::MinusWithoutDigit => {
                "lexical error: malformed number, a digit is required after the minus sign."
            }
            Self::PointWithoutDigit => {
                "lexical error: malformed number, a digit is required after the decimal point."
            }
            Self::ExponentWithoutDigit => {
                "lexical error: malformed number, a digit is required after the exponent."
            }
            Self::ControlCharacter => "lexical error: invalid character inside string.",
            Self::Escape => {
                "lexical error: inside a string, '\\' occurs before a character which it may not."
            }
            Self::UnicodeEscape => {
                "lexical error: invalid (non-hex) character occurs after '\\u' inside string."
            }
            Self::AfterElement => "parse error: after array element, I expect ',' or ']'",
            Self::AfterMember => {
                "parse error: after key and value, inside map, I expect ',' or '}'"
            }
            Self::Key => "parse error: invalid object key (must be a string)",
            Self::Colon => "parse error: object key and value must be separated by a colon (':')",
            Self::TooDeep => "JSON depth limit exceeded",
            Self::TooManyArguments(limit) => return write!(f, "More than {limit} JSON keys"),
            Self::NameTooLong => "name of a JSON argument too long",
            Self::NamesTooLong => "names of JSON arguments too long in total",
        })
    }
}

impl std::error::Error for JsonFault {}
