//! A transaction -> its audit record.

use std::time::SystemTime;

use super::request::Item;
use super::{MatchedRule, Transaction};
use crate::audit::{
    Ending, Facts, File, Inspected, MOST_BODY, MOST_VALUE, Message, Record, Request, Response,
    Score, Verdict, http_date, mask, text,
};
use crate::rule::Processor;
use crate::settings::AuditEngine;
use crate::settings::EngineMode;
use crate::variables::{Slice, Variable};

/// Headers and files of a record; a head is bounded by the listener, a multipart body by its own limits.
const MOST_ITEMS: usize = 256;

impl Transaction {
    /// What happened, for the audit log; None where `SecAuditEngine` does not ask for this transaction.
    /// Call it after [`Transaction::finish`].
    #[must_use]
    pub fn audit_record(&mut self) -> Option<Record> {
        if !self.matters() {
            return None;
        }
        let settings = self.rules.settings();
        let (format, components) = (settings.audit.format, settings.component_signatures.clone());
        Some(Record {
            format,
            time: SystemTime::now(),
            unique_id: self.connection.unique_id.clone(),
            client: self.connection.client,
            server: self.connection.server,
            engine: self.engine,
            components,
            request: self.recorded_request(),
            response: self.recorded_response(),
            messages: self.asks_for('H').then(|| {
                self.matched_rules
                    .iter()
                    .filter(|m| m.logged || m.interrupting)
                    .map(message)
                    .collect()
            }),
            facts: self.facts(),
        })
    }

    fn matters(&self) -> bool {
        match self.controls.audit_engine {
            _ if self.engine == EngineMode::Off => false,
            AuditEngine::Off => false,
            AuditEngine::On => true,
            AuditEngine::RelevantOnly => {
                let status = self.status().to_string();
                let regex = self.rules.settings().audit.relevant_status.as_ref();
                self.audit_relevant
                    || self.interruption.is_some()
                    // A pattern that gives up records rather more than less.
                    || regex.is_some_and(|r| r.is_match(status.as_bytes()).unwrap_or(true))
            }
        }
    }

    /// What the client was answered, as far as the engine knows.
    fn status(&self) -> u16 {
        match &self.interruption {
            Some(interruption) => interruption.status,
            None => std::str::from_utf8(self.text.at(self.response.status))
                .ok()
                .and_then(|s| s.parse().ok())
                .unwrap_or(0),
        }
    }

    fn asks_for(&self, part: char) -> bool {
        self.controls.audit_parts.contains(part)
    }

    fn recorded_request(&mut self) -> Request {
        let (method, target, protocol) = (
            self.request.method,
            self.request.target,
            self.request.protocol,
        );
        let mut shown = |slice| text(&self.shown_text(slice, MOST_VALUE));
        let (method, uri, protocol) = (shown(method), shown(target), shown(protocol));
        let (host, agent) = (self.first_field("host"), self.first_field("user-agent"));
        let mut shown = |slice: Slice| text(&self.shown_text(slice, MOST_VALUE));
        let (host, user_agent) = (host.map(&mut shown), agent.map(&mut shown));
        let headers = self.request.headers.clone();
        Request {
            method,
            uri,
            protocol,
            host,
            user_agent,
            headers: self
                .asks_for('B')
                .then(|| self.recorded_headers(Variable::RequestHeaders, &headers)),
            body: self.recorded_body(),
            files: self.asks_for('J').then(|| self.recorded_files()),
        }
    }

    fn recorded_headers(&mut self, variable: Variable, headers: &[Item]) -> Vec<(String, String)> {
        headers
            .iter()
            .take(MOST_ITEMS)
            .map(|&item| {
                let name = text(&self.shown_name(item.key, MOST_VALUE));
                (name, text(&self.shown_header(variable, item, MOST_VALUE)))
            })
            .collect()
    }

    /// Part C is the body as it came; part I stands for it where files are to be left out.
    fn recorded_body(&mut self) -> Option<String> {
        let (whole, without_files) = (self.asks_for('C'), self.asks_for('I'));
        if !whole && !without_files {
            return None;
        }
        if !whole && self.controls.processor == Some(Processor::Multipart) {
            return Some(self.recorded_form());
        }
        let body = self.request.body.text.or(self.request.body.excerpt)?;
        Some(text(&self.shown_text(body, MOST_BODY)))
    }

