//! Texts with variables of the request: where a redirect leads, the value of a header field.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::identity::{field_text, field_value};

/// A text in which `{path}` and the like stand for what a request has. `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(Variable),
}

/// What a template can ask of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `{path}`: the path as the client sent it.
    Path,
    /// `{query}`: the query as the client sent it, without the question mark.
    Query,
    /// `{below}`: the path after the prefix of the route; empty where a path is named exactly.
    Below,
    /// `{host}`: the host that the client asked for, without a port.
    Host,
    /// `{path.NAME}`: the group NAME of the route's `path_regex`.
    Group(String),
    /// `{client}`: the client's address.
    Client,
    /// `{request_id}`
    RequestId,
    /// `{method}`
    Method,
    /// `{route}`: its name.
    Route,
    /// `{listener}`: its name.
    Listener,
    /// `{claim.NAME}`: what the caller's token or certificate says.
    Claim(String),
    /// `{tls.NAME}`
    Tls(TlsFact),
}

/// What a template can ask of a connection's TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFact {
    /// `{tls.version}`, like `TLSv1.3`.
    Version,
    /// `{tls.cipher}`
    Cipher,
    /// `{tls.sni}`: the name that the client asked for in the handshake.
    Sni,
    /// `{tls.client_subject}`: the subject of the client certificate that was verified (RFC 4514).
    ClientSubject,
    /// `{tls.client_sha256}`: the SHA-256 of that certificate, in hexadecimal.
    ClientSha256,
}

/// Where the text of a template goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Into a URL. Only variables of the requested URL stand there: what is known of the client would end up in
    /// histories and logs of others.
    Url,
    /// Into the value of a header field.
    Field,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// A brace has no partner.
    Brace,
    /// There is no such variable; the text between the braces.
    Unknown(String),
    /// The variable does not go into a URL.
    NotInUrl(String),
    /// A character that cannot stand there.
    Character(char),
}

/// What is known of a request.
pub trait Facts {
    /// The value of a variable. None if the request has none: a claim of nobody, a query that is not there.
    fn text(&self, variable: &Variable) -> Option<Cow<'_, [u8]>>;

    /// The claim of the caller.
    fn claim(&self, name: &str) -> Option<&Value>;
}

