//! The response of the upstream, as the variables show it.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the bytes that they cut"
)]

use super::fields;
use super::item::Item;
use crate::outcome::Inspection;
use crate::variables::{Slice, Text};

/// A response's head, and its body as far as it was held.
#[derive(Debug, Default)]
pub(crate) struct Response {
    status: Slice,
    protocol: Slice,
    status_line: Slice,
    headers: Vec<Item>,
    body: Option<Slice>,
    over_limit: bool,
    inspection: Inspection,
}

impl Response {
    /// Keeps fields in this buffer, which is empty.
    pub(crate) fn in_buffer(headers: Vec<Item>) -> Self {
        Self {
            headers,
            ..Self::default()
        }
    }

    pub(crate) fn take_buffer(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.headers)
    }

    /// `RESPONSE_STATUS`; empty before there is a response.
    pub(crate) fn status(&self) -> Slice {
        self.status
    }

    pub(crate) fn protocol(&self) -> Slice {
        self.protocol
    }

    pub(crate) fn status_line(&self) -> Slice {
        self.status_line
    }

    pub(crate) fn headers(&self) -> &[Item] {
        &self.headers
    }

    /// `RESPONSE_BODY`, decoded.
    pub(crate) fn body(&self) -> Option<Slice> {
        self.body
    }

    pub(crate) fn is_over_limit(&self) -> bool {
        self.over_limit
    }

    /// How much of its body the rules saw.
    pub(crate) fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// All values of the fields of this name as one.
    pub(crate) fn whole_field(&self, text: &mut Text, name: &str) -> Option<Slice> {
        // Nearly every field stands once, and then its bytes are there already.
        let (first, more) = {
            let mut values = fields::values(text, &self.headers, name);
            (values.next()?, values.next().is_some())
        };
        if !more {
            return Some(first);
        }
        let whole = fields::list(text, &self.headers, name)?;
        Some(text.push(&whole))
    }

    /// Whether its media type is one of these; `null` stands for none. If there are several types, one listed type is
    /// enough: a client may believe any of them.
    pub(crate) fn is_of_type(&self, text: &Text, types: &[String]) -> bool {
        let mut values = fields::values(text, &self.headers, "content-type")
            .flat_map(|value| text.at(value).split(|&b| b == b','))
            .peekable();
        if values.peek().is_none() {
            return types.iter().any(|t| t == "null");
        }
        values.any(|value| lists_type(types, value))
    }

    pub(crate) fn read_head<'h>(
        &mut self,
        text: &mut Text,
        status: u16,
        protocol: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        self.status = text.push_number(i64::from(status));
        self.protocol = text.push(protocol);
        // Without a reason phrase, which HTTP/2 does not have.
        let line = [protocol, b" ", text.at(self.status)].concat();
        self.status_line = text.push(&line);
        for (name, value) in headers {
            let key = text.push(name);
            let value = text.push(value);
            self.headers.push(Item { key, value });
        }
    }

    pub(crate) fn receive(&mut self, bytes: u64) {
        self.inspection.received = bytes;
    }

    /// Its body is not inspected at all.
    pub(crate) fn leave_out(&mut self, reason: Option<String>) {
        self.inspection.reason = reason;
    }

    /// Its body is larger than a limit.
    pub(crate) fn exceed_limit(&mut self, reason: String) {
        self.over_limit = true;
        self.cut_short(|| reason);
    }

    /// Its body is not inspected to its end.
    pub(crate) fn cut_short(&mut self, reason: impl FnOnce() -> String) {
        // The first reason is the cause; what follows from it would only hide it.
        self.inspection.reason.get_or_insert_with(reason);
    }

    /// These bytes become `RESPONSE_BODY`; `inspected` is the number of received bytes that they represent.
    pub(crate) fn show(&mut self, text: &mut Text, body: &[u8], inspected: u64) {
        self.body = Some(text.push(body));
        self.inspection.inspected = inspected;
    }
}

fn lists_type(types: &[String], value: &[u8]) -> bool {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let media = value[..end].trim_ascii();
    match media.is_empty() {
        true => types.iter().any(|t| t == "null"),
        false => types
            .iter()
            .any(|t| t.as_bytes().eq_ignore_ascii_case(media)),
    }
}
