//! JSON, flattened to arguments.
//!
//! The name of a leaf is `json` and the keys and array indices above it, joined by `.`: in `{"items":[{"id":1}]}` it is
//! `json.items.0.id`. ModSecurity v2 has no prefix and no indices, and v3 writes `array_0`; the Core Rule Set needs the
//! prefix, and plain indices are those of Coraza. Order and duplicate keys are kept. Numbers, `true` and `false` are
//! their text as written; `null` is empty. A key whose value is an array or an object is an argument too, after its
//! contents: the value is the length of an array, as in Coraza, and empty for an object or an empty container. So every
//! key is somewhere a whole name.
//!
//! The grammar is RFC 8259's and nothing more: no comments, no byte order mark, nothing after the value. A lone
//! surrogate escape becomes the three bytes that UTF-8 would have for it.
//!
//! If a body has an error, the rest of it is one more argument named `json`, so that rules see it. Nesting is a list,
//! not recursion, so a deep document cannot exhaust the stack.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

mod fault;

use std::io::Write;

use super::{BodyError, Sink, hex_value, work};
use fault::JsonFault;

/// The longest name of an argument, in bytes.
pub const LONGEST_NAME: usize = 16 * 1024;

/// The name of the outermost value, and the first part of all other names.
const ROOT: &[u8] = b"json";

/// A deep path above many leaves would give names that grow with the square of the body. Their total length may be this
/// many times the length of the body ...
const NAMES_PER_BODY: usize = 32;
/// ... and this many bytes more, so that short bodies never reach the bound.
const NAMES_FLOOR: usize = 1 << 20;

/// What [`parse`] reports besides the arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many arguments were found.
    pub arguments: usize,
}

/// Gives every leaf of `body` to `sink`, in order. An empty body has none and is no error.
///
/// `depth_limit` is `SecRequestBodyJsonDepthLimit`, `limit_arguments` is `SecArgumentsLimit`: leaves, and once more as
/// many keys of containers.
///
/// # Errors
/// Where the grammar, UTF-8, or one of the bounds is broken. The leaves before it were given, and one
/// argument with the rest of the body, which `limit_arguments` does not count.
pub fn parse(
    body: &[u8],
    depth_limit: usize,
    limit_arguments: usize,
    sink: &mut Sink<'_>,
) -> Result<Outcome, BodyError> {
    if body.is_empty() {
        return Ok(Outcome::default());
    }
    // RFC 8259 (8.1) demands UTF-8. Checked once for the whole body, so that no key and no value needs a check of its
    // own.
    let valid = match std::str::from_utf8(body) {
        Ok(_) => body.len(),
        Err(error) => error.valid_up_to(),
    };
    let mut parser = Parser {
        input: &body[..valid],
        at: 0,
        path: ROOT.to_vec(),
        open: Vec::new(),
        text: Vec::new(),
        arguments: 0,
        named_containers: 0,
        names_left: body
            .len()
            .saturating_mul(NAMES_PER_BODY)
            .saturating_add(NAMES_FLOOR),
        depth_limit,
        limit_arguments,
        sink,
    };
    let failure = match parser.document() {
        // The input ends at the first byte that is not UTF-8. An error there, or none, is in truth about that byte.
        Err(failure) if valid == body.len() || failure.offset < valid => failure,
        _ if valid < body.len() => Failure {
            fault: JsonFault::Utf8,
            offset: valid,
        },
        _ => {
            return Ok(Outcome {
                arguments: parser.arguments + parser.named_containers,
            });
        }
    };
    parser.give_open();
    if let Some(rest) = body.get(failure.offset..).filter(|rest| !rest.is_empty()) {
        sink(ROOT, rest);
    }
    Err(BodyError::new(
        format!("JSON parsing error: {}", failure.fault),
        failure.offset,
    ))
}

struct Failure {
    fault: JsonFault,
    offset: usize,
}

/// An object or array that is not closed yet.
struct Container {
    /// Some for an array: the index of its next element.
    index: Option<usize>,
    /// The length of `path` up to and with this container's own name.
    path: usize,
    /// It is the value of a key, whose name no leaf has as a whole.
    has_key: bool,
}

