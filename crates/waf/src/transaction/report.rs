//! What is told of a match: in words for the log, in pieces for records.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::{RuleSet, Transaction};
use crate::macros::Template;
use crate::operators::Limit;
use crate::rule::{Rule, SEVERITIES};
use crate::variables::{Slice, Value};

/// Matches of one rule that are recorded; more are counted. A client chooses how many arguments match.
const MOST_PER_RULE: usize = 16;
/// Matches of one transaction that are recorded.
const MOST_PER_TRANSACTION: usize = 1024;
/// Bytes of a value, message or data that are recorded.
const MOST_BYTES: usize = 2048;

/// A rule that matched and is to be told about.
#[derive(Debug, Clone)]
pub struct MatchedRule {
    /// The rule's `id`; 0 for the engine itself.
    pub rule_id: u64,
    /// The phase that it matched in.
    pub phase: super::Phase,
    /// `COLLECTION:name` of the last matching variable, name as it was sent.
    pub variable: Vec<u8>,
    /// Its value as received; bounded.
    pub value: Vec<u8>,
    /// Its value after the rule's transformations; bounded.
    pub transformed: Vec<u8>,
    /// `msg`, macros expanded; bounded.
    pub message: Vec<u8>,
    /// `logdata`, macros expanded; bounded.
    pub data: Vec<u8>,
    /// 0 (emergency) to 7 (debug), an index of [`SEVERITIES`]; None where the rule has none.
    pub severity: Option<u8>,
    /// `tag`, in order, macros expanded.
    pub tags: Vec<Vec<u8>>,
    /// Operator and argument of the last link, for people.
    pub operator: String,
    /// ModSecurity's error-log text of this match: `ModSecurity: Warning. ... [id "942100"] ...`.
    pub log_line: Vec<u8>,
    /// Whether the rule says `log` (or its default does).
    pub logged: bool,
    /// Whether it ended the transaction.
    pub interrupting: bool,
    /// The rule's file.
    pub file: std::path::PathBuf,
    /// The rule's line in it, from 1.
    pub line: u32,
    /// `ver`; empty where the rule has none.
    pub version: Vec<u8>,
    /// `rev`; empty where the rule has none.
    pub revision: Vec<u8>,
    /// `maturity`, 1 to 9; None where the rule has none.
    pub maturity: Option<u8>,
    /// `accuracy`, 1 to 9; None where the rule has none.
    pub accuracy: Option<u8>,
    source: Source,
}

/// What a record was made from, to make it anew when more turns out to be secret.
#[derive(Debug, Clone, Default)]
struct Source {
    received: Slice,
    transformed: Slice,
    message: Vec<Slice>,
    data: Vec<Slice>,
    status: u16,
}

impl Transaction {
    pub(super) fn limit_hit(&mut self, limit: &Limit) {
        self.limits_hit = self.limits_hit.saturating_add(1);
        if self.request.body.reason.is_none() {
            self.request.body.reason = Some(limit.to_string());
        }
    }

    pub(super) fn record(
        &mut self,
        rules: &RuleSet,
        rule: &Rule,
        matched: Option<(Value, Slice)>,
        interrupting: bool,
    ) {
        let of_rule = self
            .matched_rules
            .iter()
            .rev()
            .take_while(|m| m.rule_id == rule.id)
            .count();
        if !interrupting
            && (of_rule >= MOST_PER_RULE || self.matched_rules.len() >= MOST_PER_TRANSACTION)
        {
            self.unrecorded += 1;
            return;
        }
        self.mark_matched();
        if let Some((value, _)) = matched {
            self.trace_found(rules, rule, value.text);
        }
        let about = &rule.about;
        let mut pieces =
            |template: Option<&Template>| template.map_or_else(Vec::new, |t| self.pieces(rules, t));
        let (message, data) = (pieces(about.message.as_ref()), pieces(about.data.as_ref()));
        let (version, revision) = (
            pieces(about.version.as_ref()),
            pieces(about.revision.as_ref()),
        );
        let tags = about
            .tags
            .iter()
            .map(|t| {
                let pieces = self.pieces(rules, t);
                self.put_together(&pieces)
            })
            .collect();
        let mut source = Source {
            message,
            data,
            status: rule.status.unwrap_or(403),
            ..Source::default()
        };
        let mut variable = Vec::new();
        if let Some((value, received)) = matched {
            (source.received, source.transformed) = (received, value.text);
            let name = self.push_name(value);
            variable = self.shown_name(name, MOST_BYTES);
        }
        let test = rule.links.last().and_then(|l| l.test.as_ref());
        let mut record = MatchedRule {
            rule_id: rule.id,
            phase: rule.phase,
            variable,
            value: Vec::new(),
            transformed: Vec::new(),
            message: Vec::new(),
            data: Vec::new(),
            severity: about.severity,
            tags,
            operator: test.map_or_else(
                || "Unconditional match in SecAction".to_owned(),
                |t| t.written.to_string(),
            ),
            log_line: Vec::new(),
            logged: rule.log,
            interrupting,
            file: about.file.to_path_buf(),
            line: about.line,
            version: self.put_together(&version),
            revision: self.put_together(&revision),
            maturity: about.maturity,
            accuracy: about.accuracy,
            source,
        };
        self.write_record(&mut record);
        self.matched_rules.push(record);
    }

