//! What the upstream answered, as the variables see it.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::bodies::decode_limits;
use super::fields;
use super::request::Item;
use super::{Allowed, EngineMode, Inspection, Interruption, InterruptionKind, Phase, Transaction};
use crate::body::content_coding;
use crate::settings::LimitAction;
use crate::steps;
use crate::variables::Slice;

#[derive(Debug, Default)]
pub(super) struct Response {
    pub status: Slice,
    pub protocol: Slice,
    pub status_line: Slice,
    pub headers: Vec<Item>,
    pub body: Option<Slice>,
    pub over_limit: bool,
    pub inspection: Inspection,
}

impl Transaction {
    pub(super) fn read_response_head<'h>(
        &mut self,
        status: u16,
        protocol: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        self.response.status = self.text.push_number(i64::from(status));
        self.response.protocol = self.text.push(protocol);
        let line = [protocol, b" ", self.text.at(self.response.status)].concat();
        self.response.status_line = self.text.push(&line);
        for (name, value) in headers {
            let key = self.text.push(name);
            let value = self.text.push(value);
            self.response.headers.push(Item { key, value });
        }
    }

    /// Whether phase 4 wants this response's body: access on and its media type listed.
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        if self.engine == EngineMode::Off || !self.controls.response_body_access {
            return false;
        }
        let types = &self.rules.settings().response_body_types;
        let mut values = fields::values(&self.text, &self.response.headers, "content-type")
            .flat_map(|value| self.text.at(value).split(|&b| b == b','))
            .peekable();
        // Where a client could believe one of several, one that is listed is enough.
        if values.peek().is_none() {
            return types.iter().any(|t| t == "null");
        }
        values.any(|value| Self::lists_type(types, value))
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

    /// Bytes of response body worth holding for phase 4.
    #[must_use]
    pub fn response_body_limit(&self) -> usize {
        self.controls.response_body_limit
    }

    /// How much of the response's body the rules saw.
    #[must_use]
    pub fn response_inspection(&self) -> Inspection {
        self.response.inspection.clone()
    }

    pub(super) fn read_response_body(
        &mut self,
        body: &[u8],
        complete: bool,
    ) -> Option<Interruption> {
        self.response.inspection.received = body.len() as u64;
        if !self.wants_response_body() {
            self.response.inspection.reason = (!body.is_empty())
                .then(|| "response bodies of this type are not inspected".to_owned());
            return None;
        }
        let limit = self.controls.response_body_limit;
        let over = body.len() > limit || !complete;
        if over {
            self.response.over_limit = true;
            self.response.inspection.reason = Some(format!(
                "only the first {limit} bytes are inspected (SecResponseBodyLimit)"
            ));
            let rejects = match self.rules.settings().response_body_limit_action {
                Some(action) => action == LimitAction::Reject,
                None => self.rules.block_uninspected,
            };
            if rejects && self.minds_response() {
                return self.refuse_response();
            }
        }
        let held = &body[..body.len().min(limit)];
        let coding = fields::list(&self.text, &self.response.headers, "content-encoding")
            .unwrap_or_default();
        let most = limit.saturating_mul(4);
        let decoded =
            content_coding::decode(&coding, held, &decode_limits(most.min(self.memory_left)));
        if let Err(error) = &decoded {
            self.out_of_memory |= error.too_large && self.memory_left < most;
        }
        let slice = match &decoded {
            Ok(plain) => self.text.push(plain),
            // The phase sees it next.
            Err(_) if steps::is_over() => return None,
            Err(error) => {
                let reason = &mut self.response.inspection.reason;
                reason.get_or_insert_with(|| error.error.message.clone());
                if !over && self.rules.block_uninspected && self.minds_response() {
                    return self.refuse_response();
                }
                // What came out before the end of what was held is better than none.
                match error.decoded.is_empty() {
                    true => self.text.push(held),
                    false => self.text.push(&error.decoded),
                }
            }
        };
        self.response.inspection.inspected = match decoded {
            Err(_) if !over => 0,
            _ => held.len() as u64,
        };
        self.response.body = Some(slice);
        None
    }

    /// Nothing is refused where nothing may be, or where a rule allowed the whole transaction.
    fn minds_response(&self) -> bool {
        self.engine == EngineMode::On && self.allowed != Allowed::Transaction
    }

    fn refuse_response(&mut self) -> Option<Interruption> {
        self.interruption = Some(Interruption {
            kind: InterruptionKind::Deny,
            status: 500,
            rule_id: 0,
            phase: Phase::ResponseBody,
        });
        self.interruption.clone()
    }
}