/// What the grammar allows next.
enum Expect {
    Value,
    /// A key, or the end of an object that has none.
    FirstKey,
    Key,
    /// A value, or the end of an array that has none.
    FirstElement,
    /// A comma or the end of the innermost container; the end of the body if none is open.
    Next,
}

struct Parser<'b, 's, 'k> {
    input: &'b [u8],
    at: usize,
    /// The name of the value that is read next, or of the container it is in.
    path: Vec<u8>,
    open: Vec<Container>,
    /// A string that had escapes.
    text: Vec<u8>,
    arguments: usize,
    /// Keys of containers, which are arguments too and have a limit of their own.
    named_containers: usize,
    names_left: usize,
    depth_limit: usize,
    limit_arguments: usize,
    sink: &'s mut Sink<'k>,
}

impl Parser<'_, '_, '_> {
    fn document(&mut self) -> Result<(), Failure> {
        let mut expect = Expect::Value;
        loop {
            work::add(1);
            if work::is_over() {
                return self.fail(JsonFault::OutOfTime);
            }
            self.skip_blanks();
            let Some(&byte) = self.input.get(self.at) else {
                return match (expect, self.open.is_empty()) {
                    (Expect::Next, true) => Ok(()),
                    _ => self.fail(JsonFault::End),
                };
            };
            expect = match expect {
                Expect::Value => self.value(byte)?,
                Expect::FirstElement if byte == b']' => self.close_empty()?,
                Expect::FirstElement => {
                    self.name_element();
                    self.value(byte)?
                }
                Expect::FirstKey if byte == b'}' => self.close_empty()?,
                Expect::FirstKey | Expect::Key => self.key(byte)?,
                Expect::Next => self.next(byte)?,
            };
        }
    }

    fn value(&mut self, byte: u8) -> Result<Expect, Failure> {
        match byte {
            b'{' => return self.open(None),
            b'[' => return self.open(Some(0)),
            b'"' => {
                let text = self.string()?;
                self.emit(text)?;
            }
            // As written: converted, large numbers would lose digits that rules look for.
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                self.number()?;
                self.emit(Text::Input(start, self.at))?;
            }
            b't' => self.word(b"true", true)?,
            b'f' => self.word(b"false", true)?,
            b'n' => self.word(b"null", false)?,
            b',' | b':' | b']' | b'}' => {
                return self.fail(JsonFault::Token);
            }
            _ => return self.fail(JsonFault::Character),
        }
        Ok(Expect::Next)
    }

    fn open(&mut self, index: Option<usize>) -> Result<Expect, Failure> {
        if self.open.len() >= self.depth_limit {
            return self.fail(JsonFault::TooDeep);
        }
        // The element of an array has an index instead of a key, and the outermost value has neither.
        let has_key = self.open.last().is_some_and(|outer| outer.index.is_none());
        self.open.push(Container {
            index,
            path: self.path.len(),
            has_key,
        });
        self.at += 1;
        Ok(match index {
            Some(_) => Expect::FirstElement,
            None => Expect::FirstKey,
        })
    }

    fn close_empty(&mut self) -> Result<Expect, Failure> {
        self.open.pop();
        // The outermost container has no key that rules could look for.
        if !self.open.is_empty() {
            self.emit(Text::Input(0, 0))?;
        }
        self.at += 1;
        Ok(Expect::Next)
    }

    fn next(&mut self, byte: u8) -> Result<Expect, Failure> {
        let Some(innermost) = self.open.last() else {
            return self.fail(JsonFault::TrailingBytes);
        };
        let is_array = innermost.index.is_some();
        self.path.truncate(innermost.path);
        let expect = match (byte, is_array) {
            (b',', true) => {
                self.name_element();
                Expect::Value
            }
            (b',', false) => Expect::Key,
            (b']', true) | (b'}', false) => {
                self.close()?;
                Expect::Next
            }
            (_, true) => {
                return self.fail(JsonFault::AfterElement);
            }
            (_, false) => {
                return self.fail(JsonFault::AfterMember);
            }
        };
        self.at += 1;
        Ok(expect)
    }

    /// Closes a container that held something. Its key is an argument of its own.
    fn close(&mut self) -> Result<(), Failure> {
        let Some(closed) = self.open.pop().filter(|closed| closed.has_key) else {
            return Ok(());
        };
        self.path.truncate(closed.path);
        self.text.clear();
        if let Some(length) = closed.index {
            // Writing to a vector cannot fail.
            let _ = write!(self.text, "{length}");
        }
        self.named_containers += 1;
        if self.named_containers > self.limit_arguments {
            return self.fail(JsonFault::TooManyArguments(self.limit_arguments));
        }
        self.give(Text::Unescaped)
    }

    /// Gives the names of containers that an error leaves open: their keys may be the attack.
    fn give_open(&mut self) {
        for closed in std::mem::take(&mut self.open).iter().rev() {
            self.path.truncate(closed.path);
            let Some(left) = self.names_left.checked_sub(self.path.len()) else {
                return;
            };
            if closed.has_key {
                self.names_left = left;
                (self.sink)(&self.path, b"");
            }
        }
    }

    /// Puts the next element's index after the array's name.
    fn name_element(&mut self) {
        let Some(Container {
            index: Some(index),
            path,
            ..
        }) = self.open.last_mut()
        else {
            return;
        };
        self.path.truncate(*path);
        self.path.push(b'.');
        // Writing to a vector cannot fail.
        let _ = write!(self.path, "{index}");
        *index += 1;
    }

    /// Reads a key and its colon and puts the key after the object's name.
    fn key(&mut self, byte: u8) -> Result<Expect, Failure> {
        if byte != b'"' {
            return self.fail(JsonFault::Key);
        }
        let start = self.at;
        let key = self.string()?;
        if let Some(container) = self.open.last() {
            self.path.truncate(container.path);
        }
        self.path.push(b'.');
        match key {
            Text::Input(start, end) => self.path.extend_from_slice(&self.input[start..end]),
            Text::Unescaped => self.path.extend_from_slice(&self.text),
        }
        // Checked here, not only at the leaves: each container copies the name.
        if self.path.len() > LONGEST_NAME {
            return fail_at(JsonFault::NameTooLong, start);
        }
        self.skip_blanks();
        match self.input.get(self.at) {
            Some(b':') => {
                self.at += 1;
                Ok(Expect::Value)
            }
            None => self.fail(JsonFault::End),
            Some(_) => self.fail(JsonFault::Colon),
        }
    }

    fn emit(&mut self, value: Text) -> Result<(), Failure> {
        if self.arguments >= self.limit_arguments {
            return self.fail(JsonFault::TooManyArguments(self.limit_arguments));
        }
        self.arguments += 1;
        self.give(value)
    }

    /// Gives the value at the current path to the sink.
    fn give(&mut self, value: Text) -> Result<(), Failure> {
        if self.path.len() > LONGEST_NAME {
            return self.fail(JsonFault::NameTooLong);
        }
        let Some(left) = self.names_left.checked_sub(self.path.len()) else {
            return self.fail(JsonFault::NamesTooLong);
        };
        self.names_left = left;
        let value = match value {
            Text::Input(start, end) => &self.input[start..end],
            Text::Unescaped => &self.text,
        };
        (self.sink)(&self.path, value);
        Ok(())
    }

    fn word(&mut self, word: &[u8], shown: bool) -> Result<(), Failure> {
        let rest = &self.input[self.at..];
        if rest.starts_with(word) {
            let start = self.at;
            self.at += word.len();
            return self.emit(Text::Input(start, if shown { self.at } else { start }));
        }
        // Cut off, and not misspelled: the body may have lost its end on the way.
        if word.starts_with(rest) {
            self.at = self.input.len();
            return self.fail(JsonFault::End);
        }
        self.fail(JsonFault::Word)
    }

    fn number(&mut self) -> Result<(), Failure> {
        self.skip_one(|b| b == b'-');
        // After a zero at the start no other digit may follow (RFC 8259, section 6).
        if !self.skip_one(|b| b == b'0') {
            self.digits(JsonFault::MinusWithoutDigit)?;
        }
        if self.skip_one(|b| b == b'.') {
            self.digits(JsonFault::PointWithoutDigit)?;
        }
        if self.skip_one(|b| matches!(b, b'e' | b'E')) {
            self.skip_one(|b| matches!(b, b'+' | b'-'));
            self.digits(JsonFault::ExponentWithoutDigit)?;
        }
        Ok(())
    }

    fn digits(&mut self, otherwise: JsonFault) -> Result<(), Failure> {
        let start = self.at;
        while self.skip_one(|b| b.is_ascii_digit()) {}
        if self.at > start {
            return Ok(());
        }
        match self.input.get(self.at) {
            None => self.fail(JsonFault::End),
            Some(_) => self.fail(otherwise),
        }
    }

    /// Reads the string that starts here, quotes included.
    fn string(&mut self) -> Result<Text, Failure> {
        self.at += 1;
        let start = self.at;
        self.text.clear();
        let mut copied = start;
        loop {
            if work::is_over() {
                return self.fail(JsonFault::OutOfTime);
            }
            let rest = &self.input[self.at..];
            let Some(length) = rest
                .iter()
                // The characters that must not stand in a string as they are (RFC 8259, section 7).
                .position(|&b| matches!(b, b'"' | b'\\' | 0..0x20))
            else {
                self.at = self.input.len();
                return self.fail(JsonFault::End);
            };
            work::add(length + 1);
            self.at += length;
            match rest[length] {
                b'"' => {
                    let end = self.at;
                    self.at += 1;
                    // Without escapes the text is a part of the input and needs no copy.
                    if copied == start {
                        return Ok(Text::Input(start, end));
                    }
                    self.text.extend_from_slice(&self.input[copied..end]);
                    return Ok(Text::Unescaped);
                }
                b'\\' => {
                    self.text.extend_from_slice(&self.input[copied..self.at]);
                    self.escape()?;
                    copied = self.at;
                }
                _ => return self.fail(JsonFault::ControlCharacter),
            }
        }
    }

    /// Reads one escape into `text`.
    fn escape(&mut self) -> Result<(), Failure> {
        let byte = match self.input.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(),
            None => {
                self.at = self.input.len();
                return self.fail(JsonFault::End);
            }
            Some(_) => {
                return self.fail(JsonFault::Escape);
            }
        };
        self.text.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), Failure> {
        let Some(unit) = self.code_unit(self.at) else {
            if self.input.len() < self.at + 6 {
                self.at = self.input.len();
                return self.fail(JsonFault::End);
            }
            return self.fail(JsonFault::UnicodeEscape);
        };
        self.at += 6;
        if (0xd800..0xdc00).contains(&unit)
            && let Some(low @ 0xdc00..0xe000) = self.code_unit(self.at)
        {
            self.at += 6;
            push_utf8(
                0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                &mut self.text,
            );
        } else {
            push_utf8(unit, &mut self.text);
        }
        Ok(())
    }

    /// The UTF-16 code unit of the `\uXXXX` that starts at `at`.
    fn code_unit(&self, at: usize) -> Option<u32> {
        let digits = self.input.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits
            .iter()
            .try_fold(0, |unit, &b| Some(unit << 4 | u32::from(hex_value(b)?)))
    }

    fn skip_blanks(&mut self) {
        while self.skip_one(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {}
    }

    fn skip_one(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.input.get(self.at).is_some_and(|&b| wanted(b));
        work::note(1);
        self.at += usize::from(found);
        found
    }

    fn fail<T>(&self, fault: JsonFault) -> Result<T, Failure> {
        fail_at(fault, self.at)
    }
}

fn fail_at<T>(fault: JsonFault, offset: usize) -> Result<T, Failure> {
    Err(Failure { fault, offset })
}

/// Where a string is.
#[derive(Clone, Copy)]
enum Text {
    Input(usize, usize),
    /// In [`Parser::text`].
    Unescaped,
}

/// Writes a code point as UTF-8 would, surrogates too.
fn push_utf8(code: u32, out: &mut Vec<u8>) {
    if let Some(c) = char::from_u32(code) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        return;
    }
    // Not a scalar value: a lone surrogate, which takes three bytes.
    for (shift, lead, mask) in [(12, 0xe0, 0x0f), (6, 0x80, 0x3f), (0, 0x80, 0x3f)] {
        let bits = u8::try_from(code >> shift & mask).unwrap_or_default();
        out.push(lead | bits);
    }
}

#[cfg(test)]
mod tests;
