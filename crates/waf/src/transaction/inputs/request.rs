//! The head of a request: its line, header fields and cookies.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the bytes that they cut"
)]

use super::fields::{self, ContentType};
use super::item::Item;
use crate::body::cookies;
use crate::rule::Processor;
use crate::variables::{Slice, Text};

/// A request's head as the variables see it. The listener bounds its size, so that positions fit `u32`.
#[derive(Debug, Default)]
pub(crate) struct Request {
    line: Slice,
    method: Slice,
    target: Slice,
    uri: Slice,
    path: Slice,
    basename: Slice,
    query: Option<Slice>,
    protocol: Slice,
    headers: Vec<Item>,
    cookies: Vec<Item>,
}

impl Request {
    /// Keeps fields and cookies in these buffers, which are empty.
    pub(crate) fn in_buffers(headers: Vec<Item>, cookies: Vec<Item>) -> Self {
        Self {
            headers,
            cookies,
            ..Self::default()
        }
    }

    pub(crate) fn take_buffers(&mut self) -> (Vec<Item>, Vec<Item>) {
        let (headers, cookies) = (&mut self.headers, &mut self.cookies);
        (std::mem::take(headers), std::mem::take(cookies))
    }

    /// `REQUEST_LINE`
    pub(crate) fn line(&self) -> Slice {
        self.line
    }

    pub(crate) fn method(&self) -> Slice {
        self.method
    }

    /// `REQUEST_URI_RAW`
    pub(crate) fn target(&self) -> Slice {
        self.target
    }

    /// `REQUEST_URI`: without scheme and authority.
    pub(crate) fn uri(&self) -> Slice {
        self.uri
    }

    /// `REQUEST_FILENAME`
    pub(crate) fn path(&self) -> Slice {
        self.path
    }

    pub(crate) fn basename(&self) -> Slice {
        self.basename
    }

    /// None if there is no question mark.
    pub(crate) fn query(&self) -> Option<Slice> {
        self.query
    }

    pub(crate) fn protocol(&self) -> Slice {
        self.protocol
    }

    pub(crate) fn headers(&self) -> &[Item] {
        &self.headers
    }

    pub(crate) fn cookies(&self) -> &[Item] {
        &self.cookies
    }

    /// The first field of this name. Only for fields that the front door refuses to see twice, and for log texts.
    pub(crate) fn first_field(&self, text: &Text, name: &str) -> Option<Slice> {
        fields::values(text, &self.headers, name).next()
    }

    pub(crate) fn content_type(&self, text: &Text) -> ContentType {
        fields::content_type(text, &self.headers)
    }

    /// `line` as received without its line end, and its three parts.
    pub(crate) fn read_line(
        &mut self,
        text: &mut Text,
        line: &[u8],
        [method, target, protocol]: [&[u8]; 3],
    ) {
        self.line = text.push(line);
        // The parts normally lie in the line: no second copy of a long target.
        let part = |text: &mut Text, from: usize, bytes: &[u8]| match line
            .get(from..from + bytes.len())
            == Some(bytes)
        {
            true => self.line.part(from, from + bytes.len()),
            false => text.push(bytes),
        };
        self.method = part(text, 0, method);
        self.target = part(text, method.len() + 1, target);
        self.protocol = part(text, method.len() + target.len() + 2, protocol);
    }

    pub(crate) fn add_header(&mut self, text: &mut Text, name: &[u8], value: &[u8]) {
        let key = text.push(name);
        let value = text.push(value);
        self.headers.push(Item { key, value });
    }

    /// Splits the target into path, name and query.
    pub(crate) fn split_target(&mut self, text: &Text) {
        let target = self.target;
        let bytes = text.at(target);
        let start = origin_start(bytes);
        let question = memchr::memchr(b'?', &bytes[start..]).map(|i| i + start);
        let end = question.unwrap_or(bytes.len());
        // A backslash too, as in ModSecurity: a server on Windows takes it for a separator.
        let slash = memchr::memrchr2(b'/', b'\\', &bytes[start..end]);
        let basename = slash.map_or(start, |i| start + i + 1);
        let length = bytes.len();
        self.uri = target.part(start, length);
        self.path = target.part(start, end);
        self.basename = target.part(basename, end);
        self.query = question.map(|q| target.part(q + 1, length));
    }

