//! [`Transaction`]: one request's way through the phases.

use std::net::SocketAddr;
use std::sync::Arc;

use super::ruleset::RuleSet;

/// ModSecurity's five processing phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    RequestHeaders = 1,
    RequestBody = 2,
    ResponseHeaders = 3,
    ResponseBody = 4,
    Logging = 5,
}

/// A rule decided that the transaction ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption {
    pub kind: InterruptionKind,
    /// The status to answer with.
    pub status: u16,
    /// 0 where no rule but the engine itself decided (a limit, a parser error).
    pub rule_id: u64,
    pub phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterruptionKind {
    Deny,
    /// Close the connection without an answer.
    Drop,
    /// Answer with this Location.
    Redirect(Vec<u8>),
}

/// A rule that matched and is to be told about.
#[derive(Debug, Clone)]
pub struct MatchedRule {
    pub rule_id: u64,
    pub phase: Phase,
    /// `COLLECTION:name` of the last matching variable, name as it was sent.
    pub variable: Vec<u8>,
    /// Its value as received.
    pub value: Vec<u8>,
    /// Its value after the rule's transformations.
    pub transformed: Vec<u8>,
    pub message: Vec<u8>,
    pub data: Vec<u8>,
    pub severity: Option<u8>,
    pub tags: Vec<Vec<u8>>,
    /// ModSecurity's error-log text of this match, e.g. `Warning. ... [id "942100"] ...`.
    pub log_line: Vec<u8>,
    /// Whether the rule says `log` (or its default does).
    pub logged: bool,
}

/// How much of a body the rules saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    pub received: u64,
    pub inspected: u64,
    /// Why not all of it, in words; None where all was.
    pub reason: Option<String>,
}

/// One request's way through the phases. Feed it in order: connection, request line, headers,
/// [`Transaction::request_headers_done`], body, and so on.
#[derive(Debug)]
pub struct Transaction {
    rules: Arc<RuleSet>,
}

impl Transaction {
    /// `unique_id` becomes `UNIQUE_ID`.
    #[must_use]
    pub fn new(
        rules: Arc<RuleSet>,
        client: SocketAddr,
        server: SocketAddr,
        unique_id: &str,
    ) -> Self {
        let _ = (client, server, unique_id);
        Self { rules }
    }

    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// The request line: `line` as received without its line end, and its three parts.
    pub fn request_line(&mut self, line: &[u8], method: &[u8], target: &[u8], protocol: &[u8]) {
        let _ = (line, method, target, protocol);
    }

    /// One header as received, in order; surrounding blanks of the value removed.
    pub fn request_header(&mut self, name: &[u8], value: &[u8]) {
        let _ = (name, value);
    }

    /// Phase 1.
    pub fn request_headers_done(&mut self) -> Option<Interruption> {
        None
    }

    /// Whether phase 2 wants the body (`SecRequestBodyAccess`, `ctl:requestBodyAccess`).
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        true
    }

    /// Phase 2. `body` is the whole body; empty where there is none.
    pub fn request_body(&mut self, body: &[u8]) -> Option<Interruption> {
        let _ = body;
        None
    }

    /// Phase 3. `protocol` like `HTTP/1.1`.
    pub fn response_headers<'h>(
        &mut self,
        status: u16,
        protocol: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Option<Interruption> {
        let _ = (status, protocol, headers.into_iter().count());
        None
    }

    /// Whether phase 4 wants this response's body: access on and its media type listed.
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        false
    }

    /// Phase 4. `body` is what was held of it; `complete` says whether that is all of it.
    pub fn response_body(&mut self, body: &[u8], complete: bool) -> Option<Interruption> {
        let _ = (body, complete);
        None
    }

    /// Phase 5; always last, also after an interruption.
    pub fn finish(&mut self) {}

    /// What ended it, if anything did.
    #[must_use]
    pub fn interruption(&self) -> Option<&Interruption> {
        None
    }

    /// Rules that matched so far, in order.
    #[must_use]
    pub fn matched_rules(&self) -> &[MatchedRule] {
        &[]
    }

    /// The value of `tx.NAME`.
    #[must_use]
    pub fn tx(&self, name: &str) -> Option<Vec<u8>> {
        let _ = name;
        None
    }

    /// How much of the request's body the rules saw.
    #[must_use]
    pub fn request_inspection(&self) -> Inspection {
        Inspection::default()
    }
}