    /// The fields of a multipart body, written as a form.
    fn recorded_form(&mut self) -> String {
        let fields: Vec<Item> = self
            .request
            .arguments
            .get(self.request.query_arguments..)
            .unwrap_or_default()
            .to_vec();
        let mut form = Vec::new();
        for field in fields {
            if form.len() >= MOST_BODY {
                break;
            }
            if !form.is_empty() {
                form.push(b'&');
            }
            let value = self.shown_field(field, MOST_VALUE);
            form.extend_from_slice(&self.shown_name(field.key, MOST_VALUE));
            form.push(b'=');
            form.extend_from_slice(&value);
        }
        form.truncate(MOST_BODY);
        text(&form)
    }

    fn recorded_files(&mut self) -> Vec<File> {
        let body = &self.request.body;
        body.files
            .iter()
            .zip(&body.file_sizes)
            .take(MOST_ITEMS)
            .map(|(file, size)| File {
                name: text(&self.shown_name(file.key, MOST_VALUE)),
                filename: text(&self.shown_name(file.value, MOST_VALUE)),
                size: std::str::from_utf8(self.text.at(size.value))
                    .ok()
                    .and_then(|s| s.parse().ok())
                    .unwrap_or(0),
            })
            .collect()
    }

    fn recorded_response(&mut self) -> Response {
        let headers = self.response.headers.clone();
        let headers = self.asks_for('F').then(|| {
            let mut told = self.recorded_headers(Variable::ResponseHeaders, &headers);
            if !told
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("date"))
            {
                told.push(("Date".to_owned(), http_date(SystemTime::now())));
            }
            told
        });
        let body = self.response.body.filter(|_| self.asks_for('E'));
        Response {
            status: self.status(),
            headers,
            body: body.map(|b| text(&self.shown_text(b, MOST_BODY))),
        }
    }

    fn facts(&self) -> Facts {
        let logged = self.matched_rules.iter().any(|m| m.logged);
        let inspected = |inspection: super::Inspection| {
            let mut inspected = Inspected::from(inspection);
            if let Some(reason) = inspected.reason.as_mut() {
                *reason = text(&mask::masked(reason.as_bytes(), MOST_VALUE));
            }
            inspected
        };
        Facts {
            verdict: match (&self.interruption, logged) {
                (Some(_), _) => Verdict::Block,
                (None, true) => Verdict::Match,
                (None, false) => Verdict::Pass,
            },
            policy: None,
            interruption: self.interruption.as_ref().map(|i| Ending {
                rule_id: i.rule_id,
                phase: i.phase as u8,
                status: i.status,
            }),
            score: Score {
                inbound: self.score(["blocking_inbound_anomaly_score", "anomaly_score"]),
                outbound: self.score(["blocking_outbound_anomaly_score", "outbound_anomaly_score"]),
            },
            body: Inspected {
                parser: Some(self.request_inspection().parser.unwrap_or("none")),
                ..inspected(self.request_inspection())
            },
            response_body: inspected(self.response_inspection()),
            unrecorded_matches: self.unrecorded,
            limits_hit: self.limits_hit,
            matched_rules: self
                .asks_for('K')
                .then(|| self.matched_rules.iter().map(|m| m.rule_id).collect()),
        }
    }

    /// As the CRS's version 4 and version 3 call it.
    fn score(&self, names: [&str; 2]) -> Option<i64> {
        let value = names.into_iter().find_map(|name| self.tx(name))?;
        std::str::from_utf8(&value).ok()?.parse().ok()
    }
}

/// Its texts are masked already.
fn message(rule: &MatchedRule) -> Message {
    let variable = text(&rule.variable);
    let mut matched = format!("Matched \"Operator `{}'", rule.operator);
    if !variable.is_empty() {
        matched += &format!(
            " against variable `{variable}' (Value: `{}')",
            text(&rule.value)
        );
    }
    matched.push('"');
    Message {
        rule_id: rule.rule_id,
        phase: rule.phase as u8,
        message: text(&rule.message),
        data: text(&rule.data),
        matched,
        variable,
        value: text(&rule.value),
        severity: rule.severity,
        file: rule.file.display().to_string(),
        line: rule.line,
        version: text(&rule.version),
        revision: text(&rule.revision),
        tags: rule.tags.iter().map(|t| text(t)).collect(),
        maturity: rule.maturity.unwrap_or(0),
        accuracy: rule.accuracy.unwrap_or(0),
        interrupting: rule.interrupting,
    }
}
