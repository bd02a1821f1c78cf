//! The request's body: limits, decoding, and the processor that fills the variables.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::sync::Arc;

use super::fields;
use super::request::Item;
use super::{Allowed, EngineMode, Inspection, Interruption, InterruptionKind, Phase, Transaction};
use crate::audit::{self, mask};
use crate::body::{BodyError, content_coding, excerpt, json, media_type, multipart, xml};
use crate::rule::Processor;
use crate::settings::AuditEngine;
use crate::settings::{LimitAction, UnparsedBodies};
use crate::steps;

/// Parts of a multipart body that are read.
const MOST_PARTS: usize = 4096;
/// Secrets of an XML body that are looked for.
const MOST_SECRETS: usize = 256;
/// Depth of XML elements.
const XML_DEPTH: usize = 512;

impl Transaction {
    /// How much of the request's body the rules saw.
    #[must_use]
    pub fn request_inspection(&self) -> Inspection {
        let body = &self.request.body;
        Inspection {
            received: body.received,
            inspected: body.inspected,
            parser: body.parser,
            reason: body.reason.clone().or_else(|| body.left_out.clone()),
        }
    }

    pub(super) fn read_request_body(&mut self, body: &[u8]) -> Option<Interruption> {
        self.request.body.received = body.len() as u64;
        if self.interruption.is_some() {
            return None;
        }
        let left_out = match () {
            () if body.is_empty() => None,
            () if self.engine == EngineMode::Off => Some("SecRuleEngine is Off"),
            () if !self.controls.request_body_access => Some("SecRequestBodyAccess is Off"),
            () if self.allowed != Allowed::Nothing => {
                Some("a rule allowed the request before its body was looked at")
            }
            () => None,
        };
        self.request.body.left_out = left_out.map(str::to_owned);
        if self.engine == EngineMode::Off || !self.controls.request_body_access {
            return None;
        }
        self.request.body.length = Some(body.len() as u64);
        let Ok(held) = self.within_limits(body) else {
            return self.interruption.clone();
        };
        if held.is_empty() {
            return None;
        }
        self.request.body.inspected = held.len() as u64;
        let coding = fields::list(&self.text, &self.request.headers, "content-encoding");
        match coding {
            None => return self.process(held),
            Some(coding) => match content_coding::decode(
                &coding,
                held,
                &decode_limits(self.controls.request_body_limit.min(self.memory_left)),
            ) {
                Ok(plain) => return self.process(&plain),
                Err(_) if steps::is_over() => self.request.body.inspected = 0,
                Err(error) => {
                    self.request.body.inspected = 0;
                    self.out_of_memory |=
                        error.too_large && self.memory_left < self.controls.request_body_limit;
                    self.body_error(&error.error);
                }
            },
        }
        None
    }

