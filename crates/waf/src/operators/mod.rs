//! Operators: what a rule asks about a value. Each file has one family.
//!
//! Semantics are those of ModSecurity v2 (reference manual, "Operators"). Every operator takes time linear in the
//! value, except patterns with look-around or back-references, whose steps are limited. Long work goes in steps, so
//! that a time budget can end it.

pub mod bytes;
pub mod catalogue;
pub mod expanded;
pub mod identity;
pub mod injection;
pub mod net;
pub mod numeric;
pub mod pm;
pub mod rx;
pub mod text;

mod captures;
mod pcre;
mod span;
mod stepped;
mod suggest;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::byteset::ByteSet;
use super::kept::Kept;
use super::steps::OutOfTime;
use catalogue::State;
use expanded::ExpandedPatterns;
use identity::Identity;
use net::AddressSet;
use numeric::Comparison;
use pm::{FilePhrases, Phrases};
use rx::Pattern;

pub use captures::Captures;
pub(super) use captures::Group;
pub use pcre::PatternOptions;

/// A compiled operator. The rule applies the negation.
#[derive(Debug)]
pub enum Operator {
    /// `@beginsWith`
    BeginsWith,
    /// `@contains` with macros in its argument.
    Contains,
    /// `@containsWord`
    ContainsWord,
    /// `@endsWith`
    EndsWith,
    /// `@streq`
    StrEq,
    /// `@within`
    Within,
    /// `@strmatch`, and `@contains` without macros.
    StrMatch(Box<memchr::memmem::Finder<'static>>),
    /// `@eq`, `@ge`, `@gt`, `@le` and `@lt`.
    Compare(Comparison),
    /// `@rx`
    Rx(Arc<Pattern>),
    /// `@rxGlobal`: every occurrence is captured, one after the other.
    RxGlobal(Arc<Pattern>),
    /// A pattern with macros, compiled when they are expanded.
    RxExpanded(Box<ExpandedPatterns>),
    /// `@pm` and `@pmFromFile`.
    Phrases(Phrases),
    /// `@pmFromFile` with files that hold no phrase.
    NoPhrases(EmptyFiles),
    /// `@ipMatch` and `@ipMatchFromFile`.
    IpMatch(AddressSet),
    /// `@validateByteRange`: the bytes that are forbidden.
    ForbiddenBytes(ByteSet),
    /// `@validateUrlEncoding`
    ValidateUrlEncoding,
    /// `@validateUtf8Encoding`
    ValidateUtf8Encoding,
    /// `@verifyCC`, `@verifyCPF`, `@verifySSN` and `@verifySVNR`: the pattern finds candidates, which are then checked.
    Verify(Identity, Arc<Pattern>),
    /// `@detectSQLi`
    DetectSqli,
    /// `@detectXSS`
    DetectXss,
    /// `@noMatch`
    NoMatch,
    /// `@unconditionalMatch`
    UnconditionalMatch,
    /// Never matches, because what it needs is not there: the reason.
    Inert(&'static str),
}

/// Why an operator cannot be used as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that is not plain.
    pub help: Option<String>,
    /// Which bytes of the argument are meant; None for all of it.
    pub at: Option<Range<usize>>,
}

/// Files of a list that have no entry: a warning and no error, as something else may fill the list later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyFiles(Box<[Box<str>]>);

/// What compiling needs from outside.
pub struct CompileContext<'a> {
    /// Reads a data file, relative to the rule file.
    pub read_data: &'a dyn Fn(&str) -> std::io::Result<Vec<u8>>,
}

/// U+FEFF, with which some editors begin a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An evaluation stopped before the answer was known. The engine counts these and does not take the value for
/// inspected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// A pattern with look-around, back-references or overlapping candidates took too many steps.
    Backtracking,
    /// The value is longer than such a pattern may search.
    Length {
        /// Bytes of the value.
        length: usize,
        /// Bytes that the pattern may search.
        limit: usize,
    },
    /// The macros of a pattern expanded to no regular expression, or to one that is too large.
    ExpandedPattern,
    /// There was no time left for it.
    Time,
}

impl From<OutOfTime> for Limit {
    fn from(_: OutOfTime) -> Self {
        Self::Time
    }
}

