//! The error-log text of a match.
//!
//! Order, names and quoting are those of ModSecurity v2, because existing log parsers expect them.

use std::net::IpAddr;

use super::matched_rule::MatchedRule;
use crate::rule::SEVERITIES;

/// The request as the text describes it. Secrets are masked in it.
pub(super) struct RequestLine<'t> {
    pub client: IpAddr,
    pub host: Vec<u8>,
    pub uri: Vec<u8>,
    pub unique_id: &'t str,
}

/// The text of this match.
pub(super) fn write(record: &MatchedRule, head: &RequestLine<'_>) -> Vec<u8> {
    let status = record.source.status;
    let mut line = Vec::with_capacity(512);
    line.extend_from_slice(format!("[client {}] ", head.client).as_bytes());
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
        // There are eight names, 0 to 7.
        .and_then(|s| SEVERITIES.get(usize::from(s.min(7))))
        .map(|name| name.as_bytes());
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
    field("hostname", &head.host, &mut line);
    field("uri", &head.uri, &mut line);
    field("unique_id", head.unique_id.as_bytes(), &mut line);
    line
}

/// ` [name "value"]`; nothing if there is no value.
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

/// Escapes every byte that a terminal or a log parser could take for syntax: a client must not forge a line.
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