const NAMES: &str = "path, query, below, host, path.NAME, client, request_id, method, route, listener, claim.NAME, \
                     tls.version, tls.cipher, tls.sni, tls.client_subject, tls.client_sha256";

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brace => f.write_str(
                "a brace has no partner: write {path} for a variable, {{ and }} for braces",
            ),
            Self::Unknown(name) => {
                write!(f, "there is no variable {{{name}}}; there are {NAMES}")
            }
            Self::NotInUrl(name) => write!(
                f,
                "{{{name}}} cannot be in a URL; path, query, below, host and path.NAME can"
            ),
            Self::Character(c) => write!(f, "{c:?} cannot stand there"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// # Errors
    /// A variable or a character that cannot stand in such a text.
    pub fn parse(text: &str, place: Use) -> Result<Self, TemplateError> {
        let allowed = |c: char| match place {
            Use::Url => {
                c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '|' | '#')
            }
            Use::Field => c == ' ' || c.is_ascii_graphic(),
        };
        if let Some(wrong) = text.chars().find(|c| !allowed(*c)) {
            return Err(TemplateError::Character(wrong));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let inner = from.strip_prefix('{').ok_or(TemplateError::Brace)?;
                let (name, after) = inner.split_once('}').ok_or(TemplateError::Brace)?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Variable(variable(name, place)?));
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self {
            source: text.to_owned(),
            parts,
        })
    }

    /// As it is written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The groups of `path_regex` that it names.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.variables().filter_map(|variable| match variable {
            Variable::Group(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Its variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Literal(_) => None,
        })
    }

    /// The text before the first variable.
    pub(super) fn first_literal(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// Its first variable.
    pub(super) fn first_variable(&self) -> Option<&Variable> {
        self.variables().next()
    }

    /// The text between the first variable and the second.
    pub(super) fn text_after_first_variable(&self) -> &str {
        let mut parts = self.parts.iter();
        let found = parts.by_ref().any(|part| matches!(part, Part::Variable(_)));
        match parts.next() {
            Some(Part::Literal(text)) if found => text,
            _ => "",
        }
    }

    /// The text in a URL. What is not there is empty. Bytes that no URL may have are encoded; escapes of the client stay
    /// as they are. After a literal `?` all but `{query}` is encoded as a value of the query, so that no path can begin
    /// another parameter.
    #[must_use]
    pub fn url(&self, facts: &impl Facts) -> Vec<u8> {
        self.encoded(facts, false)
    }

    /// The text as a query. Its `&` at the beginning and the end are left out, since what stood there may be empty.
    #[must_use]
    pub fn query(&self, facts: &impl Facts) -> Vec<u8> {
        let mut query = self.encoded(facts, true);
        while query.last() == Some(&b'&') {
            query.pop();
        }
        let begins = query.iter().position(|byte| *byte != b'&');
        query.split_off(begins.unwrap_or(query.len()))
    }

    fn encoded(&self, facts: &impl Facts, mut in_query: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.source.len() + 64);
        for part in &self.parts {
            match part {
                Part::Literal(text) => {
                    in_query |= text.contains('?');
                    out.extend_from_slice(text.as_bytes());
                }
                Part::Variable(variable) => {
                    let text = facts.text(variable).unwrap_or_default();
                    let stays = match in_query && *variable != Variable::Query {
                        true => is_value_byte,
                        false => is_url_byte,
                    };
                    encode(&text, stays, &mut out);
                }
            }
        }
        out
    }

    /// The text in the value of a header field. None if it names a value that is not there: the field is then left out,
    /// since half a value would be a wrong one.
    #[must_use]
    pub fn field(&self, facts: &impl Facts) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.source.len() + 32);
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(Variable::Claim(name)) => {
                    out.extend_from_slice(field_value(facts.claim(name)?)?.as_bytes());
                }
                Part::Variable(variable) => {
                    let text = facts.text(variable)?;
                    match variable.is_of_url() {
                        true => encode(&text, |byte| matches!(byte, 0x21..=0x7e), &mut out),
                        false => {
                            let text = String::from_utf8_lossy(&text);
                            out.extend_from_slice(field_text(&text).as_bytes());
                        }
                    }
                }
            }
        }
        Some(out)
    }
}

impl Variable {
    /// Whether the client's URL has it, with its escapes.
    fn is_of_url(&self) -> bool {
        match self {
            Self::Path | Self::Query | Self::Below | Self::Host | Self::Group(_) => true,
            Self::Client
            | Self::RequestId
            | Self::Method
            | Self::Route
            | Self::Listener
            | Self::Claim(_)
            | Self::Tls(_) => false,
        }
    }
}

fn variable(name: &str, place: Use) -> Result<Variable, TemplateError> {
    let unknown = || TemplateError::Unknown(name.to_owned());
    let found = match name {
        "path" => Variable::Path,
        "query" => Variable::Query,
        "below" => Variable::Below,
        "host" => Variable::Host,
        "client" => Variable::Client,
        "request_id" => Variable::RequestId,
        "method" => Variable::Method,
        "route" => Variable::Route,
        "listener" => Variable::Listener,
        "tls.version" => Variable::Tls(TlsFact::Version),
        "tls.cipher" => Variable::Tls(TlsFact::Cipher),
        "tls.sni" => Variable::Tls(TlsFact::Sni),
        "tls.client_subject" => Variable::Tls(TlsFact::ClientSubject),
        "tls.client_sha256" => Variable::Tls(TlsFact::ClientSha256),
        _ => match name.split_once('.') {
            Some(("path", group)) if !group.is_empty() => Variable::Group(group.to_owned()),
            Some(("claim", claim)) if !claim.is_empty() => Variable::Claim(claim.to_owned()),
            _ => return Err(unknown()),
        },
    };
    match place == Use::Url && !found.is_of_url() {
        true => Err(TemplateError::NotInUrl(name.to_owned())),
        false => Ok(found),
    }
}

/// The bytes that can stand in a path or a query (RFC 3986, 3.3 and 3.4), and the percent sign of escapes.
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%[]".contains(&byte)
}

/// The bytes that stand for themselves in a value of a query.
fn is_value_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
}

fn encode(text: &[u8], stays: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if stays(byte) {
            out.push(byte);
            continue;
        }
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
    }
}

#[cfg(test)]
mod tests;
