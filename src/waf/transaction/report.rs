//! What is told of a match: in words for the log, in pieces for records.

use super::{RuleSet, Transaction};
use crate::waf::macros::Template;
use crate::waf::operators::Limit;
use crate::waf::rule::{Rule, Test};
use crate::waf::variables::{Slice, Value};

/// Matches of one rule that are recorded; more are counted. A client chooses how many arguments match.
const MOST_PER_RULE: usize = 16;
/// Matches of one transaction that are recorded.
const MOST_PER_TRANSACTION: usize = 1024;
/// Bytes of a value, message or data that are recorded.
const MOST_BYTES: usize = 2048;

/// A rule that matched and is to be told about.
#[derive(Debug, Clone)]
pub struct MatchedRule {
    pub rule_id: u64,
    pub phase: super::Phase,
    /// `COLLECTION:name` of the last matching variable, name as it was sent.
    pub variable: Vec<u8>,
    /// Its value as received; bounded.
    pub value: Vec<u8>,
    /// Its value after the rule's transformations; bounded.
    pub transformed: Vec<u8>,
    pub message: Vec<u8>,
    pub data: Vec<u8>,
    pub severity: Option<u8>,
    pub tags: Vec<Vec<u8>>,
    /// Operator and argument of the last link, for people.
    pub operator: String,
    /// ModSecurity's error-log text of this match: `ModSecurity: Warning. ... [id "942100"] ...`.
    pub log_line: Vec<u8>,
    /// Whether the rule says `log` (or its default does).
    pub logged: bool,
    /// Whether it ended the transaction.
    pub interrupting: bool,
    pub file: std::path::PathBuf,
    pub line: u32,
    pub version: Vec<u8>,
    pub revision: Vec<u8>,
    pub maturity: Option<u8>,
    pub accuracy: Option<u8>,
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
        if let Some((value, _)) = matched {
            self.trace_found(rules, rule, value.text);
        }
        let about = &rule.about;
        let message = self.expand_optional(rules, about.message.as_ref());
        let data = self.expand_optional(rules, about.data.as_ref());
        let version = self.expand_optional(rules, about.version.as_ref());
        let revision = self.expand_optional(rules, about.revision.as_ref());
        let tags = about
            .tags
            .iter()
            .map(|t| self.expand_bytes(rules, t))
            .collect();
        let (variable, value, transformed) = match matched {
            Some((value, received)) => {
                let name = self.push_name(value);
                (
                    self.bounded(name),
                    self.bounded(received),
                    self.bounded(value.text),
                )
            }
            None => Default::default(),
        };
        let test = rule.links.last().and_then(|l| l.test.as_ref());
        let mut record = MatchedRule {
            rule_id: rule.id,
            phase: rule.phase,
            variable,
            value,
            transformed,
            message,
            data,
            severity: about.severity,
            tags,
            operator: test.map_or_else(
                || "Unconditional match in SecAction".to_owned(),
                |t| self.describe(rules, t),
            ),
            log_line: Vec::new(),
            logged: rule.log,
            interrupting,
            file: about.file.to_path_buf(),
            line: about.line,
            version,
            revision,
            maturity: about.maturity,
            accuracy: about.accuracy,
        };
        record.log_line = self.log_line(&record, self.response_status(rule));
        self.matched_rules.push(record);
    }

    fn expand_optional(&mut self, rules: &RuleSet, template: Option<&Template>) -> Vec<u8> {
        template.map_or_else(Vec::new, |t| self.expand_bytes(rules, t))
    }

    fn expand_bytes(&mut self, rules: &RuleSet, template: &Template) -> Vec<u8> {
        let slice = self.expand(rules, template);
        self.bounded(slice)
    }

    fn bounded(&self, slice: Slice) -> Vec<u8> {
        let bytes = self.text.at(slice);
        bytes[..bytes.len().min(MOST_BYTES)].to_vec()
    }

    fn response_status(&self, rule: &Rule) -> u16 {
        rule.status.unwrap_or(403)
    }

    /// `@rx` as the rule file writes it.
    fn describe(&self, rules: &RuleSet, test: &Test) -> String {
        let argument = match &test.argument {
            Template::Literal(slice) if !slice.is_empty() => {
                format!(" {}", String::from_utf8_lossy(rules.literals.at(*slice)))
            }
            _ => String::new(),
        };
        let not = if test.negated { "!" } else { "" };
        format!("{not}@{}{argument}", test.operator_name)
    }

    fn log_line(&self, record: &MatchedRule, status: u16) -> Vec<u8> {
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
        if let Some(host) = self.header("host") {
            field("hostname", self.text.at(host), &mut line);
        }
        let uri = self.text.at(self.request.path);
        field("uri", &uri[..uri.len().min(MOST_BYTES)], &mut line);
        field("unique_id", self.connection.unique_id.as_bytes(), &mut line);
        line
    }
}

const SEVERITIES: [&str; 8] = [
    "EMERGENCY",
    "ALERT",
    "CRITICAL",
    "ERROR",
    "WARNING",
    "NOTICE",
    "INFO",
    "DEBUG",
];

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
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => line.push(byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
}
