//! The request's body: limits, decoding, and the processor that fills the variables.
//!
//! If the rules do not see a body whole, [`Inspection::reason`] says why, and the policy decides about the request.

use super::Transaction;
use super::inputs::fields::{self, ContentType};
use super::state::Allowed;
use crate::audit;
use crate::body::media_type::{self, CharsetError};
use crate::body::{BodyError, content_coding, excerpt, multipart, xml};
use crate::outcome::{Inspection, Interruption, InterruptionKind, Phase};
use crate::rule::Processor;
use crate::settings::{AuditEngine, EngineMode, LimitAction, UnparsedBodies};
use crate::steps;

/// Parts of a multipart body that are read. More are an error of the body: each part costs memory for its headers.
const MOST_PARTS: usize = 4096;
/// Depth of XML elements; a deeper document is an error of the body.
const XML_DEPTH: usize = 512;

/// A limit that a body exceeds, in bytes.
#[derive(Debug, Clone, Copy)]
enum BodyLimit {
    /// `SecRequestBodyLimit`
    Whole(usize),
    /// `SecRequestBodyNoFilesLimit`. As in ModSecurity v2, a body that reaches it exceeds it.
    WithoutFiles(usize),
}

impl Transaction {
    /// How much of the request's body the rules saw.
    #[must_use]
    pub fn request_inspection(&self) -> Inspection {
        self.context.inputs().body().inspection()
    }

    pub(super) fn read_request_body(&mut self, body: &[u8]) -> Option<Interruption> {
        let bytes = body.len() as u64;
        self.context.inputs_mut().body_mut().receive(bytes);
        let state = self.context.state();
        // An earlier phase refused the request and reported that; its body is not parsed.
        if state.interruption().is_some() {
            return None;
        }
        let reads = state.mode() != EngineMode::Off && state.controls().request_body_access();
        let left_out = match () {
            () if body.is_empty() => None,
            () if state.mode() == EngineMode::Off => Some("SecRuleEngine is Off"),
            () if !reads => Some("SecRequestBodyAccess is Off"),
            () if state.allowed() != Allowed::Nothing => {
                Some("a rule allowed the request before its body was looked at")
            }
            () => None,
        };
        let request_body = self.context.inputs_mut().body_mut();
        if let Some(reason) = left_out {
            request_body.leave_out(|| reason.to_owned());
        }
        if !reads {
            return None;
        }
        request_body.admit(bytes);
        // The limits count bytes as received, before anything is decoded.
        let Ok(held) = self.within_limits(body) else {
            return self.context.state().interruption().cloned();
        };
        if held.is_empty() {
            return None;
        }
        let (inputs, text) = self.context.inputs_and_text_mut();
        inputs.body_mut().set_inspected(held.len() as u64);
        match fields::list(text, inputs.request().headers(), "content-encoding") {
            None => self.process(held),
            Some(coding) => self.process_coded(&coding, held),
        }
    }

    /// A body with a Content-Encoding.
    fn process_coded(&mut self, coding: &[u8], held: &[u8]) -> Option<Interruption> {
        let limit = self.context.state().controls().request_body_limit();
        let limits = decode_limits(limit.min(self.budget.memory_left()));
        match content_coding::decode(coding, held, &limits) {
            Ok(plain) => return self.process(&plain),
            // Out of time is no error of the body; the budget reports it.
            Err(_) if steps::is_over() => {
                self.context.inputs_mut().body_mut().set_inspected(0);
            }
            // Rules cannot read coded bytes, so none of them counts as inspected.
            Err(error) => {
                self.context.inputs_mut().body_mut().set_inspected(0);
                if error.too_large {
                    self.budget.note_refusal(limit);
                }
                self.context.body_error(&error.error);
            }
        }
        None
    }