impl Operator {
    /// `name` without its `@`, in any case; `argument` as the rule has it.
    ///
    /// # Errors
    /// The operator is unknown or refused, or its argument is wrong.
    pub fn compile(
        name: &str,
        argument: &str,
        context: &CompileContext<'_>,
    ) -> Result<Self, CompileError> {
        let Some(entry) = catalogue::entry(name) else {
            return Err(unknown(name));
        };
        match entry.state {
            State::Done => {}
            // Not an error: the rules of the CRS that hold it must load.
            State::Inert(why) => return Ok(Self::Inert(why)),
            State::Refused(why) => {
                return Err(CompileError {
                    message: format!("the operator @{} is not supported", entry.name),
                    help: Some(why.to_owned()),
                    at: None,
                });
            }
        }
        Ok(match entry.name {
            "beginsWith" => Self::BeginsWith,
            // Without macros the search is prepared once for all values.
            "contains" if !argument.contains("%{") => {
                Self::StrMatch(Box::new(memchr::memmem::Finder::new(argument).into_owned()))
            }
            "contains" => Self::Contains,
            "containsWord" => Self::ContainsWord,
            "endsWith" => Self::EndsWith,
            "streq" => Self::StrEq,
            "within" => Self::Within,
            "strmatch" => {
                let needle = text::strmatch_needle(argument)?;
                Self::StrMatch(Box::new(memchr::memmem::Finder::new(&needle).into_owned()))
            }
            "eq" => Self::Compare(Comparison::Equal),
            "ge" => Self::Compare(Comparison::GreaterOrEqual),
            "gt" => Self::Compare(Comparison::Greater),
            "le" => Self::Compare(Comparison::LessOrEqual),
            "lt" => Self::Compare(Comparison::Less),
            "rx" | "rxGlobal" if argument.contains("%{") => Self::RxExpanded(Box::default()),
            "rxGlobal" => Self::RxGlobal(pattern(argument, PatternOptions::default())?),
            "rx" => Self::Rx(pattern(argument, PatternOptions::default())?),
            "pm" => Self::Phrases(Phrases::of_argument(argument)?),
            "pmf" | "pmFromFile" => match Phrases::of_files(argument, context)? {
                FilePhrases::Some(phrases) => Self::Phrases(phrases),
                FilePhrases::None(files) => Self::NoPhrases(files),
            },
            "ipMatch" => Self::IpMatch(AddressSet::of_argument(argument)?),
            "ipMatchF" | "ipMatchFromFile" => {
                Self::IpMatch(AddressSet::of_files(argument, context)?)
            }
            "validateByteRange" => Self::ForbiddenBytes(bytes::byte_ranges(argument)?.complement()),
            "validateUrlEncoding" => Self::ValidateUrlEncoding,
            "validateUtf8Encoding" => Self::ValidateUtf8Encoding,
            "verifyCC" => verify(Identity::Card, argument)?,
            "verifyCPF" => verify(Identity::Cpf, argument)?,
            "verifySSN" => verify(Identity::Ssn, argument)?,
            "verifySVNR" => verify(Identity::Svnr, argument)?,
            "detectSQLi" => Self::DetectSqli,
            "detectXSS" => Self::DetectXss,
            "noMatch" => Self::NoMatch,
            "unconditionalMatch" => Self::UnconditionalMatch,
            _ => return Err(unknown(name)),
        })
    }

    /// Whether the argument of this operator may hold `%{macros}` that are expanded for every evaluation.
    #[must_use]
    pub fn takes_macros(name: &str) -> bool {
        catalogue::entry(name).is_some_and(|entry| entry.takes_macros)
    }

    /// Whether the value is what the operator looks for.
    ///
    /// `argument` is the rule's argument with its macros expanded; operators that compile theirs ignore it.
    /// On a match, and only then, operators that capture replace what `captures` holds.
    ///
    /// # Errors
    /// The answer would have cost too much, or the macros made no pattern.
    pub fn evaluate(
        &self,
        argument: &[u8],
        value: &[u8],
        captures: Option<&mut Captures>,
    ) -> Result<bool, Limit> {
        Ok(match self {
            Self::BeginsWith => value.starts_with(argument),
            Self::Contains => text::contains(argument, value),
            Self::ContainsWord => text::contains_word(argument, value)?,
            Self::EndsWith => value.ends_with(argument),
            Self::StrEq => value == argument,
            Self::Within => text::within(argument, value),
            Self::StrMatch(needle) => needle.find(value).is_some(),
            Self::Compare(comparison) => comparison.holds(argument, value),
            Self::Rx(pattern) => return search(pattern, value, captures),
            Self::RxGlobal(pattern) => match captures {
                Some(captures) => return pattern.captures_of_all(value, captures),
                // Without captures the first occurrence says all.
                None => return pattern.is_match(value),
            },
            Self::RxExpanded(patterns) => {
                return search(&*patterns.pattern(argument)?, value, captures);
            }
            Self::Phrases(phrases) => phrases.evaluate(value, captures)?,
            Self::IpMatch(set) => set.contains(value),
            Self::ForbiddenBytes(forbidden) => bytes::has_any(forbidden, value)?,
            Self::ValidateUrlEncoding => bytes::is_invalid_url_encoding(value)?,
            Self::ValidateUtf8Encoding => bytes::is_invalid_utf8(value),
            Self::Verify(identity, pattern) => return identity.search(pattern, value, captures),
            Self::DetectSqli => injection::detect_sqli(value, captures)?,
            Self::DetectXss => injection::detect_xss(value, captures)?,
            Self::NoMatch | Self::Inert(_) | Self::NoPhrases(_) => false,
            Self::UnconditionalMatch => true,
        })
    }

