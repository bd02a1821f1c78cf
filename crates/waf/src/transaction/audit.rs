//! The audit record of a transaction, with the parts that `SecAuditLogParts` asks for.
//!
//! Every text in it is masked and bounded. Phase 5 must have run: its rules still change the parts and name secrets.

use std::time::SystemTime;

use super::context::Context;
use super::inputs::Item;
use super::matches::{MatchedRule, Matches};
use crate::audit::{
    Ending, Facts, File, Inspected, MOST_BODY, MOST_VALUE, Message, Record, Request, Response,
    Score, Verdict, http_date, mask, text,
};
use crate::outcome::Inspection;
use crate::rule::Processor;
use crate::ruleset::RuleSet;
use crate::settings::{AuditEngine, EngineMode};
use crate::variables::{Slice, Variable};

/// Headers and files of a record. The listener and the multipart parser have their own, larger limits.
const MOST_ITEMS: usize = 256;

/// The record of a transaction; None if `SecAuditEngine` does not ask for it.
pub(super) fn record(rules: &RuleSet, context: &Context, matches: &mut Matches) -> Option<Record> {
    let mut recorder = Recorder {
        rules,
        context,
        matches,
    };
    recorder.is_wanted().then(|| recorder.record())
}

/// What a record is made from.
struct Recorder<'t> {
    rules: &'t RuleSet,
    context: &'t Context,
    matches: &'t mut Matches,
}