    pub(crate) fn read_cookies(&mut self, text: &mut Text, version: cookies::Version) {
        for header in &self.headers {
            if !text.at(header.key).eq_ignore_ascii_case(b"cookie") {
                continue;
            }
            // Collected first, because the text cannot grow while it is read.
            let mut found = Vec::new();
            cookies::parse(text.at(header.value), version, &mut |name, value| {
                found.push((name.to_vec(), value.to_vec()));
            });
            for (name, value) in found {
                let key = text.push(&name);
                let value = text.push(&value);
                self.cookies.push(Item { key, value });
            }
        }
    }

    /// From phase 2 on Apache's path is decoded once, and with it `REQUEST_FILENAME` and `REQUEST_BASENAME`
    /// (httpd's `ap_process_request_internal` runs between ModSecurity's first two phases). `+` stays.
    pub(crate) fn decode_path(&mut self, text: &mut Text) {
        let raw = text.at(self.path);
        // Most paths have no escape, and keep their bytes.
        if memchr::memchr(b'%', raw).is_none() {
            return;
        }
        let mut path = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(&byte) = rest.first() {
            let escaped = (byte == b'%')
                .then(|| rest.get(1..3))
                .flatten()
                .and_then(hex_pair);
            path.push(escaped.unwrap_or(byte));
            rest = &rest[if escaped.is_some() { 3 } else { 1 }..];
        }
        let path = text.push(&path);
        let bytes = text.at(path);
        let slash = memchr::memrchr2(b'/', b'\\', bytes);
        self.basename = path.part(slash.map_or(0, |i| i + 1), bytes.len());
        self.path = path;
    }

    /// The body processor that the Content-Type selects: urlencoded and multipart as in ModSecurity; with `defaults`
    /// also JSON and XML, for which ModSecurity needs a rule.
    pub(crate) fn processor(&self, text: &Text, defaults: bool) -> Option<Processor> {
        let value = &self.content_type(text).value[..];
        let starts = |prefix: &[u8]| {
            value
                .get(..prefix.len())
                .is_some_and(|v| v.eq_ignore_ascii_case(prefix))
        };
        // ModSecurity compares these two by prefix, without regard to parameters.
        if starts(b"application/x-www-form-urlencoded") {
            return Some(Processor::Urlencoded);
        }
        if starts(b"multipart/form-data") {
            return Some(Processor::Multipart);
        }
        if !defaults {
            return None;
        }
        // A comma joins two fields; the first type counts, and `content_type` reports that they differ.
        let end = memchr::memchr2(b';', b',', value).unwrap_or(value.len());
        let media = value[..end].trim_ascii().to_ascii_lowercase();
        if media == b"application/json" || media == b"text/json" || media.ends_with(b"+json") {
            return Some(Processor::Json);
        }
        if media == b"application/xml" || media == b"text/xml" || media.ends_with(b"+xml") {
            return Some(Processor::Xml);
        }
        None
    }
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    digits
        .iter()
        // `from_str_radix` alone would take a sign too, as in `%+1`.
        .all(u8::is_ascii_hexdigit)
        .then(|| u8::from_str_radix(text, 16).ok())
        .flatten()
}

/// Where the path of an absolute-form target begins; 0 for the other forms.
fn origin_start(target: &[u8]) -> usize {
    let lower = |prefix: &[u8]| {
        target
            .get(..prefix.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(prefix))
    };
    let authority = if lower(b"http://") {
        7
    } else if lower(b"https://") {
        8
    } else {
        return 0;
    };
    // `http://host?query` has a query and no path.
    memchr::memchr2(b'/', b'?', &target[authority..]).map_or(target.len(), |i| authority + i)
}