    /// The part of the body that may be inspected; an error if the limit ends the transaction.
    fn within_limits<'b>(&mut self, body: &'b [u8]) -> Result<&'b [u8], ()> {
        let whole = self.context.state().controls().request_body_limit();
        let counts = match self.context.state().controls().processor() {
            // Only a multipart body has files, and its parser counts what is none.
            Some(Processor::Multipart) => false,
            Some(_) => true,
            // As in ModSecurity v2, which counts what the rules get to see.
            None => self.shows_unparsed(),
        };
        let limit = match self.no_files_limit().filter(|_| counts) {
            Some(limit) if body.len() >= limit => BodyLimit::WithoutFiles(limit),
            _ if body.len() > whole => BodyLimit::Whole(whole),
            _ => return Ok(body),
        };
        let part = body.get(..limit.bytes()).unwrap_or(body);
        match self.exceed(limit) {
            None => Ok(part),
            Some(_) => Err(()),
        }
    }

    /// `SecRequestBodyNoFilesLimit`, if it is lower than the limit of the whole body.
    fn no_files_limit(&self) -> Option<usize> {
        let whole = self.context.state().controls().request_body_limit();
        let limit = self.rules.settings().request_body_no_files_limit;
        limit.filter(|limit| *limit < whole)
    }

    /// Notes that the body exceeds a limit; an interruption if that ends the transaction.
    fn exceed(&mut self, limit: BodyLimit) -> Option<Interruption> {
        let action = self.rules.settings().request_body_limit_action;
        let is_partial = action == Some(LimitAction::ProcessPartial);
        let request_body = self.context.inputs_mut().body_mut();
        // A directive in the rules wins over the policy.
        if is_partial || action.is_none() && self.rules.passes_uninspected {
            request_body.exceed_limit(limit.cut());
            return None;
        }
        request_body.exceed_limit(limit.exceeded());
        // As in ModSecurity, DetectionOnly refuses nothing and inspects the beginning.
        let state = self.context.state_mut();
        (state.mode() == EngineMode::On).then(|| state.interrupt(refusal(413)))
    }

    fn process(&mut self, body: &[u8]) -> Option<Interruption> {
        let mut ended = None;
        // The body is parsed all the same: rules see more than an error, and DetectionOnly logs what they find.
        if self.request_type().differs {
            self.context.body_error(&BodyError {
                message: fields::TWO_TYPES.to_owned(),
                offset: 0,
            });
        }
        if let Err(error) = self.check_charset() {
            self.context.body_error(&BodyError {
                message: error.to_string(),
                offset: 0,
            });
        }
        let controls = self.context.state().controls();
        let (processor, audit) = (controls.processor(), controls.audit_engine());
        let (inputs, text) = self.context.inputs_and_text_mut();
        inputs.body_mut().set_parser(processor.map(Processor::word));
        match processor {
            Some(Processor::Urlencoded) => {
                inputs.body_mut().show(text, body);
                self.add_urlencoded(body);
            }
            Some(Processor::Multipart) => ended = self.process_multipart(body),
            Some(Processor::Json) => self.process_json(body),
            Some(Processor::Xml) => self.process_xml(body),
            Some(Processor::Raw) => inputs.body_mut().show(text, body),
            None => ended = self.take_unparsed(body),
        }
        // The copy costs memory, so it is made only if an audit record may be written.
        if audit != AuditEngine::Off {
            let (inputs, text) = self.context.inputs_and_text_mut();
            let most = audit::MOST_BODY;
            inputs.body_mut().keep_excerpt(text, body, most);
        }
        self.judge_arguments();
        ended
    }

    fn request_type(&self) -> ContentType {
        let request = self.context.inputs().request();
        request.content_type(self.context.text())
    }

    /// Rules match bytes of ASCII. In UTF-16 or EBCDIC the same attack has other bytes, and an upstream may decode it.
    /// Multipart bodies check their own Content-Type, and the XML parser decodes the charsets that it knows.
    fn check_charset(&self) -> Result<(), CharsetError> {
        let kind = self.request_type().value;
        let processor = self.context.state().controls().processor();
        let charset = match processor {
            // Its parser reads the parameters itself, and reports what is wrong with them.
            Some(Processor::Multipart) => media_type::charset(&kind).unwrap_or(None),
            Some(Processor::Raw) | None => None,
            Some(_) => media_type::charset(&kind)?,
        };
        // The parser of XML is told the charset, and decodes it or reports it.
        let is_xml = processor == Some(Processor::Xml);
        match charset.filter(|charset| !is_xml && !media_type::holds_ascii(charset)) {
            None => Ok(()),
            Some(charset) => Err(CharsetError::Unsupported(excerpt(charset))),
        }
    }

    /// A body without a processor. The policy decides whether rules see its bytes and whether it passes.
    fn take_unparsed(&mut self, body: &[u8]) -> Option<Interruption> {
        let choice = self.rules.unparsed_bodies;
        let looks = self.rules.looks_at_bytes();
        let shown = self.shows_unparsed();
        if shown {
            let (inputs, text) = self.context.inputs_and_text_mut();
            inputs.body_mut().show(text, body);
        }
        let why = match choice {
            Some(UnparsedBodies::Pass) => "unparsed_bodies = \"pass\"",
            Some(UnparsedBodies::Block) => "unparsed_bodies = \"block\"",
            _ if !looks => "no rule looks at REQUEST_BODY",
            _ if !shown => "no rule asks for its bytes",
            _ => return None,
        };
        let kind = self.kind_of_body();
        let request_body = self.context.inputs_mut().body_mut();
        request_body.set_inspected(0);
        request_body.leave_out(|| format!("no parser takes {kind}: {why}"));
        let state = self.context.state_mut();
        let refuses = choice == Some(UnparsedBodies::Block)
            && state.mode() == EngineMode::On
            && state.allowed() == Allowed::Nothing;
        if refuses {
            return Some(state.interrupt(refusal(415)));
        }
        state.interruption().cloned()
    }

    /// Whether rules see the bytes of a body without a processor.
    fn shows_unparsed(&self) -> bool {
        let forced = self.context.state().controls().force_request_body();
        match self.rules.unparsed_bodies {
            // The body is copied only if a rule has a target that shows it.
            Some(UnparsedBodies::Inspect | UnparsedBodies::Block) => {
                forced || self.rules.looks_at_bytes()
            }
            Some(UnparsedBodies::Pass) => false,
            None => forced,
        }
    }

    /// In words, for messages.
    fn kind_of_body(&self) -> String {
        match &self.request_type().value[..] {
            [] => "a body without a Content-Type".to_owned(),
            value => format!("a body of the type {}", excerpt(value)),
        }
    }

    /// As in ModSecurity v2, more arguments than `SecArgumentsLimit`, in the query or the body, are an error of the
    /// body.
    pub(super) fn judge_arguments(&mut self) {
        let inputs = self.context.inputs();
        if inputs.arguments().too_many() && inputs.body().error().is_none() {
            self.context.body_error(&BodyError {
                message: "SecArgumentsLimit exceeded".to_owned(),
                offset: 0,
            });
        }
    }

    /// Adds the arguments of a query or a form.
    pub(super) fn add_urlencoded(&mut self, input: &[u8]) {
        let settings = self.rules.settings();
        let (separator, most) = (settings.argument_separator, settings.arguments_limit);
        let (inputs, text) = self.context.inputs_and_text_mut();
        let arguments = inputs.arguments_mut();
        arguments.add_urlencoded(text, input, separator, most);
    }

    fn process_json(&mut self, body: &[u8]) {
        let settings = self.rules.settings();
        let (depth, most) = (settings.json_depth_limit, settings.arguments_limit);
        let (inputs, text) = self.context.inputs_and_text_mut();
        // What was read before an error or the end of the time stays: rules see those arguments.
        let result = inputs.arguments_mut().add_json(text, body, depth, most);
        if let Err(error) = result
            && !steps::is_over()
        {
            self.context.body_error(&error);
        }
    }

    fn process_xml(&mut self, body: &[u8]) {
        let limits = xml::Limits {
            depth: XML_DEPTH,
            ..xml::Limits::default()
        };
        let kind = self.request_type().value;
        // `check_charset` has already reported a charset that cannot be read.
        let charset = media_type::charset(&kind).unwrap_or(None);
        let document = xml::parse_as(body, charset, &self.rules.xml_paths, &limits);
        if steps::is_over() {
            return;
        }
        let (inputs, text) = self.context.inputs_and_text_mut();
        let xml = inputs.body_mut().xml_mut();
        // The variables hold the document's text without element names, so that secrets must be found in the document
        // itself.
        if self.matches.secrets().masks() {
            xml.learn_secrets(text, body, &limits);
        }
        xml.fill(text, &document);
        if let Some(error) = &document.error {
            self.context.body_error(error);
        }
    }

    fn process_multipart(&mut self, body: &[u8]) -> Option<Interruption> {
        let content_type = self.request_type().value;
        let settings = self.rules.settings();
        let (files, most) = (settings.upload_file_limit, settings.arguments_limit);
        let limits = multipart::Limits {
            parts: MOST_PARTS,
            files,
            without_files: self.no_files_limit().unwrap_or(usize::MAX),
            ..multipart::Limits::default()
        };
        let found = multipart::parse(&content_type, body, &limits);
        if steps::is_over() {
            return None;
        }
        if let Some(end) = found.cut_at {
            let ended = self.exceed(BodyLimit::WithoutFiles(limits.without_files));
            if ended.is_some() {
                return ended;
            }
            let request_body = self.context.inputs_mut().body_mut();
            request_body.set_inspected(request_body.inspection().inspected.min(end as u64));
        }
        let (inputs, text) = self.context.inputs_and_text_mut();
        let (request_body, arguments) = inputs.body_and_arguments_mut();
        let multipart = request_body.multipart_mut();
        multipart.fill(text, arguments, &found, body, most);
        if let Some(error) = &found.error {
            self.context.body_error(error);
        } else if let Some(doubt) = found.flags.doubt()
            && !self.rules.judges_multipart(&found.flags)
        {
            request_body.cut_short(|| {
                format!("the upstream may read the multipart body in another way: {doubt}")
            });
        }
        None
    }

    /// If inspection stopped short and no rule decided, the policy decides.
    pub(super) fn judge_inspection(&mut self) -> Option<Interruption> {
        let (inputs, state) = (self.context.inputs(), self.context.state());
        if !inputs.body().is_cut_short() {
            return None;
        }
        let is_over_limit = inputs.body().is_over_limit();
        // Without body access there is no body to judge. Too many arguments may be in the query, which is always read.
        let skipped_on_purpose = !state.controls().request_body_access()
            && !inputs.arguments().too_many()
            || state.allowed() != Allowed::Nothing;
        if state.mode() != EngineMode::On || !self.rules.block_uninspected || skipped_on_purpose {
            return None;
        }
        // A limit action in the rules wins over the policy.
        let action = self.rules.settings().request_body_limit_action;
        if is_over_limit && action == Some(LimitAction::ProcessPartial) {
            return None;
        }
        let status = if is_over_limit { 413 } else { 400 };
        Some(self.context.state_mut().interrupt(refusal(status)))
    }
}

