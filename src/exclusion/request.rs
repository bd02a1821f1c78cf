//! A recorded request, and the same request with another value in one of its places.
//!
//! A proof asks what becomes of an attack that stands where the false positive stood, or beside it. So a request is
//! kept in parts, and every change gives a new one with a fitting `Content-Length`.

use std::fmt;

use ftw::Body;
use http_strict::{Head, HeadError, TargetForm};
use serde_json::Value;

use super::multipart;

/// A request in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Vec<u8>,
    /// Path and query, as sent.
    target: Vec<u8>,
    protocol: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// Where a value stands in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// An argument of the query, by its decoded name.
    Query(Vec<u8>),
    /// An argument of an urlencoded body.
    Form(Vec<u8>),
    /// A string or number of a JSON body, by the name that the engine gives it.
    Json(Vec<u8>),
    /// A part of a multipart body.
    Part(Vec<u8>),
    Cookie(Vec<u8>),
    Header(Vec<u8>),
    /// The text of an XML body.
    Xml,
    /// A body that no parser takes apart.
    Body,
}

/// Why a request cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// HTTP forbids it, so that no rule sees it.
    Forbidden(HeadError),
    /// Its body ends too early.
    Incomplete,
    /// The framing of its body is malformed.
    Malformed(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(error) => write!(f, "no rule sees this request: {error}"),
            Self::Incomplete => f.write_str("the body of the request ends too early"),
            Self::Malformed(why) => write!(f, "the body of the request is malformed: {why}"),
        }
    }
}

impl std::error::Error for RequestError {}

impl Request {
    /// Reads raw HTTP/1.x.
    ///
    /// # Errors
    /// HTTP forbids it, or its body is not whole.
    pub fn parse(raw: &[u8]) -> Result<Self, RequestError> {
        let head = Head::parse(raw).map_err(RequestError::Forbidden)?;
        let rest = raw.get(head.length..).unwrap_or_default();
        match ftw::read_body(&head, rest) {
            Body::Whole(body) => Self::from_parts(raw, body),
            Body::Incomplete => Err(RequestError::Incomplete),
            Body::Malformed(why) => Err(RequestError::Malformed(why)),
        }
    }

    /// Reads a raw head, to which a body without a transfer coding belongs.
    ///
    /// # Errors
    /// HTTP forbids the head.
    pub fn from_parts(raw: &[u8], body: Vec<u8>) -> Result<Self, RequestError> {
        let head = Head::parse(raw).map_err(RequestError::Forbidden)?;
        let part = |range: &std::ops::Range<usize>| raw.get(range.clone()).unwrap_or_default();
        let target = match &head.form {
            TargetForm::Absolute { path, .. } if path.is_empty() => b"/",
            TargetForm::Absolute { path, .. } => part(path),
            TargetForm::Origin | TargetForm::Asterisk => part(&head.target),
        };
        let headers = head.headers.iter();
        Ok(Self {
            method: part(&head.method).to_vec(),
            target: target.to_vec(),
            protocol: part(&head.protocol).to_vec(),
            headers: headers
                .map(|(name, value)| (part(name).to_vec(), part(value).to_vec()))
                .filter(|(name, _)| !name.eq_ignore_ascii_case(b"transfer-encoding"))
                .collect(),
            body,
        }
        .with_length())
    }