    /// The part of the body that may be inspected; an error where the limit ends the transaction.
    fn within_limits<'b>(&mut self, body: &'b [u8]) -> Result<&'b [u8], ()> {
        let settings = self.rules.settings();
        let whole = self.controls.request_body_limit;
        let without_files = match self.controls.processor {
            Some(Processor::Multipart) => whole,
            _ => settings
                .request_body_no_files_limit
                .unwrap_or(whole)
                .min(whole),
        };
        if body.len() <= without_files {
            return Ok(body);
        }
        self.request.body.over_limit = true;
        let name = if without_files < whole {
            "SecRequestBodyNoFilesLimit"
        } else {
            "SecRequestBodyLimit"
        };
        match settings.request_body_limit_action {
            Some(LimitAction::ProcessPartial) => {
                self.request.body.reason = Some(format!(
                    "only the first {without_files} bytes are inspected ({name})"
                ));
                self.request.body.inspected = without_files as u64;
                Ok(&body[..without_files])
            }
            None if self.rules.passes_uninspected => {
                self.request.body.reason = Some(format!(
                    "only the first {without_files} bytes are inspected ({name})"
                ));
                Ok(&body[..without_files])
            }
            _ => {
                self.request.body.reason = Some(format!(
                    "the body is larger than {without_files} bytes ({name})"
                ));
                if self.engine == EngineMode::On {
                    self.interruption = Some(refusal(413));
                    return Err(());
                }
                Ok(&body[..without_files])
            }
        }
    }

    fn process(&mut self, body: &[u8]) -> Option<Interruption> {
        let mut ended = None;
        if self.request_type().differs {
            self.body_error(&BodyError {
                message: fields::TWO_TYPES.to_owned(),
                offset: 0,
            });
        }
        if let Err(message) = self.check_charset() {
            self.body_error(&BodyError { message, offset: 0 });
        }
        self.request.body.parser = self.controls.processor.map(Processor::word);
        match self.controls.processor {
            Some(Processor::Urlencoded) => {
                self.request.body.text = Some(self.text.push(body));
                self.add_urlencoded(body);
            }
            Some(Processor::Multipart) => self.process_multipart(body),
            Some(Processor::Json) => self.process_json(body),
            Some(Processor::Xml) => self.process_xml(body),
            Some(Processor::Raw) => self.request.body.text = Some(self.text.push(body)),
            None => ended = self.take_unparsed(body),
        }
        self.keep_excerpt(body);
        self.judge_arguments();
        ended
    }

    /// Rules read ASCII and what is like it: the same attack in UTF-16 or EBCDIC is another to them. Multipart bodies
    /// see to their Content-Type themselves, and XML documents to their charset.
    fn check_charset(&self) -> Result<(), String> {
        let kind = self.request_type().value;
        let charset = match self.controls.processor {
            Some(Processor::Multipart) => media_type::charset(&kind).unwrap_or(None),
            Some(Processor::Raw) | None => None,
            Some(_) => media_type::charset(&kind)?,
        };
        let is_xml = self.controls.processor == Some(Processor::Xml);
        match charset.filter(|charset| !is_xml && !media_type::holds_ascii(charset)) {
            None => Ok(()),
            Some(charset) => Err(format!("the charset {} is not read", excerpt(charset))),
        }
    }

    /// A body that no parser takes apart: the policy says what it is to the rules.
    fn take_unparsed(&mut self, body: &[u8]) -> Option<Interruption> {
        let choice = self.rules.unparsed_bodies;
        let forced = self.controls.force_request_body;
        // Nothing is copied that no rule looks at.
        let looks = self.rules.looks_at_bytes();
        let shown = match choice {
            Some(UnparsedBodies::Inspect | UnparsedBodies::Block) => forced || looks,
            Some(UnparsedBodies::Pass) => false,
            None => forced,
        };
        if shown {
            self.request.body.text = Some(self.text.push(body));
        }
        let why = match choice {
            Some(UnparsedBodies::Pass) => "unparsed_bodies = \"pass\"",
            Some(UnparsedBodies::Block) => "unparsed_bodies = \"block\"",
            _ if !looks => "no rule looks at REQUEST_BODY",
            _ if !shown => "no rule asks for its bytes",
            _ => return None,
        };
        self.request.body.inspected = 0;
        let reason = || format!("no parser takes {}: {why}", self.kind_of_body());
        let reason = reason();
        self.request.body.left_out.get_or_insert(reason);
        let refuses = choice == Some(UnparsedBodies::Block)
            && self.engine == EngineMode::On
            && self.allowed == Allowed::Nothing;
        if refuses {
            self.interruption = Some(refusal(415));
        }
        self.interruption.clone()
    }

    /// For people.
    fn kind_of_body(&self) -> String {
        match &self.request_type().value[..] {
            [] => "a body without a Content-Type".to_owned(),
            value => format!("a body of the type {}", excerpt(value)),
        }
    }

    /// More arguments than the limit, in the query or the body, are an error of the body, as in ModSecurity v2.
    pub(super) fn judge_arguments(&mut self) {
        if self.request.too_many_arguments && self.request.body.error.is_none() {
            self.body_error(&BodyError {
                message: "SecArgumentsLimit exceeded".to_owned(),
                offset: 0,
            });
        }
    }

    /// Only where a record may be written and no variable holds the body.
    fn keep_excerpt(&mut self, body: &[u8]) {
        if self.request.body.text.is_none() && self.controls.audit_engine != AuditEngine::Off {
            let excerpt = &body[..body.len().min(audit::MOST_BODY)];
            self.request.body.excerpt = Some(self.text.push(excerpt));
        }
    }

    fn process_json(&mut self, body: &[u8]) {
        let settings = self.rules.settings();
        let (depth, most) = (settings.json_depth_limit, settings.arguments_limit);
        let room = most.saturating_sub(self.request.arguments.len());
        let (text, arguments) = (&mut self.text, &mut self.request.arguments);
        let result = json::parse(body, depth, room, &mut |name, value| {
            let key = text.push(name);
            let value = text.push(value);
            arguments.push(Item { key, value });
        });
        if let Err(error) = result
            && !steps::is_over()
        {
            self.body_error(&error);
        }
    }

    fn process_xml(&mut self, body: &[u8]) {
        let limits = xml::Limits {
            depth: XML_DEPTH,
            ..xml::Limits::default()
        };
        let kind = self.request_type().value;
        // What cannot be told has been said to be an error.
        let charset = media_type::charset(&kind).unwrap_or(None);
        let rules = Arc::clone(&self.rules);
        let document = xml::parse_as(body, charset, &rules.xml_paths, &limits);
        if steps::is_over() {
            return;
        }
        if self.masks() {
            let (text, found) = (&mut self.text, &mut self.request.body.xml_secrets);
            mask::secrets(body, &mut |range| {
                let mut learn = |secret: &[u8]| {
                    if found.len() < MOST_SECRETS {
                        found.push(text.push(secret));
                    }
                };
                let secret = unquoted(body[range].trim_ascii());
                learn(secret);
                // Rules see the text of what is in it, without tags and references.
                if secret.iter().any(|b| b"<&".contains(b)) {
                    let inner = xml::parse(&[b"<s>", secret, b"</s>"].concat(), &limits);
                    learn(inner.text.trim_ascii());
                    inner.attributes.iter().for_each(|value| learn(value));
                }
            });
        }
        self.request.body.xml_text = Some(self.text.push(&document.text));
        let text = &mut self.text;
        self.request.body.xml_attributes =
            document.attributes.iter().map(|a| text.push(a)).collect();
        self.request.body.xml_selected = document
            .selected
            .iter()
            .map(|(path, value)| (*path, text.push(value)))
            .collect();
        if let Some(error) = &document.error {
            self.body_error(error);
        }
    }

    fn process_multipart(&mut self, body: &[u8]) {
        let content_type = self.request_type().value;
        let limits = multipart::Limits {
            parts: MOST_PARTS,
            files: self.rules.settings().upload_file_limit,
            ..multipart::Limits::default()
        };
        let found = multipart::parse(&content_type, body, &limits);
        if steps::is_over() {
            return;
        }
        let most = self.rules.settings().arguments_limit;
        // Behind the files themselves, whose sizes stand in the same order.
        let mut other_files = Vec::new();
        for part in &found.parts {
            let key = self.text.push(&part.name);
            for header in &part.headers {
                let value = self.text.push(header);
                self.request.body.part_headers.push(Item { key, value });
            }
            let content = body.get(part.content.clone()).unwrap_or_default();
            match &part.filename {
                Some(filename) => {
                    let value = self.text.push(filename);
                    for other in &part.other_filenames {
                        let value = self.text.push(other);
                        other_files.push(Item { key, value });
                    }
                    let size = self
                        .text
                        .push_number(i64::try_from(content.len()).unwrap_or(i64::MAX));
                    self.request.body.files.push(Item { key, value });
                    self.request.body.file_sizes.push(Item { key, value: size });
                    self.request.body.files_size += content.len() as u64;
                }
                None if self.request.arguments.len() >= most => {
                    self.request.too_many_arguments = true
                }
                None => {
                    let value = self.text.push(content);
                    self.request.arguments.push(Item { key, value });
                    self.add_other_readings(part, Item { key, value });
                }
            }
        }
        self.request.body.files.append(&mut other_files);
        self.request.body.multipart_name = self.text.push(&found.name);
        self.request.body.multipart_filename = self.text.push(&found.filename);
        self.request.body.multipart = Some(found.flags);
        if let Some(error) = &found.error {
            self.body_error(error);
        } else if let Some(doubt) = found.flags.doubt()
            && !self.rules.judges_multipart(&found.flags)
        {
            self.request.body.reason = Some(format!(
                "the upstream may read the multipart body in another way: {doubt}"
            ));
        }
    }

    /// What a field is to a reader that undoes how its name or its content is coded.
    fn add_other_readings(&mut self, part: &multipart::Part<'_>, item: Item) {
        let content = part
            .decoded
            .as_ref()
            .filter(|d| **d != self.text.at(item.value));
        let value = content.map(|content| self.text.push(content));
        if let Some(value) = value {
            let key = item.key;
            self.request.arguments.push(Item { key, value });
        }
        if let Some(name) = &part.other_name {
            let key = self.text.push(name);
            let value = value.unwrap_or(item.value);
            self.request.arguments.push(Item { key, value });
        }
    }

    fn body_error(&mut self, error: &BodyError) {
        // The first says most.
        if self.request.body.error.is_some() {
            return;
        }
        let message = self.text.push(error.message.as_bytes());
        self.request.body.error = Some(message);
        self.request.body.reason = Some(error.to_string());
    }

    /// Where inspection stopped short and no rule decided, the policy's written choice applies.
    pub(super) fn judge_inspection(&mut self) -> Option<Interruption> {
        self.request.body.reason.as_ref()?;
        let skipped_on_purpose = !self.controls.request_body_access
            && !self.request.too_many_arguments
            || self.allowed != Allowed::Nothing;
        if self.engine != EngineMode::On || !self.rules.block_uninspected || skipped_on_purpose {
            return None;
        }
        // A limit action in the rules wins where it speaks.
        let spoken =
            self.rules.settings().request_body_limit_action == Some(LimitAction::ProcessPartial);
        if self.request.body.over_limit && spoken {
            return None;
        }
        let refused = refusal(if self.request.body.over_limit {
            413
        } else {
            400
        });
        self.interruption = Some(refused.clone());
        Some(refused)
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// A decoded body may be as large as an undecoded one, and no bomb.
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
