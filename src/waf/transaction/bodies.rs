//! The request's body: limits, decoding, and the processor that fills the variables.

use super::request::Item;
use super::{Allowed, EngineMode, Inspection, Interruption, InterruptionKind, Phase, Transaction};
use crate::waf::audit::{self, mask};
use crate::waf::body::{BodyError, content_coding, json, multipart, xml};
use crate::waf::rule::{AuditEngine, Processor};
use crate::waf::settings::LimitAction;
use crate::waf::steps;

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
            reason: body.reason.clone(),
        }
    }

    pub(super) fn read_request_body(&mut self, body: &[u8]) -> Option<Interruption> {
        self.request.body.received = body.len() as u64;
        if self.engine == EngineMode::Off || self.interruption.is_some() {
            return None;
        }
        if !self.controls.request_body_access {
            self.request.body.reason =
                (!body.is_empty()).then(|| "SecRequestBodyAccess is Off".to_owned());
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
        let coding = self
            .header("content-encoding")
            .map(|h| self.text.at(h).to_vec());
        match coding {
            None => self.process(held),
            Some(coding) => match content_coding::decode(
                &coding,
                held,
                &decode_limits(self.controls.request_body_limit),
            ) {
                Ok(plain) => self.process(&plain),
                Err(_) if steps::is_over() => self.request.body.inspected = 0,
                Err(error) => {
                    self.request.body.inspected = 0;
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

    fn process(&mut self, body: &[u8]) {
        match self.controls.processor {
            Some(Processor::Urlencoded) => {
                self.request.body.text = Some(self.text.push(body));
                self.add_urlencoded(body);
            }
            Some(Processor::Multipart) => self.process_multipart(body),
            Some(Processor::Json) => self.process_json(body),
            Some(Processor::Xml) => self.process_xml(body),
            Some(Processor::Raw) => self.request.body.text = Some(self.text.push(body)),
            None if self.controls.force_request_body => {
                self.request.body.text = Some(self.text.push(body))
            }
            None => {}
        }
        self.keep_excerpt(body);
        self.judge_arguments();
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
        let document = xml::parse(body, &limits);
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
        if let Some(error) = &document.error {
            self.body_error(error);
        }
    }

    fn process_multipart(&mut self, body: &[u8]) {
        let content_type = self
            .header("content-type")
            .map_or_else(Vec::new, |h| self.text.at(h).to_vec());
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
                }
            }
        }
        self.request.body.multipart_name = self.text.push(&found.name);
        self.request.body.multipart_filename = self.text.push(&found.filename);
        self.request.body.multipart = Some(found.flags);
        if let Some(error) = &found.error {
            self.body_error(error);
        } else if let Some(doubt) = found.flags.doubt()
            && !self.rules.asks_for_strict_multipart()
        {
            self.request.body.reason = Some(format!(
                "the upstream may read the multipart body in another way: {doubt}"
            ));
        }
    }

    fn body_error(&mut self, error: &BodyError) {
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