    /// As it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut raw = [&self.method[..], b" ", &self.target, b" ", &self.protocol].concat();
        raw.extend_from_slice(b"\r\n");
        for (name, value) in &self.headers {
            for piece in [name, &b": "[..], value, b"\r\n"] {
                raw.extend_from_slice(piece);
            }
        }
        raw.extend_from_slice(b"\r\n");
        raw.extend_from_slice(&self.body);
        raw
    }

    /// The request line.
    #[must_use]
    pub fn line(&self) -> String {
        let pieces = [&self.method[..], b" ", &self.target];
        String::from_utf8_lossy(&pieces.concat()).into_owned()
    }

    pub(super) fn method(&self) -> &[u8] {
        &self.method
    }

    /// The path as sent, without the query.
    pub(super) fn path(&self) -> &[u8] {
        self.split_target().0
    }

    /// The host in lower case, without its port.
    pub(super) fn host(&self) -> Option<String> {
        let value = String::from_utf8(self.header(b"host")?.to_ascii_lowercase()).ok()?;
        let port = value.rfind(':').filter(|&at| {
            let digits = value.get(at + 1..).unwrap_or_default();
            digits.bytes().all(|b| b.is_ascii_digit())
        });
        let host = value.get(..port.unwrap_or(value.len()))?;
        (!host.is_empty()).then(|| host.to_owned())
    }

    /// The places whose values can be replaced, headers and cookies aside.
    pub(super) fn arguments(&self) -> Vec<Place> {
        let (_, query) = self.split_target();
        let mut places: Vec<Place> = names(query).map(Place::Query).collect();
        match self.kind() {
            Kind::Form => places.extend(names(&self.body).map(Place::Form)),
            Kind::Json => {
                let mut found = Vec::new();
                if let Ok(json) = serde_json::from_slice(&self.body) {
                    json_names(&json, "json", &mut found);
                }
                places.extend(found.into_iter().map(|name| Place::Json(name.into_bytes())));
            }
            Kind::Multipart(boundary) => {
                let names = multipart::names(&self.body, &boundary);
                places.extend(names.into_iter().map(Place::Part));
            }
            Kind::Xml | Kind::Other => {}
        }
        places
    }

    /// Where the value of `COLLECTION:key` stands; None if there is no such place, or it cannot be changed alone.
    pub(super) fn place_of(&self, collection: &str, key: Option<&[u8]>) -> Option<Place> {
        match (collection, key) {
            ("ARGS" | "ARGS_GET" | "ARGS_POST", Some(key)) => self
                .arguments()
                .into_iter()
                .find(|place| place.name().is_some_and(|n| n.eq_ignore_ascii_case(key))),
            ("REQUEST_COOKIES", Some(key)) => Some(Place::Cookie(key.to_vec())),
            ("REQUEST_HEADERS", Some(key)) => Some(Place::Header(key.to_vec())),
            ("XML", _) => Some(Place::Xml),
            ("REQUEST_BODY", _) if matches!(self.kind(), Kind::Other) => Some(Place::Body),
            _ => None,
        }
    }

    /// The same with `value` in `place`; None if that is impossible.
    pub(super) fn with(&self, place: &Place, value: &[u8]) -> Option<Self> {
        let mut other = self.clone();
        match place {
            Place::Query(name) => {
                let (path, query) = self.split_target();
                let query = with_pair(query, name, value)?;
                other.target = [path, b"?", &query].concat();
            }
            Place::Form(name) => other.body = with_pair(&self.body, name, value)?,
            Place::Json(name) => {
                let mut json = serde_json::from_slice(&self.body).ok()?;
                let value = String::from_utf8_lossy(value);
                set_json(&mut json, "json", name, &value).then_some(())?;
                other.body = serde_json::to_vec(&json).ok()?;
            }
            Place::Part(name) => {
                let Kind::Multipart(boundary) = self.kind() else {
                    return None;
                };
                other.body = multipart::with(&self.body, &boundary, name, value)?;
            }
            Place::Cookie(name) => {
                let at = self.position(b"cookie")?;
                let header = other.headers.get_mut(at)?;
                header.1 = with_cookie(&header.1, name, value)?;
            }
            Place::Header(name) => {
                let at = self.position(name)?;
                // A line end would begin another header.
                let value = value.iter().copied().filter(|b| !b"\r\n\0".contains(b));
                other.headers.get_mut(at)?.1 = value.collect();
            }
            Place::Xml => other.body = with_xml_text(&self.body, value)?,
            Place::Body => other.body = value.to_vec(),
        }
        Some(other.with_length())
    }

    /// The same with one more argument in the query, whose name no other has.
    pub(super) fn with_added_argument(&self, value: &[u8]) -> Self {
        let (path, query) = self.split_target();
        let known: Vec<Vec<u8>> = names(query).collect();
        let free = (0..).map(|n| format!("beside{n}").into_bytes());
        let name = free.into_iter().find(|name| !known.contains(name));
        let pair = [&name.unwrap_or_default()[..], b"=", &percent_encoded(value)].concat();
        let mut other = self.clone();
        other.target = match query {
            b"" => [path, b"?", &pair].concat(),
            query => [path, b"?", query, b"&", &pair].concat(),
        };
        other
    }

    /// The same for a path below this one.
    pub(super) fn with_another_path(&self) -> Self {
        let (path, query) = self.split_target();
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let mut target = [path, b"/beside"].concat();
        if !query.is_empty() {
            target = [&target[..], b"?", query].concat();
        }
        Self {
            target,
            ..self.clone()
        }
    }

    /// The same for another host.
    pub(super) fn with_another_host(&self) -> Option<Self> {
        let mut other = self.clone();
        let at = self.position(b"host")?;
        other.headers.get_mut(at)?.1 = b"beside.example".to_vec();
        Some(other)
    }

    /// The same without the header fields and cookies that hold credentials, but for the one at `kept`: what is
    /// written to a file must not hold them.
    pub(super) fn without_credentials(&self, kept: &[Place]) -> Self {
        const CREDENTIALS: [&[u8]; 3] = [b"authorization", b"proxy-authorization", b"cookie"];
        let mut other = self.clone();
        let keeps = |name: &[u8]| {
            kept.iter().any(|place| match place {
                Place::Header(kept) => kept.eq_ignore_ascii_case(name),
                Place::Cookie(_) => name.eq_ignore_ascii_case(b"cookie"),
                _ => false,
            })
        };
        other.headers.retain(|(name, _)| {
            let is_secret = CREDENTIALS.iter().any(|s| name.eq_ignore_ascii_case(s))
                || has_secret(&[&name[..], b": x=1"].concat());
            keeps(name) || !is_secret
        });
        let cookies = kept.iter().filter_map(|place| match place {
            Place::Cookie(name) => Some(name),
            _ => None,
        });
        let cookies: Vec<&Vec<u8>> = cookies.collect();
        for (name, value) in &mut other.headers {
            if name.eq_ignore_ascii_case(b"cookie") {
                let pairs = value.split(|&b| b == b';');
                let pairs = pairs.filter(|pair| {
                    let (name, _) = split_pair(pair.trim_ascii_start());
                    cookies.iter().any(|c| c.eq_ignore_ascii_case(name))
                });
                *value = pairs.collect::<Vec<_>>().join(&b';').trim_ascii().to_vec();
            }
        }
        let secret = other.arguments().into_iter().filter(|place| {
            let name = place.name().unwrap_or_default();
            !kept.contains(place) && has_secret(&[name, b"=12345"].concat())
        });
        for place in secret.collect::<Vec<_>>() {
            other = other.with(&place, b"masked").unwrap_or(other);
        }
        other
    }

    fn header(&self, name: &[u8]) -> Option<&[u8]> {
        let (_, value) = self.headers.get(self.position(name)?)?;
        Some(value)
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let mut headers = self.headers.iter();
        headers.position(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn split_target(&self) -> (&[u8], &[u8]) {
        match memchr::memchr(b'?', &self.target) {
            Some(at) => {
                let (path, query) = self.target.split_at(at);
                (path, query.get(1..).unwrap_or_default())
            }
            None => (&self.target, b""),
        }
    }

    fn with_length(mut self) -> Self {
        let length = self.body.len().to_string().into_bytes();
        match self.position(b"content-length") {
            Some(at) => {
                if let Some(header) = self.headers.get_mut(at) {
                    header.1 = length;
                }
            }
            None if !self.body.is_empty() => {
                self.headers.push((b"Content-Length".to_vec(), length));
            }
            None => {}
        }
        self
    }

    fn kind(&self) -> Kind {
        let value = self.header(b"content-type").unwrap_or_default();
        let lower = value.to_ascii_lowercase();
        let media = lower.split(|&b| b == b';').next().unwrap_or_default();
        let media = media.trim_ascii();
        match media {
            b"application/x-www-form-urlencoded" => Kind::Form,
            b"multipart/form-data" => {
                multipart::boundary(value).map_or(Kind::Other, |boundary| Kind::Multipart(boundary))
            }
            _ if media.ends_with(b"json") || media == b"application/csp-report" => Kind::Json,
            _ if media.ends_with(b"xml") => Kind::Xml,
            _ => Kind::Other,
        }
    }
}

/// How a body is taken apart.
enum Kind {
    Form,
    Json,
    Multipart(Vec<u8>),
    Xml,
    Other,
}

impl Place {
    /// The name of an argument.
    pub(super) fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Query(name) | Self::Form(name) | Self::Json(name) | Self::Part(name) => {
                Some(name)
            }
            Self::Cookie(_) | Self::Header(_) | Self::Xml | Self::Body => None,
        }
    }
}

