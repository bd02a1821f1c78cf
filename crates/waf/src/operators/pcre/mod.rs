//! PCRE's syntax, translated for engines that read bytes in linear time.
//!
//! Rules are written for PCRE without UTF mode: a pattern is bytes, `.` is any byte, and `\d`, `\w`, `\s` and case
//! folding know ASCII only (`pcre2pattern(3)`). Most patterns have the same meaning for the `regex` crate once classes,
//! escapes and anchors are spelled out. What needs backtracking (look-around, back-references, atomic groups,
//! possessive quantifiers) is written for `fancy-regex` instead. Syntax with another meaning here is refused, never
//! guessed.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

mod class;
mod escape;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::byteset::ByteSet;
use escape::Escape;

/// The deepest nesting of groups; PCRE's own default.
const MAX_DEPTH: usize = 250;

/// The longest pattern that is looked at, in bytes.
const MAX_LENGTH: usize = 256 * 1024;

/// Options that apply to a whole pattern from its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PatternOptions {
    /// As if the pattern began with `(?i)`.
    pub ignore_case: bool,
    /// As if the pattern began with `(?m)`.
    pub multi_line: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// `regex`: linear time.
    Linear,
    /// `fancy-regex`: with a limit on its steps.
    Backtracking,
}

#[derive(Debug)]
pub(super) struct Translation {
    /// For `regex::bytes` as it is; for `fancy-regex` in its ASCII bytes mode.
    pub source: String,
    pub engine: Engine,
    /// Whether a quantifier without an upper bound occurs in it.
    pub unbounded: bool,
}

/// What is wrong with a pattern, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub message: String,
    pub at: Range<usize>,
}

pub(super) fn translate(
    pattern: &[u8],
    options: PatternOptions,
) -> Result<Translation, SyntaxError> {
    if pattern.len() > MAX_LENGTH {
        return Err(error("the pattern is longer than 256 KiB", 0..1));
    }
    // Whether a pattern needs backtracking is known only at its end, and the two engines spell some items differently.
    // So it is translated again if it does.
    let linear = Translator::new(pattern, options, Engine::Linear).run()?;
    if linear.needs_backtracking {
        return Ok(Translator::new(pattern, options, Engine::Backtracking)
            .run()?
            .finish());
    }
    Ok(linear.finish())
}

fn error(message: impl Into<String>, at: Range<usize>) -> SyntaxError {
    SyntaxError {
        message: message.into(),
        at,
    }
}

#[derive(Clone, Copy)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    extended: bool,
    ungreedy: bool,
}

struct Group {
    /// Where its parenthesis stands in the pattern.
    opened: usize,
    /// Where it begins in the output.
    start: usize,
    /// To go back to when it closes.
    flags: Flags,
}

struct Translator<'p> {
    pattern: &'p [u8],
    at: usize,
    out: String,
    engine: Engine,
    needs_backtracking: bool,
    unbounded: bool,
    flags: Flags,
    open: Vec<Group>,
    captures: usize,
    names: Vec<(&'p [u8], usize)>,
    /// Groups that are referred to, and where.
    references: Vec<(usize, Range<usize>)>,
    /// Where the last item begins in the output, if a quantifier may follow it; a possessive one puts a group around
    /// it.
    item: Option<usize>,
}

impl<'p> Translator<'p> {
    fn new(pattern: &'p [u8], options: PatternOptions, engine: Engine) -> Self {
        // A dot matches every byte, and nothing is Unicode; `rx` sets the latter for `fancy-regex` as an option.
        let prefix = match engine {
            Engine::Linear if options.ignore_case => "(?is-u)",
            Engine::Linear => "(?s-u)",
            Engine::Backtracking => "(?s)",
        };
        Self {
            pattern,
            at: 0,
            out: prefix.to_owned(),
            engine,
            needs_backtracking: false,
            unbounded: false,
            flags: Flags {
                ignore_case: options.ignore_case,
                multi_line: options.multi_line,
                dot_all: true,
                extended: false,
                ungreedy: false,
            },
            open: Vec::new(),
            captures: 0,
            names: Vec::new(),
            references: Vec::new(),
            item: None,
        }
    }

    fn finish(self) -> Translation {
        Translation {
            source: self.out,
            engine: self.engine,
            unbounded: self.unbounded,
        }
    }

