//! Where a value stands in a request, and the same request with another value there.
//!
//! A proof asks what becomes of an attack that stands where the false positive stood, or beside it.

use super::multipart;
use super::values::{
    json_names, names, percent_encoded, set_json, with_cookie, with_pair, with_xml_text,
};
use crate::recorded::Request;

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
    /// The name of an uploaded file, by the name of its part.
    FileName(Vec<u8>),
    Cookie(Vec<u8>),
    Header(Vec<u8>),
    /// An argument more in the query.
    AnyQuery,
    /// The text of an XML body.
    Xml,
    /// The body as a whole.
    Body,
}

/// How a body is taken apart.
enum Kind {
    Form,
    Json,
    Multipart(Vec<u8>),
    Other,
}

impl Kind {
    fn of(request: &Request) -> Self {
        let value = request.header(b"content-type").unwrap_or_default();
        // The boundary is read from the value as sent, because its case counts.
        let lower = value.to_ascii_lowercase();
        let media = lower.split(|&b| b == b';').next().unwrap_or_default();
        match media.trim_ascii() {
            b"application/x-www-form-urlencoded" => Self::Form,
            b"multipart/form-data" => {
                multipart::boundary(value).map_or(Self::Other, Self::Multipart)
            }
            // `application/problem+json` and its like too, as the CRS recognises JSON.
            media if media.ends_with(b"json") => Self::Json,
            _ => Self::Other,
        }
    }
}

impl Place {
    /// Where arguments stand, each place once.
    pub(super) fn arguments(request: &Request) -> Vec<Self> {
        let (_, query) = split_target(request);
        let mut places: Vec<Self> = names(query).map(Self::Query).collect();
        match Kind::of(request) {
            Kind::Form => places.extend(names(request.body()).map(Self::Form)),
            // A body that is no JSON has no names: rules see it as a whole.
            Kind::Json => {
                let mut found = Vec::new();
                if let Ok(json) = serde_json::from_slice(request.body()) {
                    json_names(&json, "json", &mut found);
                }
                places.extend(found.into_iter().map(|name| Self::Json(name.into_bytes())));
            }
            Kind::Multipart(boundary) => {
                let names = multipart::names(request.body(), &boundary);
                places.extend(names.into_iter().map(Self::Part));
            }
            Kind::Other => {}
        }
        places
    }

    /// Where the value of `COLLECTION:key` stands; None if it is part of what the exclusion is for, or cannot be changed
    /// alone.
    pub(super) fn of(request: &Request, collection: &str, key: Option<&[u8]>) -> Option<Self> {
        match (collection, key) {
            // Without regard to case, as rules find arguments.
            ("ARGS" | "ARGS_GET" | "ARGS_POST", Some(key)) => Self::arguments(request)
                .into_iter()
                .find(|place| place.name().is_some_and(|n| n.eq_ignore_ascii_case(key))),
            ("REQUEST_COOKIES", Some(key)) => Some(Self::Cookie(key.to_vec())),
            ("REQUEST_HEADERS", Some(key)) => Some(Self::Header(key.to_vec())),
            ("FILES" | "FILES_NAMES", Some(key)) => Some(Self::FileName(key.to_vec())),
            // The path is what the exclusion is for, so it stays; only the query can hold another value.
            ("QUERY_STRING" | "REQUEST_URI" | "REQUEST_URI_RAW" | "REQUEST_LINE", _) => {
                Some(Self::AnyQuery)
            }
            ("XML", Some(b"/*")) => Some(Self::Xml),
            ("REQUEST_BODY", _) => Some(Self::Body),
            _ => None,
        }
    }

