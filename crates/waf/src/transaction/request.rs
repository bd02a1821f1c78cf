//! What a request brings: its line, headers, cookies and query arguments.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::Transaction;
use crate::body::{cookies, urlencoded};
use crate::rule::Processor;
use crate::variables::Slice;

/// Arguments, files and headers stay within `u32` positions; a request head is bounded by the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub key: Slice,
    pub value: Slice,
}

/// The request as the variables see it.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub line: Slice,
    pub method: Slice,
    /// `REQUEST_URI_RAW`
    pub target: Slice,
    /// Without scheme and authority.
    pub uri: Slice,
    pub path: Slice,
    pub basename: Slice,
    pub query: Option<Slice>,
    pub protocol: Slice,
    pub headers: Vec<Item>,
    pub cookies: Vec<Item>,
    /// Query arguments first, then the body's.
    pub arguments: Vec<Item>,
    pub query_arguments: usize,
    pub too_many_arguments: bool,
    pub urlencoded_error: bool,
    pub body: Body,
}

/// The request's body as the variables see it.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// `REQUEST_BODY`
    pub text: Option<Slice>,
    pub received: u64,
    pub inspected: u64,
    pub length: Option<u64>,
    /// Why inspection stopped short.
    pub reason: Option<String>,
    /// Why the rules were not shown it: somebody chose so.
    pub left_out: Option<String>,
    pub parser: Option<&'static str>,
    /// `REQBODY_ERROR_MSG`; its presence is `REQBODY_ERROR`.
    pub error: Option<Slice>,
    pub over_limit: bool,
    pub files: Vec<Item>,
    pub file_sizes: Vec<Item>,
    pub files_size: u64,
    pub part_headers: Vec<Item>,
    pub multipart: Option<crate::body::multipart::Flags>,
    pub multipart_name: Slice,
    pub multipart_filename: Slice,
    pub xml_text: Option<Slice>,
    pub xml_attributes: Vec<Slice>,
    /// What the rules' paths select: which of them, and the value.
    pub xml_selected: Vec<(u32, Slice)>,
    /// What XML elements and attributes with a secret's name hold; `XML:/*` has lost their names.
    pub xml_secrets: Vec<Slice>,
    /// The beginning of the body for the audit record, where no variable holds it.
    pub excerpt: Option<Slice>,
}

impl Transaction {
    /// The request line: `line` as received without its line end, and its three parts.
    pub fn request_line(&mut self, line: &[u8], method: &[u8], target: &[u8], protocol: &[u8]) {
        self.request.line = self.text.push(line);
        // The parts normally lie in the line: no second copy of a long target.
        let part = |text: &mut crate::variables::Text, from: usize, bytes: &[u8]| match line
            .get(from..from + bytes.len())
            == Some(bytes)
        {
            true => self.request.line.part(from, from + bytes.len()),
            false => text.push(bytes),
        };
        self.request.method = part(&mut self.text, 0, method);
        self.request.target = part(&mut self.text, method.len() + 1, target);
        self.request.protocol = part(&mut self.text, method.len() + target.len() + 2, protocol);
    }

    /// One header as received, in order; surrounding blanks of the value removed.
    pub fn request_header(&mut self, name: &[u8], value: &[u8]) {
        let key = self.text.push(name);
        let value = self.text.push(value);
        self.request.headers.push(Item { key, value });
    }

    pub(super) fn read_request_head(&mut self) {
        self.split_target();
        self.read_cookies();
        self.read_query();
        self.controls.processor = self.processor_by_type();
    }

    /// From phase 2 on Apache's path is decoded once, and with it `REQUEST_FILENAME` and `REQUEST_BASENAME`
    /// (httpd's `ap_process_request_internal` runs between ModSecurity's first two phases). `+` stays.
    pub(super) fn decode_path(&mut self) {
        let raw = self.text.at(self.request.path);
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
        let path = self.text.push(&path);
        let bytes = self.text.at(path);
        let slash = memchr::memrchr2(b'/', b'\\', bytes);
        self.request.basename = path.part(slash.map_or(0, |i| i + 1), bytes.len());
        self.request.path = path;
    }

    fn split_target(&mut self) {
        let target = self.request.target;
        let bytes = self.text.at(target);
        let start = origin_start(bytes);
        let question = memchr::memchr(b'?', &bytes[start..]).map(|i| i + start);
        let end = question.unwrap_or(bytes.len());
        let slash = memchr::memrchr2(b'/', b'\\', &bytes[start..end]);
        let basename = slash.map_or(start, |i| start + i + 1);
        let length = bytes.len();
        self.request.uri = target.part(start, length);
        self.request.path = target.part(start, end);
        self.request.basename = target.part(basename, end);
        self.request.query = question.map(|q| target.part(q + 1, length));
    }

    fn read_cookies(&mut self) {
        let version = match self.rules.settings().cookie_version {
            0 => cookies::Version::V0,
            _ => cookies::Version::V1,
        };
        for index in 0..self.request.headers.len() {
            let header = self.request.headers[index];
            if !self.text.at(header.key).eq_ignore_ascii_case(b"cookie") {
                continue;
            }
            let mut found = Vec::new();
            cookies::parse(self.text.at(header.value), version, &mut |name, value| {
                found.push((name.to_vec(), value.to_vec()));
            });
            for (name, value) in found {
                let key = self.text.push(&name);
                let value = self.text.push(&value);
                self.request.cookies.push(Item { key, value });
            }
        }
    }

    fn read_query(&mut self) {
        if let Some(query) = self.request.query {
            let query = self.text.at(query).to_vec();
            self.add_urlencoded(&query);
        }
        self.request.query_arguments = self.request.arguments.len();
        self.judge_arguments();
    }

    /// Adds the arguments of a query or a form.
    pub(super) fn add_urlencoded(&mut self, input: &[u8]) {
        let settings = self.rules.settings();
        let room = settings
            .arguments_limit
            .saturating_sub(self.request.arguments.len());
        let separator = settings.argument_separator;
        let (text, arguments) = (&mut self.text, &mut self.request.arguments);
        let outcome = urlencoded::parse(input, separator, room, &mut |name, value| {
            let key = text.push(name);
            let value = text.push(value);
            arguments.push(Item { key, value });
        });
        self.request.urlencoded_error |= outcome.invalid_encoding;
        self.request.too_many_arguments |= outcome.truncated;
    }

    /// Urlencoded and multipart by the beginning of Content-Type; where the rule set says so, JSON and XML too.
    fn processor_by_type(&self) -> Option<Processor> {
        let value = &self.request_type().value[..];
        let starts = |prefix: &[u8]| {
            value
                .get(..prefix.len())
                .is_some_and(|v| v.eq_ignore_ascii_case(prefix))
        };
        if starts(b"application/x-www-form-urlencoded") {
            return Some(Processor::Urlencoded);
        }
        if starts(b"multipart/form-data") {
            return Some(Processor::Multipart);
        }
        if !self.rules.default_processors {
            return None;
        }
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
    memchr::memchr2(b'/', b'?', &target[authority..]).map_or(target.len(), |i| authority + i)
}
