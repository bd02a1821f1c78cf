//! The request's body: what the variables see of it, and how far it was inspected.

use super::multipart::MultipartBody;
use super::xml::XmlBody;
use crate::body::BodyError;
use crate::outcome::Inspection;
use crate::variables::{Slice, Text};

/// More reasons than this are not kept: a client can cause one for each of its values.
const MOST_REASONS: usize = 4;

/// A request's body. Of several reasons why it is not inspected to its end the first is reported first: later ones are
/// often its consequences.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// `REQUEST_BODY`
    text: Option<Slice>,
    /// The beginning of the body for the audit record, if no variable holds it.
    excerpt: Option<Slice>,
    length: Option<u64>,
    received: u64,
    inspected: u64,
    /// Why inspection stopped short, in order, each one once.
    reasons: Vec<String>,
    /// Why the rules did not see it although nothing failed: a directive, a rule or the policy chose so.
    left_out: Option<String>,
    parser: Option<&'static str>,
    /// `REQBODY_ERROR_MSG`; its presence is `REQBODY_ERROR`.
    error: Option<Slice>,
    over_limit: bool,
    multipart: MultipartBody,
    xml: XmlBody,
}

impl Body {
    /// How much of it the rules saw.
    pub(crate) fn inspection(&self) -> Inspection {
        Inspection {
            received: self.received,
            inspected: self.inspected,
            parser: self.parser,
            reason: match self.reasons.is_empty() {
                true => self.left_out.clone(),
                false => Some(self.reasons.join("; ")),
            },
        }
    }

    pub(crate) fn text(&self) -> Option<Slice> {
        self.text
    }

    /// For the audit record: all of it if a variable holds it, or else its beginning.
    pub(crate) fn recorded(&self) -> Option<Slice> {
        self.text.or(self.excerpt)
    }

    /// `REQUEST_BODY_LENGTH`; None if the rules were not to see the body.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// `REQBODY_ERROR_MSG`
    pub(crate) fn error(&self) -> Option<Slice> {
        self.error
    }

    pub(crate) fn is_over_limit(&self) -> bool {
        self.over_limit
    }

    /// Whether there is a reason why it was not inspected to its end.
    pub(crate) fn is_cut_short(&self) -> bool {
        !self.reasons.is_empty()
    }

    pub(crate) fn multipart(&self) -> &MultipartBody {
        &self.multipart
    }

    pub(crate) fn multipart_mut(&mut self) -> &mut MultipartBody {
        &mut self.multipart
    }

    pub(crate) fn xml(&self) -> &XmlBody {
        &self.xml
    }

    pub(crate) fn xml_mut(&mut self) -> &mut XmlBody {
        &mut self.xml
    }

    pub(crate) fn receive(&mut self, bytes: u64) {
        self.received = bytes;
    }

    /// The rules will see a body of this many bytes.
    pub(crate) fn admit(&mut self, bytes: u64) {
        self.length = Some(bytes);
    }

    pub(crate) fn set_inspected(&mut self, bytes: u64) {
        self.inspected = bytes;
    }

    pub(crate) fn set_parser(&mut self, name: Option<&'static str>) {
        self.parser = name;
    }

    /// It becomes `REQUEST_BODY`.
    pub(crate) fn show(&mut self, text: &mut Text, body: &[u8]) {
        self.text = Some(text.push(body));
    }

    /// Keeps a beginning of it for the audit record, if no variable holds it.
    pub(crate) fn keep_excerpt(&mut self, text: &mut Text, body: &[u8], most: usize) {
        if self.text.is_none() {
            let excerpt = body.get(..most).unwrap_or(body);
            self.excerpt = Some(text.push(excerpt));
        }
    }

    /// It is larger than a limit.
    pub(crate) fn exceed_limit(&mut self, reason: String) {
        self.over_limit = true;
        self.cut_short(|| reason);
    }

    /// A directive, a rule or the policy chose that rules do not see it. The first choice is kept.
    pub(crate) fn leave_out(&mut self, reason: impl FnOnce() -> String) {
        self.left_out.get_or_insert_with(reason);
    }

    /// It is not inspected to its end, or another parser may read it differently from what the rules saw.
    pub(crate) fn cut_short(&mut self, reason: impl FnOnce() -> String) {
        if self.reasons.len() == MOST_REASONS {
            return;
        }
        // Not before: a client could make us write a text for each of its values.
        let reason = reason();
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// It cannot be read. The first error stays: later ones are often its consequences.
    pub(crate) fn fail(&mut self, text: &mut Text, error: &BodyError) {
        if self.error.is_none() {
            self.error = Some(text.push(error.message.as_bytes()));
        }
        self.cut_short(|| error.to_string());
    }
}