impl BodyLimit {
    fn bytes(self) -> usize {
        let (Self::Whole(bytes) | Self::WithoutFiles(bytes)) = self;
        bytes
    }

    /// Says that only what fits is inspected.
    fn cut(self) -> String {
        match self {
            Self::Whole(most) => {
                format!("only the first {most} bytes are inspected (SecRequestBodyLimit)")
            }
            Self::WithoutFiles(most) => format!(
                "only the first {most} bytes without files are inspected (SecRequestBodyNoFilesLimit)"
            ),
        }
    }

    /// Says that the body is too large.
    fn exceeded(self) -> String {
        match self {
            Self::Whole(most) => {
                format!("the body is larger than {most} bytes (SecRequestBodyLimit)")
            }
            Self::WithoutFiles(most) => format!(
                "the body has {most} bytes or more without files (SecRequestBodyNoFilesLimit)"
            ),
        }
    }
}

/// A decoded body may be as large as one that needs no decoding. `ratio` ends a decompression bomb before it fills
/// that.
pub(super) fn decode_limits(output: usize) -> content_coding::Limits {
    content_coding::Limits { output, ratio: 200 }
}

fn refusal(status: u16) -> Interruption {
    Interruption {
        kind: InterruptionKind::Deny,
        status,
        rule_id: 0,
        phase: Phase::RequestBody,
    }
}