    /// Writes again what was recorded, now that more is known to be secret.
    pub(super) fn rewrite_records(&mut self) {
        let mut records = std::mem::take(&mut self.matched_rules);
        for record in &mut records {
            self.write_record(record);
        }
        self.matched_rules = records;
    }

    /// All of a record that a client's bytes reach.
    fn write_record(&mut self, record: &mut MatchedRule) {
        record.value = self.shown(record.source.received, MOST_BYTES);
        record.transformed = self.shown(record.source.transformed, MOST_BYTES);
        record.message = self.put_together(&record.source.message);
        record.data = self.put_together(&record.source.data);
        record.log_line = self.log_line(record);
    }

    fn put_together(&mut self, pieces: &[Slice]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &piece in pieces {
            let room = MOST_BYTES.saturating_sub(bytes.len());
            bytes.extend_from_slice(&self.shown(piece, room));
        }
        self.shown_bytes(bytes)
    }

    fn log_line(&mut self, record: &MatchedRule) -> Vec<u8> {
        let host = self
            .first_field("host")
            .map(|h| self.shown_text(h, MOST_BYTES));
        let uri = self.shown_text(self.request.path, MOST_BYTES);
        let status = record.source.status;
        let mut line = Vec::with_capacity(512);
        line.extend_from_slice(
            format!("[client {}] ", self.connection.client.ip().to_canonical()).as_bytes(),
        );
        line.extend_from_slice(b"ModSecurity: ");
        match record.interrupting {
            true => line.extend_from_slice(
                format!(
                    "Access denied with code {status} (phase {}). ",
                    record.phase as u8
                )
                .as_bytes(),
            ),
            false => line.extend_from_slice(b"Warning. "),
        }
        line.extend_from_slice(b"Operator ");
        escape(record.operator.as_bytes(), &mut line);
        line.extend_from_slice(b" matched");
        if !record.variable.is_empty() {
            line.extend_from_slice(b" at ");
            escape(&record.variable, &mut line);
        }
        line.push(b'.');
        let severity = record
            .severity
            .map(|s| SEVERITIES[usize::from(s.min(7))].as_bytes());
        let (number, id) = (record.line.to_string(), record.rule_id.to_string());
        let fields: [(&str, &[u8]); 7] = [
            ("file", record.file.as_os_str().as_encoded_bytes()),
            ("line", number.as_bytes()),
            ("id", id.as_bytes()),
            ("rev", &record.revision),
            ("msg", &record.message),
            ("data", &record.data),
            ("severity", severity.unwrap_or_default()),
        ];
        for (name, value) in fields {
            field(name, value, &mut line);
        }
        field("ver", &record.version, &mut line);
        for tag in &record.tags {
            field("tag", tag, &mut line);
        }
        field("hostname", &host.unwrap_or_default(), &mut line);
        field("uri", &uri, &mut line);
        field("unique_id", self.connection.unique_id.as_bytes(), &mut line);
        line
    }
}

/// ` [name "value"]`; nothing where there is no value.
fn field(name: &str, value: &[u8], line: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    line.extend_from_slice(b" [");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b" \"");
    escape(value, line);
    line.extend_from_slice(b"\"]");
}

/// A log line holds no byte that a terminal or a parser could take for its own.
fn escape(bytes: &[u8], line: &mut Vec<u8>) {
    let is_plain = |&b: &u8| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\';
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|b| !is_plain(b));
        let (plain, after) = rest.split_at(end.unwrap_or(rest.len()));
        line.extend_from_slice(plain);
        let Some((&byte, after)) = after.split_first() else {
            return;
        };
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
        rest = after;
    }
}