    /// What the person who loads the rule should know.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let empty = match self {
            Self::Inert(why) => return Some((*why).to_owned()),
            Self::NoPhrases(files) => Some(files),
            Self::Phrases(phrases) => phrases.empty_files(),
            Self::IpMatch(set) => set.empty_files(),
            _ => None,
        };
        empty.map(ToString::to_string)
    }

    /// The pattern of `@rx` in the syntax of `regex::bytes`, flags included; None if there is none or it
    /// needs backtracking.
    #[must_use]
    pub fn regex_source(&self) -> Option<&str> {
        match self {
            Self::Rx(pattern) | Self::RxGlobal(pattern) => pattern.source(),
            _ => None,
        }
    }

    /// The phrases of `@pm` and `@pmFromFile`; it matches if any occurs, whatever the case of ASCII letters.
    #[must_use]
    pub fn phrases(&self) -> Option<&[Vec<u8>]> {
        match self {
            Self::Phrases(phrases) => Some(phrases.phrases()),
            _ => None,
        }
    }
}

fn search(pattern: &Pattern, value: &[u8], captures: Option<&mut Captures>) -> Result<bool, Limit> {
    match captures {
        Some(captures) => pattern.captures(value, captures),
        None => pattern.is_match(value),
    }
}

/// The compiled pattern, which all rules with the same text share.
fn pattern(argument: &str, options: PatternOptions) -> Result<Arc<Pattern>, CompileError> {
    static PATTERNS: Kept<(Box<str>, PatternOptions), Pattern> = Kept::new();
    let compile = || Pattern::compile(argument.as_bytes(), options);
    PATTERNS.get((argument.into(), options), compile)
}

/// ModSecurity compiles these patterns as multi-line, unlike those of `@rx`.
fn verify(identity: Identity, argument: &str) -> Result<Operator, CompileError> {
    let options = PatternOptions {
        multi_line: true,
        ..PatternOptions::default()
    };
    Ok(Operator::Verify(identity, pattern(argument, options)?))
}

fn unknown(name: &str) -> CompileError {
    CompileError {
        help: suggest::operator(name),
        ..CompileError::new(format!("there is no operator @{name}"))
    }
}

/// The warning about files of a list that have no entry.
impl EmptyFiles {
    /// None where there are none.
    fn new(files: &[&str]) -> Option<Self> {
        let names = || files.iter().map(|&file| file.into()).collect();
        (!files.is_empty()).then(|| Self(names()))
    }
}

impl fmt::Display for EmptyFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            [file] => f.write_str(file)?,
            files => write!(f, "each of {}", files.join(", "))?,
        }
        f.write_str(" has no entry, so nothing matches it")
    }
}

impl CompileError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            at: None,
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CompileError {}

impl CompileContext<'_> {
    /// The files that an argument names, with their contents, byte order marks left out.
    fn files<'n>(&self, argument: &'n str) -> Result<Vec<(&'n str, Vec<u8>)>, CompileError> {
        let mut files = Vec::new();
        for name in argument.split_ascii_whitespace() {
            // `name` is a part of `argument`, so the difference of their addresses is its offset.
            let start = name.as_ptr().addr() - argument.as_ptr().addr();
            let refused = |message: String, help: &str| CompileError {
                message,
                help: Some(help.to_owned()),
                at: Some(start..start + name.len()),
            };
            let mut contents = (self.read_data)(name).map_err(|e| {
                let help = "data files are looked for beside the rule file";
                refused(format!("cannot read {name}: {e}"), help)
            })?;
            // Its bytes would load as phrases that never match: a list that silently protects nothing.
            if contents.starts_with(b"\xff\xfe") || contents.starts_with(b"\xfe\xff") {
                let help = "its entries would match nothing; save the file as UTF-8";
                return Err(refused(format!("{name} is UTF-16"), help));
            }
            // It would be part of the first entry, which then matches nothing.
            if contents.starts_with(BYTE_ORDER_MARK) {
                contents.drain(..BYTE_ORDER_MARK.len());
            }
            files.push((name, contents));
        }
        if files.is_empty() {
            return Err(CompileError::new("there is no file named"));
        }
        Ok(files)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backtracking => f.write_str("the pattern took too many steps on this value"),
            Self::Length { length, limit } => write!(
                f,
                "the value has {length} bytes; a pattern that backtracks searches at most {limit}"
            ),
            Self::ExpandedPattern => f.write_str(
                "what the macros of this pattern expanded to is no regular expression, or one that is too large",
            ),
            Self::Time => f.write_str("there was no time left for it"),
        }
    }
}

impl std::error::Error for Limit {}