    fn run(mut self) -> Result<Self, SyntaxError> {
        while let Some(byte) = self.peek() {
            self.step(byte)?;
        }
        if let Some(group) = self.open.last() {
            return Err(error(
                "this parenthesis is never closed",
                group.opened..group.opened + 1,
            ));
        }
        if let Some((_, at)) = self.references.iter().find(|(n, _)| *n > self.captures) {
            return Err(error("there is no such group to refer to", at.clone()));
        }
        Ok(self)
    }

    fn step(&mut self, byte: u8) -> Result<(), SyntaxError> {
        let start = self.at;
        self.at += 1;
        match byte {
            b'\\' => self.escape(start),
            b'[' => {
                let set = class::parse(self.pattern, &mut self.at, self.flags.ignore_case)?;
                self.set(&set);
                Ok(())
            }
            b'(' => self.open_group(start),
            b')' => self.close_group(start),
            b'|' => {
                self.out.push('|');
                self.item = None;
                Ok(())
            }
            b'*' => self.quantifier(start, "*", true),
            b'+' => self.quantifier(start, "+", true),
            b'?' => self.quantifier(start, "?", false),
            b'{' => match self.bounds(start)? {
                Some((text, unbounded)) => self.quantifier(start, &text, unbounded),
                None => {
                    self.literal(b'{');
                    Ok(())
                }
            },
            b'^' if self.flags.multi_line => {
                self.line_start();
                Ok(())
            }
            b'^' => {
                self.push("\\A");
                Ok(())
            }
            b'$' if self.flags.multi_line => {
                self.push("(?m:$)");
                Ok(())
            }
            b'$' => {
                self.push("\\z");
                Ok(())
            }
            b'.' => {
                self.push(if self.flags.dot_all { "." } else { "[^\\n]" });
                Ok(())
            }
            b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r' if self.flags.extended => Ok(()),
            b'#' if self.flags.extended => {
                self.at = self.find(b'\n').map_or(self.pattern.len(), |i| i + 1);
                Ok(())
            }
            _ => {
                self.literal(byte);
                Ok(())
            }
        }
    }

    fn escape(&mut self, start: usize) -> Result<(), SyntaxError> {
        let escape = escape::parse(self.pattern, &mut self.at, self.captures)?;
        match escape {
            Escape::Byte(byte) => self.literal(byte),
            Escape::Set(set) => self.set(&set),
            Escape::Start => self.push("\\A"),
            Escape::End => self.push("\\z"),
            Escape::WordBoundary => self.push("\\b"),
            Escape::NotWordBoundary => self.push("\\B"),
            Escape::Quote => self.quoted(),
            Escape::Nothing => {}
            Escape::EndOrFinalNewline => self.backtracking("(?=\\n?\\z)"),
            Escape::LineEnd => self.backtracking("(?>\\r\\n|[\\n\\x0b\\f\\r\\x85])"),
            Escape::KeepOut => {
                self.backtracking("\\K");
                self.item = None;
            }
            Escape::Reference(number) => self.reference(number, start),
            Escape::Back(distance) => match (self.captures + 1).checked_sub(distance) {
                Some(number) if number > 0 => self.reference(number, start),
                _ => {
                    return Err(error("there is no such group to refer to", start..self.at));
                }
            },
            Escape::Name(name) => self.named_reference(&name, start)?,
        }
        Ok(())
    }

    /// Bytes between `\Q` and `\E` are literal.
    fn quoted(&mut self) {
        let rest = &self.pattern[self.at..];
        let length = memchr::memmem::find(rest, b"\\E").unwrap_or(rest.len());
        for &byte in &rest[..length] {
            self.literal(byte);
        }
        // Without `\E` the quote goes to the end.
        self.at = (self.at + length + 2).min(self.pattern.len());
    }

    fn reference(&mut self, number: usize, start: usize) {
        // Checked at the end: a reference may stand before its group.
        self.references.push((number, start..self.at));
        let text = if self.flags.ignore_case {
            format!("(?i:\\{number})")
        } else {
            // In a group, because a digit that follows would become part of the number.
            format!("(?:\\{number})")
        };
        self.backtracking(&text);
    }

    fn named_reference(&mut self, name: &[u8], start: usize) -> Result<(), SyntaxError> {
        let Some(&(_, number)) = self.names.iter().find(|(known, _)| *known == name) else {
            return Err(error("no group before it has this name", start..self.at));
        };
        self.reference(number, start);
        Ok(())
    }

