//! Rules and a request in, what happened out.

use std::net::SocketAddr;
use std::sync::Arc;

use waf::{EngineMode, Interruption, InterruptionKind, RuleSet, RuleSetBuilder, Transaction};

/// A request and the response to it, written as text.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    pub status: u16,
    pub response_headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub response_body: Vec<u8>,
}

impl Exchange {
    /// `GET /path`, header lines, an empty line, a body; after a line `---` a status, headers and a body.
    /// Without a response it is 200 with an HTML page.
    pub fn parse(text: &str) -> Self {
        let (request, response) = match text.split_once("\n---\n") {
            Some((request, response)) => (request, response),
            None => (text, "200\nContent-Type: text/html\n\n<p>hello</p>"),
        };
        let (line, headers, body) = message(request);
        let (method, target) = line.split_once(' ').expect("METHOD TARGET");
        let (status, response_headers, response_body) = message(response);
        Self {
            method: method.into(),
            target: target.into(),
            headers,
            body,
            status: status.parse().expect("a status"),
            response_headers,
            response_body,
        }
    }

    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

fn message(text: &str) -> (&str, Headers, Vec<u8>) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header");
        (name.as_bytes().to_vec(), value.trim().as_bytes().to_vec())
    };
    (first, lines.map(header).collect(), body.into())
}

/// Engine on; records show values as they are.
pub fn builder(rules: &str) -> RuleSetBuilder {
    RuleSet::builder()
        .engine(EngineMode::On)
        .unmasked()
        .text("t.conf", rules)
}

pub fn build(rules: &str) -> Arc<RuleSet> {
    load(builder(&format!("SecRequestBodyAccess On\n{rules}")))
}

pub fn load(builder: RuleSetBuilder) -> Arc<RuleSet> {
    builder.build().unwrap_or_else(|problems| {
        let text: String = problems.0.iter().map(|p| p.render(false)).collect();
        panic!("the rules do not load:\n{text}")
    })
}

/// The transaction after all phases, played as the proxy plays it.
pub fn play(rules: &Arc<RuleSet>, exchange: &Exchange) -> Transaction {
    play_with(rules, exchange, |_| ())
}

/// The same, with something done to it before the first phase.
pub fn play_with(
    rules: &Arc<RuleSet>,
    exchange: &Exchange,
    prepare: impl FnOnce(&mut Transaction),
) -> Transaction {
    let client: SocketAddr = "192.0.2.7:40000".parse().expect("an address");
    let server: SocketAddr = "198.51.100.1:443".parse().expect("an address");
    let mut t = Transaction::new(Arc::clone(rules), client, server, "unique-1");
    prepare(&mut t);
    let line = [&exchange.method[..], b" ", &exchange.target, b" HTTP/1.1"].concat();
    t.request_line(&line, &exchange.method, &exchange.target, b"HTTP/1.1");
    for (name, value) in &exchange.headers {
        t.request_header(name, value);
    }
    let _ = phases(&mut t, exchange);
    t.finish();
    t
}

fn phases(t: &mut Transaction, exchange: &Exchange) -> Option<Interruption> {
    if let Some(i) = t.request_headers_done() {
        return Some(i);
    }
    let body = if t.wants_request_body() {
        &exchange.body[..]
    } else {
        &[]
    };
    if let Some(i) = t.request_body(body) {
        return Some(i);
    }
    let headers = exchange
        .response_headers
        .iter()
        .map(|(n, v)| (n.as_slice(), v.as_slice()));
    if let Some(i) = t.response_headers(exchange.status, b"HTTP/1.1", headers) {
        return Some(i);
    }
    let whole = &exchange.response_body;
    let held = if t.wants_response_body() {
        whole.len().min(t.response_body_limit())
    } else {
        0
    };
    t.response_body(&whole[..held], held == whole.len())
}

pub fn run(rules: &str, request: &str) -> Transaction {
    play(&build(rules), &Exchange::parse(request))
}

pub fn ids(t: &Transaction) -> Vec<u64> {
    t.matched_rules().iter().map(|m| m.rule_id).collect()
}

/// What ended it: `deny:403@1` (kind, status, phase), or nothing.
pub fn verdict(t: &Transaction) -> String {
    t.interruption().map_or_else(String::new, |i| {
        let kind = match &i.kind {
            InterruptionKind::Deny => "deny".to_owned(),
            InterruptionKind::Drop => "drop".to_owned(),
            InterruptionKind::Redirect(to) => format!("redirect({})", String::from_utf8_lossy(to)),
        };
        format!("{kind}:{}@{}", i.status, i.phase as u8)
    })
}

pub fn tx(t: &Transaction, name: &str) -> Option<String> {
    t.tx(name).map(|v| String::from_utf8_lossy(&v).into_owned())
}

/// `expected`, by words: numbers are the rules that matched, in order; `name=value` and `!name` are TX
/// variables; `deny:403@1` is the verdict (none where there is no such word).
pub fn check(what: &str, rules: &str, request: &str, expected: &str) {
    judge(what, &run(rules, request), expected);
}

pub fn judge(what: &str, t: &Transaction, expected: &str) {
    let (mut wanted_ids, mut wanted_verdict) = (Vec::new(), "");
    for word in expected.split_whitespace() {
        if let Ok(id) = word.parse::<u64>() {
            wanted_ids.push(id);
        } else if let Some(name) = word.strip_prefix('!') {
            assert_eq!(tx(t, name), None, "{what}: tx.{name}");
        } else if word.contains('@') {
            wanted_verdict = word;
        } else {
            let (name, value) = word.split_once('=').expect("name=value");
            assert_eq!(tx(t, name).as_deref(), Some(value), "{what}: tx.{name}");
        }
    }
    assert_eq!(ids(t), wanted_ids, "{what}: rules that matched");
    assert_eq!(verdict(t), wanted_verdict, "{what}: verdict");
}

/// Rows of what, rules, request, expected.
pub type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

pub fn check_all(rows: &[Row<'_>]) {
    for (what, rules, request, expected) in rows {
        check(what, rules, request, expected);
    }
}

/// What a variable's targets are in this phase, as `NAME=value` in order.
pub fn values(t: &Transaction, id: u64) -> Vec<String> {
    t.matched_rules()
        .iter()
        .filter(|m| m.rule_id == id)
        .map(|m| format!("{}={}", m.variable.escape_ascii(), m.value.escape_ascii()))
        .collect()
}