/// Whether the engine would mask something in this text.
fn has_secret(text: &[u8]) -> bool {
    waf::mask_secrets(text, text.len()) != text
}

fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => {
            let (name, value) = pair.split_at(at);
            (name, value.get(1..).unwrap_or_default())
        }
        None => (pair, b""),
    }
}

/// The decoded names of `a=1&b=2`, each once.
fn names(pairs: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for pair in pairs.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
        let name = percent_decoded(split_pair(pair).0);
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen.into_iter()
}

/// The pairs with another value for each of this name.
fn with_pair(pairs: &[u8], name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut found = false;
    let changed: Vec<Vec<u8>> = pairs
        .split(|&b| b == b'&')
        .map(|pair| {
            let (key, _) = split_pair(pair);
            if percent_decoded(key) != name {
                return pair.to_vec();
            }
            found = true;
            [key, b"=", &percent_encoded(value)].concat()
        })
        .collect();
    found.then(|| changed.join(&b'&'))
}

fn with_cookie(header: &[u8], name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut found = false;
    let changed: Vec<Vec<u8>> = header
        .split(|&b| b == b';')
        .map(|pair| {
            let (key, _) = split_pair(pair);
            if !key.trim_ascii().eq_ignore_ascii_case(name) {
                return pair.to_vec();
            }
            found = true;
            // Rules decode a cookie's value, and `;` would end it.
            [key, b"=", &percent_encoded(value)].concat()
        })
        .collect();
    found.then(|| changed.join(&b';'))
}