    fn open_group(&mut self, start: usize) -> Result<(), SyntaxError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(error("groups are nested too deeply", start..self.at));
        }
        // `(*UTF)` and its like change what the rest of the pattern means.
        if self.peek() == Some(b'*') {
            return Err(error(
                "control verbs such as (*UTF) or (*SKIP) are not supported",
                start..self.at + 1,
            ));
        }
        if !self.eat(b"?") {
            self.captures += 1;
            self.enter("(", start);
            return Ok(());
        }
        if self.eat(b"#") {
            let Some(end) = self.find(b')') else {
                return Err(error("this comment is never closed", start..self.at));
            };
            self.at = end + 1;
            return Ok(());
        }
        // Before the names of groups: `(?<=` begins like `(?<name>`.
        for (syntax, hard) in [
            (":", false),
            ("=", true),
            ("!", true),
            ("<=", true),
            ("<!", true),
            (">", true),
        ] {
            if self.eat(syntax.as_bytes()) {
                self.needs_backtracking |= hard;
                self.enter(&format!("(?{syntax}"), start);
                return Ok(());
            }
        }
        if self.eat(b"P=") {
            let name = self.name(b')', start)?;
            self.item = Some(self.out.len());
            return self.named_reference(name, start);
        }
        for (syntax, end) in [("P<", b'>'), ("<", b'>'), ("'", b'\'')] {
            if self.eat(syntax.as_bytes()) {
                let name = self.name(end, start)?;
                if self.names.iter().any(|(known, _)| *known == name) {
                    return Err(error("two groups have this name", start..self.at));
                }
                self.captures += 1;
                self.names.push((name, self.captures));
                self.enter("(", start);
                return Ok(());
            }
        }
        let refused = match self.peek() {
            Some(b'|') => "branch reset groups (?|...) are not supported",
            Some(b'(') => "conditional groups (?(...)...) are not supported",
            Some(b'R' | b'&' | b'0'..=b'9' | b'+' | b'P') => {
                "recursion and subroutine calls are not supported"
            }
            Some(b'-')
                if self
                    .pattern
                    .get(self.at + 1)
                    .is_some_and(u8::is_ascii_digit) =>
            {
                "recursion and subroutine calls are not supported"
            }
            Some(b'C') => "callouts are not supported",
            _ => return self.inline_flags(start),
        };
        Err(error(refused, start..self.at + 1))
    }

    /// `(?i-s)` applies to the rest of the group, `(?i-s:` to a group of its own.
    fn inline_flags(&mut self, start: usize) -> Result<(), SyntaxError> {
        let before = self.flags;
        let mut on = true;
        // `(?^` takes back every flag but `U`.
        if self.eat(b"^") {
            self.flags = Flags {
                ignore_case: false,
                multi_line: false,
                dot_all: false,
                extended: false,
                ungreedy: before.ungreedy,
            };
        }
        loop {
            let Some(byte) = self.peek() else {
                return Err(error("this group is never closed", start..self.at));
            };
            self.at += 1;
            match byte {
                b'i' => self.flags.ignore_case = on,
                b'm' => self.flags.multi_line = on,
                b's' => self.flags.dot_all = on,
                b'x' => self.flags.extended = on,
                b'U' => self.flags.ungreedy = on,
                b'-' if on => on = false,
                b')' | b':' => {
                    let own = byte == b':';
                    let inside = self.flags;
                    let case = match (self.engine, inside.ignore_case) {
                        // Letters are spelled out in both cases instead.
                        (Engine::Backtracking, _) => "",
                        (Engine::Linear, true) => "i",
                        (Engine::Linear, false) => "-i",
                    };
                    if own {
                        // The group remembers the flags outside it, which apply again when it closes.
                        self.flags = before;
                        self.enter(&format!("(?{case}:"), start);
                        self.flags = inside;
                    } else {
                        if !case.is_empty() && before.ignore_case != inside.ignore_case {
                            self.out.push_str(&format!("(?{case})"));
                        }
                        self.item = None;
                    }
                    return Ok(());
                }
                _ => {
                    return Err(error(
                        "this is no group or flag that PCRE knows",
                        start..self.at,
                    ));
                }
            }
        }
    }

    fn enter(&mut self, syntax: &str, opened: usize) {
        self.open.push(Group {
            opened,
            start: self.out.len(),
            flags: self.flags,
        });
        self.out.push_str(syntax);
        self.item = None;
    }

    fn close_group(&mut self, start: usize) -> Result<(), SyntaxError> {
        let Some(group) = self.open.pop() else {
            return Err(error("no parenthesis is open here", start..self.at));
        };
        self.out.push(')');
        // Flags set inside a group end with it.
        self.flags = group.flags;
        self.item = Some(group.start);
        Ok(())
    }

    fn name(&mut self, end: u8, start: usize) -> Result<&'p [u8], SyntaxError> {
        let from = self.at;
        let to = self.find(end).filter(|&to| {
            let name = &self.pattern[from..to];
            name.first().is_some_and(|b| !b.is_ascii_digit())
                // PCRE's longest name.
                && name.len() <= 32
                && name.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_')
        });
        let Some(to) = to else {
            return Err(error("this group's name is not well formed", start..from));
        };
        self.at = to + 1;
        Ok(&self.pattern[from..to])
    }

    /// `{n}`, `{n,}` and `{n,m}`; any other brace is a literal.
    fn bounds(&mut self, start: usize) -> Result<Option<(String, bool)>, SyntaxError> {
        let Some(end) = self.find(b'}') else {
            return Ok(None);
        };
        let Ok(inside) = std::str::from_utf8(&self.pattern[self.at..end]) else {
            return Ok(None);
        };
        let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(least) || !(digits(most) || most.is_empty()) {
            return Ok(None);
        }
        let text = format!("{{{inside}}}");
        // Without an upper bound any lower one is in order; 65535 is the largest number that PCRE takes.
        let most_number = if most.is_empty() { "65535" } else { most };
        match (least.parse::<u16>(), most_number.parse::<u16>()) {
            (Ok(least), Ok(most)) if least > most => Err(error(
                "the numbers of this quantifier are out of order",
                start..end + 1,
            )),
            (Ok(_), Ok(_)) => {
                self.at = end + 1;
                Ok(Some((text, most.is_empty())))
            }
            _ => Err(error(
                "a quantifier's number must not be above 65535",
                start..end + 1,
            )),
        }
    }

    fn quantifier(&mut self, start: usize, text: &str, unbounded: bool) -> Result<(), SyntaxError> {
        let Some(item) = self.item else {
            return Err(error("there is nothing to repeat here", start..self.at));
        };
        self.unbounded |= unbounded;
        let possessive = self.eat(b"+");
        let lazy = !possessive && self.eat(b"?");
        self.out.push_str(text);
        if possessive {
            self.needs_backtracking = true;
            // A possessive quantifier is an atomic group around the item.
            self.out.insert_str(item, "(?>");
            self.out.push(')');
        // `(?U)` swaps greedy and lazy.
        } else if lazy != self.flags.ungreedy {
            self.out.push('?');
        }
        Ok(())
    }

    /// PCRE's multi-line `^` does not match after a final newline. The linear engine's does, and has no way to say
    /// otherwise without look-around: it may match a value too many.
    fn line_start(&mut self) {
        match self.engine {
            Engine::Linear => self.push("(?m:^)"),
            Engine::Backtracking => self.push("(?:\\A|(?<=\\n)(?!\\z))"),
        }
    }

    fn literal(&mut self, byte: u8) {
        if self.flags.ignore_case
            && self.engine == Engine::Backtracking
            && byte.is_ascii_alphabetic()
        {
            return self.set(&ByteSet::of(&[
                byte.to_ascii_lowercase(),
                byte.to_ascii_uppercase(),
            ]));
        }
        self.item = Some(self.out.len());
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'_'
            | b' '
            | b'!'
            | b'"'
            | b'%'
            | b'\''
            | b','
            | b'/'
            | b':'
            | b';'
            | b'<'
            | b'='
            | b'>'
            | b'@'
            | b'`' => self.out.push(char::from(byte)),
            // Every other byte is escaped, because it may be syntax for the engine.
            _ => self.out.push_str(&format!("\\x{byte:02x}")),
        }
    }

    fn set(&mut self, set: &ByteSet) {
        let text = class::render(set);
        self.push(&text);
    }

    fn push(&mut self, text: &str) {
        self.item = Some(self.out.len());
        self.out.push_str(text);
    }

    fn backtracking(&mut self, text: &str) {
        self.needs_backtracking = true;
        self.push(text);
    }

    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn eat(&mut self, text: &[u8]) -> bool {
        let found = self.pattern[self.at.min(self.pattern.len())..].starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn find(&self, byte: u8) -> Option<usize> {
        memchr::memchr(byte, self.pattern.get(self.at..)?).map(|i| self.at + i)
    }
}
