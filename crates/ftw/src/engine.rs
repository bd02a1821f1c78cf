//! Plays a stage in this process: strict checks, engine and backend, without a socket.
//!
//! The order is that of the front door: a request that HTTP forbids never reaches the rules.

#![allow(
    clippy::indexing_slicing,
    reason = "ranges were found in the same bytes"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::backend::reply;
use super::run::{Outcome, Play};
use super::{Stage, TestId};
use http_strict::{BodyFraming, Head, TargetForm, decode_chunked};
use waf::{RuleSet, Transaction};

/// What the `UNIQUE_ID` of a test's transaction begins with; the test's id follows.
pub const TEST_NAME: &str = "test-";

/// Sends the raw bytes through the front door's strictness and the engine, and plays the backend.
#[derive(Debug, Clone)]
pub struct InProcess {
    rules: Arc<RuleSet>,
    client: SocketAddr,
}

impl InProcess {
    /// Plays against these rules.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>) -> Self {
        // The CRS makes exceptions for requests from the host itself, so the client has another address.
        let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 40_000);
        Self { rules, client }
    }

    /// The same with requests that come from this address.
    #[must_use]
    pub fn with_client(self, client: SocketAddr) -> Self {
        Self { client, ..self }
    }

    /// Plays raw bytes; `name` becomes the transaction's `UNIQUE_ID`.
    #[must_use]
    pub fn send(&self, raw: &[u8], name: &str) -> Outcome {
        let head = match Head::parse(raw) {
            Ok(head) => head,
            Err(error) => {
                return Outcome {
                    status: Some(error.status),
                    note: Some(format!("refused before the rules: {error}")),
                    ..Outcome::default()
                };
            }
        };
        let body = read_body(&head, &raw[head.length..]);
        let mut transaction = self.begin(raw, &head, name);
        let status = transaction.request_headers_done().map(|i| i.status);
        let (reply, note) = match (status, body) {
            (Some(status), _) => (Some((status, Vec::new())), None),
            (None, Body::Whole(body)) => {
                (Some(exchange(&mut transaction, raw, &head, &body)), None)
            }
            (None, Body::Malformed(why)) => (Some((400, Vec::new())), Some(why)),
            (None, Body::Incomplete) => (None, Some("the body never ends".to_owned())),
        };
        // Phase 5 runs in any case: rules of the CRS sum up there what others found, also after a refusal.
        transaction.finish();
        Outcome::of(&transaction, reply, note)
    }

    /// A transaction that has received the head of `raw`; no phase has run.
    #[must_use]
    pub fn begin(&self, raw: &[u8], head: &Head, name: &str) -> Transaction {
        let server = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);
        let mut transaction = Transaction::new(Arc::clone(&self.rules), self.client, server, name);
        transaction.request_line(
            &raw[head.line.clone()],
            &raw[head.method.clone()],
            &raw[head.target.clone()],
            &raw[head.protocol.clone()],
        );
        for (name, value) in &head.headers {
            transaction.request_header(&raw[name.clone()], &raw[value.clone()]);
        }
        transaction
    }
}

impl Play for InProcess {
    fn play(&self, id: &TestId, _number: usize, stage: &Stage) -> Outcome {
        self.send(&stage.request(), &format!("{TEST_NAME}{id}"))
    }
}

/// Phases 2 to 4. The status and the body that the client gets.
fn exchange(transaction: &mut Transaction, raw: &[u8], head: &Head, body: &[u8]) -> (u16, Vec<u8>) {
    if let Some(interruption) = transaction.request_body(body) {
        return (interruption.status, Vec::new());
    }
    let path = match &head.form {
        TargetForm::Origin | TargetForm::Asterisk => head.target.clone(),
        TargetForm::Absolute { path, .. } => path.clone(),
    };
    let method = &raw[head.method.clone()];
    let mut reply = reply(method, &raw[path], body);
    // RFC 9110, 9.3.2: the fields are those of a GET, and there is no body.
    if method == b"HEAD" {
        reply.body.clear();
    }
    let headers = reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()));
    if let Some(interruption) = transaction.response_headers(reply.status, b"HTTP/1.1", headers) {
        return (interruption.status, Vec::new());
    }
    // As the front door, which holds no more of a response than the rules may see.
    let wanted = match transaction.wants_response_body() {
        true => reply.body.len().min(transaction.response_body_limit()),
        false => 0,
    };
    let complete = wanted == reply.body.len();
    if let Some(interruption) = transaction.response_body(&reply.body[..wanted], complete) {
        return (interruption.status, Vec::new());
    }
    (reply.status, reply.body)
}

/// The body that a server reads from the bytes after a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// All of it, decoded if it was chunked.
    Whole(Vec<u8>),
    /// The client stops in the middle; a server waits until its deadline.
    Incomplete,
    /// Its framing is malformed, in the way that the text says.
    Malformed(String),
}

/// Reads the body of a request whose bytes are all there.
#[must_use]
pub fn read_body(head: &Head, rest: &[u8]) -> Body {
    match head.body {
        BodyFraming::None => Body::Whole(Vec::new()),
        BodyFraming::Length(length) => usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
            .map_or(Body::Incomplete, |body| Body::Whole(body.to_vec())),
        BodyFraming::Chunked => match decode_chunked(rest) {
            Ok(body) => Body::Whole(body),
            Err(http_strict::BodyError::Incomplete) => Body::Incomplete,
            Err(error) => Body::Malformed(error.to_string()),
        },
    }
}