impl Recorder<'_> {
    fn record(&mut self) -> Record {
        let settings = self.rules.settings();
        let connection = self.context.inputs().connection();
        Record {
            format: settings.audit.format,
            time: self.context.started_at(),
            unique_id: connection.unique_id().to_owned(),
            client: connection.client(),
            server: connection.server(),
            engine: self.context.state().mode(),
            components: settings.component_signatures.clone(),
            request: self.request(),
            response: self.response(),
            messages: self.asks_for('H').then(|| {
                let records = self.matches.records().iter();
                // `nolog` matches are recorded for a trace only. An interrupting match is shown even so.
                let reported = records.filter(|m| m.logged || m.interrupting);
                reported.map(message).collect()
            }),
            facts: self.facts(),
        }
    }

    fn is_wanted(&self) -> bool {
        let state = self.context.state();
        match state.controls().audit_engine() {
            _ if state.mode() == EngineMode::Off => false,
            AuditEngine::Off => false,
            AuditEngine::On => true,
            AuditEngine::RelevantOnly => {
                let status = self.status().to_string();
                let regex = self.rules.settings().audit.relevant_status.as_ref();
                self.matches.is_audit_relevant()
                    || state.interruption().is_some()
                    // A pattern that reaches a limit does not hide a transaction from the log.
                    || regex.is_some_and(|r| r.is_match(status.as_bytes()).unwrap_or(true))
            }
        }
    }

    /// The status of the answer. After an interruption that is the rule's status, not the one of the upstream.
    fn status(&self) -> u16 {
        match self.context.state().interruption() {
            Some(interruption) => interruption.status,
            None => {
                let status = self.number(self.context.inputs().response().status());
                u16::try_from(status).unwrap_or(0)
            }
        }
    }

    fn asks_for(&self, part: char) -> bool {
        self.context.state().controls().asks_for(part)
    }

    /// A number that was written; 0 if there is none.
    fn number(&self, slice: Slice) -> u64 {
        let digits = std::str::from_utf8(self.context.text().at(slice)).ok();
        digits.and_then(|d| d.parse().ok()).unwrap_or(0)
    }

    /// A text of the transaction; bounded, secrets masked.
    fn text(&mut self, slice: Slice, most: usize) -> String {
        let secrets = self.matches.secrets_mut();
        text(&secrets.shown_text(self.context, slice, most))
    }

    /// A name; bounded, secrets masked.
    fn name(&mut self, slice: Slice) -> String {
        text(&self.name_bytes(slice))
    }

    fn name_bytes(&mut self, slice: Slice) -> Vec<u8> {
        let secrets = self.matches.secrets_mut();
        secrets.shown_name(self.context, slice, MOST_VALUE)
    }

    fn request(&mut self) -> Request {
        let context = self.context;
        let request = context.inputs().request();
        let method = self.text(request.method(), MOST_VALUE);
        let uri = self.text(request.target(), MOST_VALUE);
        let protocol = self.text(request.protocol(), MOST_VALUE);
        let mut field = |name: &str| {
            let value = request.first_field(context.text(), name);
            value.map(|value| self.text(value, MOST_VALUE))
        };
        // Also where part B is not asked for: ECS has fields of its own for these two.
        let (host, user_agent) = (field("host"), field("user-agent"));
        Request {
            method,
            uri,
            protocol,
            host,
            user_agent,
            headers: self
                .asks_for('B')
                .then(|| self.headers(Variable::RequestHeaders, request.headers())),
            body: self.body(),
            files: self.asks_for('J').then(|| self.files()),
        }
    }

    fn headers(&mut self, variable: Variable, headers: &[Item]) -> Vec<(String, String)> {
        headers
            .iter()
            .take(MOST_ITEMS)
            .map(|&item| {
                let secrets = self.matches.secrets_mut();
                let value = secrets.shown_header(self.context, variable, item, MOST_VALUE);
                (self.name(item.key), text(&value))
            })
            .collect()
    }

    /// Part C is the body as received. Part I, if C is not asked for, is the same without the contents of files.
    fn body(&mut self) -> Option<String> {
        let (whole, without_files) = (self.asks_for('C'), self.asks_for('I'));
        if !whole && !without_files {
            return None;
        }
        let processor = self.context.state().controls().processor();
        // Part I exists to leave the contents of files out, which only a multipart body has.
        if !whole && processor == Some(Processor::Multipart) {
            return Some(self.form());
        }
        let body = self.context.inputs().body().recorded()?;
        Some(self.text(body, MOST_BODY))
    }

    /// The fields of a multipart body, written as a form.
    fn form(&mut self) -> String {
        let mut form = Vec::new();
        for &field in self.context.inputs().arguments().of_body() {
            // Bounds the work too, not only the result.
            if form.len() >= MOST_BODY {
                break;
            }
            if !form.is_empty() {
                form.push(b'&');
            }
            let secrets = self.matches.secrets_mut();
            let value = secrets.shown_field(self.context, field, MOST_VALUE);
            form.extend_from_slice(&self.name_bytes(field.key));
            form.push(b'=');
            form.extend_from_slice(&value);
        }
        form.truncate(MOST_BODY);
        text(&form)
    }

    fn files(&mut self) -> Vec<File> {
        let context = self.context;
        let multipart = context.inputs().body().multipart();
        // Other names of the same files stand behind all files and have no size: they are left out.
        let files = multipart.files().iter().zip(multipart.file_sizes());
        files
            .take(MOST_ITEMS)
            .map(|(file, size)| File {
                name: self.name(file.key),
                filename: self.name(file.value),
                size: self.number(size.value),
            })
            .collect()
    }

    fn response(&mut self) -> Response {
        let response = self.context.inputs().response();
        let headers = self.asks_for('F').then(|| {
            let mut headers = self.headers(Variable::ResponseHeaders, response.headers());
            if !headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("date"))
            {
                // The front door adds the field to an answer without one, after the rules have seen it.
                headers.push(("Date".to_owned(), http_date(SystemTime::now())));
            }
            headers
        });
        let body = response.body().filter(|_| self.asks_for('E'));
        Response {
            status: self.status(),
            headers,
            body: body.map(|b| self.text(b, MOST_BODY)),
        }
    }

    fn facts(&self) -> Facts {
        let logged = self.matches.records().iter().any(|m| m.logged);
        let inspected = |inspection: Inspection| {
            let mut inspected = Inspected::from(inspection);
            if let Some(reason) = inspected.reason.as_mut() {
                // A parser quotes what it could not read, and that may be a secret.
                *reason = text(&mask::masked(reason.as_bytes(), MOST_VALUE));
            }
            inspected
        };
        let inputs = self.context.inputs();
        let (body, response) = (inputs.body().inspection(), inputs.response().inspection());
        let interruption = self.context.state().interruption();
        Facts {
            verdict: match (interruption, logged) {
                (Some(_), _) => Verdict::Block,
                (None, true) => Verdict::Match,
                (None, false) => Verdict::Pass,
            },
            policy: None,
            interruption: interruption.map(|i| Ending {
                rule_id: i.rule_id,
                phase: i.phase as u8,
                status: i.status,
            }),
            score: Score {
                inbound: self.score(["blocking_inbound_anomaly_score", "anomaly_score"]),
                outbound: self.score(["blocking_outbound_anomaly_score", "outbound_anomaly_score"]),
            },
            body: Inspected {
                parser: Some(body.parser.unwrap_or("none")),
                ..inspected(body)
            },
            response_body: inspected(response.clone()),
            unrecorded_matches: self.matches.unrecorded(),
            limits_hit: self.context.state().limits_hit(),
            matched_rules: self
                .asks_for('K')
                .then(|| self.matches.records().iter().map(|m| m.rule_id).collect()),
        }
    }

    /// The names are those of the CRS's versions 4 and 3.
    fn score(&self, names: [&str; 2]) -> Option<i64> {
        let value = names
            .into_iter()
            .find_map(|name| self.context.tx(self.rules, name))?;
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
