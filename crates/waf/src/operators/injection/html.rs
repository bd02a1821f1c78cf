//! Reads HTML as lenient browsers do, including old ones.
//!
//! The states are those of the HTML standard's tokenizer, with additions of Internet Explorer and others: NUL is a
//! blank or nothing, backticks quote, `<%` begins a comment. Each token consumes input, so the work is linear.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

/// What may stand at the beginning of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Data,
    /// Inside a tag, or in an attribute's value without quotes.
    Tag,
    /// In an attribute's value in these quotes.
    Quoted(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// The name of a tag that opens, or of one that closes and has attributes.
    TagName(&'t [u8]),
    AttributeName(&'t [u8]),
    AttributeValue(&'t [u8]),
    Comment(&'t [u8]),
    Doctype,
    /// Text, ends of tags, CDATA.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Data,
    TagOpen,
    TagEnd,
    BeforeAttributeName,
    AfterAttributeName,
    BeforeAttributeValue,
    Quoted(u8),
    AfterQuoted,
    Done,
}

pub(super) struct Tokens<'t> {
    rest: &'t [u8],
    state: State,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t [u8], context: Context) -> Self {
        Self {
            rest: text,
            state: match context {
                Context::Data => State::Data,
                Context::Tag => State::BeforeAttributeName,
                Context::Quoted(quote) => State::Quoted(quote),
            },
        }
    }

    fn data(&mut self) -> Option<Token<'t>> {
        match memchr::memchr(b'<', self.rest) {
            None => self.finish_with(Token::Other),
            Some(length) => {
                self.skip(length + 1);
                self.state = State::TagOpen;
                None
            }
        }
    }

    fn tag_open(&mut self) -> Option<Token<'t>> {
        match self.rest {
            [] => self.finish(),
            [b'!', ..] => {
                self.skip(1);
                self.declaration()
            }
            [b'/', ..] => {
                self.skip(1);
                self.end_tag()
            }
            [b'?', ..] => {
                self.skip(1);
                self.until_gt(Token::Comment)
            }
            [b'%', ..] => {
                self.skip(1);
                self.until(b"%>", Token::Comment)
            }
            // NUL too: `<\0script>` is a tag for old browsers.
            [b'a'..=b'z' | b'A'..=b'Z' | 0, ..] => self.tag_name(false),
            _ => {
                self.state = State::Data;
                Some(Token::Other)
            }
        }
    }

    fn end_tag(&mut self) -> Option<Token<'t>> {
        match self.rest {
            [] => self.finish(),
            // `</>` is nothing (HTML standard, missing-end-tag-name).
            [b'>', ..] => {
                self.state = State::Data;
                None
            }
            [b'a'..=b'z' | b'A'..=b'Z', ..] => self.tag_name(true),
            // The HTML standard calls this a bogus comment.
            _ => self.until_gt(Token::Comment),
        }
    }

    fn tag_name(&mut self, closes: bool) -> Option<Token<'t>> {
        // Old browsers ignore NUL in the name of a tag, so it does not end the name.
        let ends = |b: &u8| (is_blank(*b) && *b != 0) || matches!(b, b'/' | b'>');
        let Some(length) = self.rest.iter().position(ends) else {
            return self.finish_with(Token::TagName(self.rest));
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        match rest.first() {
            Some(b'>') if closes => {
                self.skip(1);
                self.state = State::Data;
                return Some(Token::Other);
            }
            Some(b'>') => self.state = State::TagEnd,
            _ => {
                self.skip(1);
                self.state = State::BeforeAttributeName;
            }
        }
        Some(Token::TagName(name))
    }

    fn tag_end(&mut self) -> Option<Token<'t>> {
        self.skip(1);
        self.state = State::Data;
        Some(Token::Other)
    }

    fn before_attribute_name(&mut self) -> Option<Token<'t>> {
        while let [b, rest @ ..] = self.rest
            && (is_blank(*b) || *b == b'/')
        {
            self.rest = rest;
        }
        match self.rest.first() {
            None => self.finish(),
            Some(b'>') => self.tag_end(),
            Some(_) => self.attribute_name(),
        }
    }

    /// Its first byte may be anything.
    fn attribute_name(&mut self) -> Option<Token<'t>> {
        let ends = |b: &u8| is_blank(*b) || matches!(b, b'/' | b'=' | b'>');
        let Some(length) = self.rest.iter().skip(1).position(ends).map(|i| i + 1) else {
            return self.finish_with(Token::AttributeName(self.rest));
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.state = match rest.first() {
            Some(b'>') => State::TagEnd,
            Some(b'=') => State::BeforeAttributeValue,
            Some(b'/') => State::BeforeAttributeName,
            _ => State::AfterAttributeName,
        };
        // `tag_end` takes the `>` itself.
        if self.state != State::TagEnd {
            self.skip(1);
        }
        Some(Token::AttributeName(name))
    }

    fn after_attribute_name(&mut self) -> Option<Token<'t>> {
        self.skip_blanks();
        match self.rest.first() {
            None => return self.finish(),
            Some(b'/') => {
                self.skip(1);
                self.state = State::BeforeAttributeName;
            }
            Some(b'=') => {
                self.skip(1);
                self.state = State::BeforeAttributeValue;
            }
            Some(b'>') => return self.tag_end(),
            Some(_) => return self.attribute_name(),
        }
        None
    }

    fn before_attribute_value(&mut self) -> Option<Token<'t>> {
        self.skip_blanks();
        match self.rest.first() {
            None => self.finish(),
            Some(&quote @ (b'"' | b'\'' | b'`')) => {
                self.skip(1);
                self.quoted(quote)
            }
            Some(_) => self.unquoted(),
        }
    }

    fn quoted(&mut self, quote: u8) -> Option<Token<'t>> {
        let Some(length) = memchr::memchr(quote, self.rest) else {
            return self.finish_with(Token::AttributeValue(self.rest));
        };
        let value = &self.rest[..length];
        self.skip(length + 1);
        self.state = State::AfterQuoted;
        Some(Token::AttributeValue(value))
    }

    fn unquoted(&mut self) -> Option<Token<'t>> {
        // A slash does not end it: in `src=/x` it belongs to the value.
        let ends = |b: &u8| is_blank(*b) || *b == b'>';
        let Some(length) = self.rest.iter().position(ends) else {
            return self.finish_with(Token::AttributeValue(self.rest));
        };
        let (value, rest) = self.rest.split_at(length);
        self.rest = rest;
        if rest.first() == Some(&b'>') {
            self.state = State::TagEnd;
        } else {
            self.skip(1);
            self.state = State::BeforeAttributeName;
        }
        Some(Token::AttributeValue(value))
    }

    fn declaration(&mut self) -> Option<Token<'t>> {
        let begins = |text: &[u8]| {
            self.rest
                .get(..text.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(text))
        };
        if begins(b"DOCTYPE") {
            return self.until_gt(|_| Token::Doctype);
        }
        // In capitals only, unlike `DOCTYPE` (HTML standard, markup declaration open state).
        if self.rest.starts_with(b"[CDATA[") {
            self.skip(7);
            return self.until(b"]]>", |_| Token::Other);
        }
        if self.rest.starts_with(b"--") {
            self.skip(2);
            return self.comment();
        }
        self.until_gt(Token::Comment)
    }

    /// A comment ends with `-->` or `-!>`; NUL between its first two does not count.
    fn comment(&mut self) -> Option<Token<'t>> {
        let text = self.rest;
        for dash in memchr::memchr_iter(b'-', text) {
            let after = &text[dash + 1..];
            let nuls = after.iter().take_while(|b| **b == 0).count();
            if let [b'-' | b'!', b'>', rest @ ..] = &after[nuls..] {
                self.rest = rest;
                self.state = State::Data;
                return Some(Token::Comment(&text[..dash]));
            }
        }
        self.finish_with(Token::Comment(text))
    }

    fn until_gt(&mut self, token: impl Fn(&'t [u8]) -> Token<'t>) -> Option<Token<'t>> {
        self.until(b">", token)
    }

    fn until(&mut self, end: &[u8], token: impl Fn(&'t [u8]) -> Token<'t>) -> Option<Token<'t>> {
        let text = self.rest;
        match memchr::memmem::find(text, end) {
            None => self.finish_with(token(text)),
            Some(length) => {
                self.skip(length + end.len());
                self.state = State::Data;
                Some(token(&text[..length]))
            }
        }
    }

    fn finish(&mut self) -> Option<Token<'t>> {
        self.state = State::Done;
        None
    }

    fn finish_with(&mut self, token: Token<'t>) -> Option<Token<'t>> {
        self.state = State::Done;
        Some(token)
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.iter().take_while(|b| is_blank(**b)).count();
        self.skip(blanks);
    }

    fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        // Each turn consumes at least a byte or enters a state that does, so the loop ends.
        loop {
            let token = match self.state {
                State::Data => self.data(),
                State::TagOpen => self.tag_open(),
                State::TagEnd => self.tag_end(),
                State::BeforeAttributeName => self.before_attribute_name(),
                State::AfterAttributeName => self.after_attribute_name(),
                State::BeforeAttributeValue => self.before_attribute_value(),
                State::Quoted(quote) => self.quoted(quote),
                State::AfterQuoted if self.rest.is_empty() => self.finish(),
                // Browsers need no blank between two attributes.
                State::AfterQuoted => self.before_attribute_name(),
                State::Done => return None,
            };
            if token.is_some() {
                return token;
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0)
}