/// The document with one more text before its last closing tag.
fn with_xml_text(body: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::rfind(body, b"</")?;
    let mut text = Vec::new();
    for &byte in value {
        match byte {
            b'<' => text.extend_from_slice(b"&lt;"),
            b'&' => text.extend_from_slice(b"&amp;"),
            // XML allows no other control characters.
            0..=8 | 11 | 12 | 14..=31 => {}
            byte => text.push(byte),
        }
    }
    let (before, after) = body.split_at(at);
    Some([before, &text, after].concat())
}

fn json_names(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                json_names(member, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                json_names(item, &format!("{path}.{index}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn set_json(value: &mut Value, path: &str, wanted: &[u8], new: &str) -> bool {
    match value {
        Value::Object(members) => members
            .iter_mut()
            .any(|(key, member)| set_json(member, &format!("{path}.{key}"), wanted, new)),
        Value::Array(items) => {
            let mut items = items.iter_mut().enumerate();
            items.any(|(index, item)| set_json(item, &format!("{path}.{index}"), wanted, new))
        }
        leaf if path.as_bytes().eq_ignore_ascii_case(wanted) => {
            *leaf = Value::String(new.to_owned());
            true
        }
        _ => false,
    }
}

/// Everything but letters, digits and `-._~` as `%HH`.
pub(super) fn percent_encoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ if byte.is_ascii_alphanumeric() => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

/// `%HH` and `+` decoded; what is malformed stays.
pub(super) fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
                match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(decoded) => {
                        out.push(decoded);
                        rest = after.get(2..).unwrap_or_default();
                    }
                    None => out.push(byte),
                }
            }
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests;