    /// The name of an argument.
    pub(super) fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Query(name) | Self::Form(name) | Self::Json(name) | Self::Part(name) => {
                Some(name)
            }
            _ => None,
        }
    }

    /// Whether it is what says how the body is read.
    pub(super) fn is_content_type(&self) -> bool {
        matches!(self, Self::Header(name) if name.eq_ignore_ascii_case(b"content-type"))
    }

    /// The same request with a value in this place that no rule stops; None if that is impossible.
    pub(super) fn harmless(&self, request: &Request) -> Option<Request> {
        match self {
            Self::Header(name) if self.is_content_type() => {
                let value = b"application/x-www-form-urlencoded".to_vec();
                let request = with_header(request, name, value)?;
                // A body of another kind would be an attack as a form.
                Some(request.with(request.target(), &headers(&request), Vec::new()))
            }
            // Rules of the CRS check the form of this one.
            Self::Header(name) if name.eq_ignore_ascii_case(b"accept") => {
                self.with(request, b"*/*")
            }
            _ => self.with(request, b"1"),
        }
    }

    /// As a rule names it.
    pub(super) fn words(&self) -> String {
        let (collection, name) = match self {
            Self::Query(name) | Self::Form(name) | Self::Json(name) | Self::Part(name) => {
                ("ARGS:", name.as_slice())
            }
            Self::FileName(name) => ("FILES:", name.as_slice()),
            Self::Cookie(name) => ("REQUEST_COOKIES:", name.as_slice()),
            Self::Header(name) => ("REQUEST_HEADERS:", name.as_slice()),
            Self::AnyQuery => ("QUERY_STRING", &b""[..]),
            Self::Xml => ("XML:/*", &b""[..]),
            Self::Body => ("REQUEST_BODY", &b""[..]),
        };
        format!("{collection}{}", String::from_utf8_lossy(name))
    }

    /// The same request with `value` in this place; None if that is impossible.
    pub(super) fn with(&self, request: &Request, value: &[u8]) -> Option<Request> {
        let body = match self {
            Self::Query(name) => {
                let (path, query) = split_target(request);
                let query = with_pair(query, name, value)?;
                return Some(with_target(request, &[path, b"?", &query].concat()));
            }
            Self::AnyQuery => return Some(with_added_argument(request, value)),
            Self::Cookie(name) => {
                let cookies = request.header(b"cookie")?;
                return with_header(request, b"cookie", with_cookie(cookies, name, value)?);
            }
            Self::Header(name) => {
                // A line end would begin another header field.
                let value = value.iter().copied().filter(|b| !b"\r\n\0".contains(b));
                return with_header(request, name, value.collect());
            }
            Self::Form(name) => with_pair(request.body(), name, value)?,
            Self::Json(name) => {
                let mut json = serde_json::from_slice(request.body()).ok()?;
                // JSON is text: bytes that are none would make the whole body unreadable, which is another attack.
                let value = String::from_utf8_lossy(value);
                set_json(&mut json, "json", name, &value).then_some(())?;
                serde_json::to_vec(&json).ok()?
            }
            Self::Part(name) | Self::FileName(name) => {
                let Kind::Multipart(boundary) = Kind::of(request) else {
                    return None;
                };
                match self {
                    Self::Part(_) => multipart::with(request.body(), &boundary, name, value)?,
                    _ => multipart::with_file_name(request.body(), &boundary, name, value)?,
                }
            }
            Self::Xml => with_xml_text(request.body(), value)?,
            Self::Body => value.to_vec(),
        };
        Some(request.with(request.target(), &headers(request), body))
    }
}

/// The path as sent, and the query.
pub(super) fn split_target(request: &Request) -> (&[u8], &[u8]) {
    let target = request.target();
    match memchr::memchr(b'?', target) {
        Some(at) => {
            let (path, query) = target.split_at(at);
            (path, query.get(1..).unwrap_or_default())
        }
        None => (target, b""),
    }
}

/// The header fields as they may be changed.
pub(super) fn headers(request: &Request) -> Vec<(Vec<u8>, Vec<u8>)> {
    let headers = request.headers();
    headers.map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
}

/// The same request with one more argument in the query, whose name no other has.
pub(super) fn with_added_argument(request: &Request, value: &[u8]) -> Request {
    let (path, query) = split_target(request);
    let known: Vec<Vec<u8>> = names(query).collect();
    // A second argument of a name would be joined with the first, or be counted as one too many.
    let mut free = (0..).map(|n| format!("beside{n}").into_bytes());
    let name = free.find(|name| !known.contains(name)).unwrap_or_default();
    let pair = [&name[..], b"=", &percent_encoded(value)].concat();
    let target = match query {
        b"" => [path, b"?", &pair].concat(),
        query => [path, b"?", query, b"&", &pair].concat(),
    };
    with_target(request, &target)
}

/// The same request for a path below this one.
pub(super) fn with_another_path(request: &Request) -> Request {
    let (path, query) = split_target(request);
    // `//beside` would be judged for its empty segment.
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let mut target = [path, b"/beside"].concat();
    if !query.is_empty() {
        target = [&target[..], b"?", query].concat();
    }
    with_target(request, &target)
}

/// The same request for another host.
pub(super) fn with_another_host(request: &Request) -> Option<Request> {
    with_header(request, b"host", b"beside.example".to_vec())
}

fn with_target(request: &Request, target: &[u8]) -> Request {
    request.with(target, &headers(request), request.body().to_vec())
}

/// The same request with another value in the first header field of this name.
fn with_header(request: &Request, name: &[u8], value: Vec<u8>) -> Option<Request> {
    let mut headers = headers(request);
    let mut fields = headers.iter_mut();
    let field = fields.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    field.1 = value;
    Some(request.with(request.target(), &headers, request.body().to_vec()))
}

#[cfg(test)]
mod tests;
