//! [`Transaction`]: one request's way through the phases.

mod audit;
mod bodies;
mod budget;
mod effects;
mod evaluate;
mod expand;
mod fields;
mod masking;
mod memo;
mod pool;
mod probe;
mod propose;
mod report;
mod request;
mod response;
mod trace;
mod tx;
mod values;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::audit::Marks;
use super::operators::Captures;
use super::outcome::{Inspection, Interruption, InterruptionKind, Phase};
use super::prefilter::Row;
use super::rule::{Disruptive, Processor, Removal, RuleSelection};
use super::ruleset::RuleSet;
use super::settings::{AuditEngine, EngineMode, Settings};
use super::variables::{Slice, Text, Value, Variable};
use masking::{Known, Unmarked};
use memo::Memo;
use pool::Buffers;
pub(super) use probe::probe;
use propose::Proposals;
pub use report::MatchedRule;
use request::Request;
use response::Response;
pub use trace::{TraceEvent, TraceKind};
use tx::TxStore;

/// What `allow` still skips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Allowed {
    #[default]
    Nothing,
    /// Phases 1 and 2.
    Request,
    /// All phases but logging.
    Transaction,
}

/// One request's way through the phases. Feed it in order: request line, headers,
/// [`Transaction::request_headers_done`], body, and so on; [`Transaction::finish`] is always last.
#[derive(Debug)]
pub struct Transaction {
    rules: Arc<RuleSet>,
    text: Text,
    started: Instant,
    clock: budget::Clock,
    connection: Connection,
    engine: EngineMode,
    request: Request,
    response: Response,
    tx: TxStore,
    environment: Vec<(Slice, Slice)>,
    /// The key each opened persistent collection was opened with.
    opened: Vec<(Variable, Vec<u8>)>,
    identities: Vec<(Variable, Slice)>,
    controls: Controls,
    allowed: Allowed,
    removed: RuleSelection,
    removed_targets: Vec<Arc<Removal>>,
    matching: Matching,
    memo: Memo,
    proposals: Proposals,
    /// Texts of one value that were looked through for literals, and whose were found.
    scans: Vec<(Slice, Row)>,
    /// Reused where values are collected.
    values: Vec<Value>,
    /// Rules that were reached, where someone asks.
    reached: Option<RuleSelection>,
    /// Values of the stable target lists of this phase, by list.
    lists: Vec<Option<(u32, u32)>>,
    listed: Vec<Value>,
    captures: Captures,
    /// Reused for what a transformation writes.
    scratch: Vec<u8>,
    /// Reused for an operator's argument.
    joined: Vec<u8>,
    /// Where the long names of values already are.
    long_names: HashMap<(Variable, Slice), Slice>,
    highest_severity: u8,
    matched_rules: Vec<MatchedRule>,
    /// Which bytes of `text` are secret.
    marks: Marks,
    known: Option<Known>,
    unmasked: bool,
    /// What was not yet looked through for secrets, in the order it came.
    unmarked: Vec<Unmarked>,
    /// What was put together is made of these.
    pieces: Vec<Slice>,
    /// Matches beyond what is recorded.
    unrecorded: u64,
    limits_hit: u32,
    audit_relevant: bool,
    interruption: Option<Interruption>,
    trace: bool,
    trace_events: Vec<TraceEvent>,
    work: Work,
    /// Bytes that a decoded body may have, whatever its limit says.
    memory_left: usize,
    /// A body was not decoded for want of them.
    out_of_memory: bool,
}

/// How much was done for a transaction: tests prove with it that work grows with the input and not with its square.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Operators evaluated, also to propose a rule.
    pub evaluations: u64,
    pub bytes_tested: u64,
    pub bytes_transformed: u64,
    /// Bytes the prefilter looked at.
    pub bytes_scanned: u64,
    /// Bytes the transaction keeps until it ends.
    pub bytes_held: u64,
}

#[derive(Debug)]
struct Connection {
    client: SocketAddr,
    server: SocketAddr,
    unique_id: String,
}

/// What `ctl:` changed, for this transaction only.
#[derive(Debug)]
struct Controls {
    request_body_access: bool,
    response_body_access: bool,
    processor: Option<Processor>,
    force_request_body: bool,
    request_body_limit: usize,
    response_body_limit: usize,
    audit_engine: AuditEngine,
    audit_parts: String,
    masked: Vec<(Variable, Slice)>,
}

/// The rule that runs and what it matched.
#[derive(Debug, Default)]
struct Matching {
    /// Index of the rule in the rule set.
    rule: Option<u32>,
    /// `MATCHED_VAR`, transformed.
    value: Option<Value>,
    /// `MATCHED_VAR` as received.
    received: Slice,
    /// `MATCHED_VARS` of this chain.
    values: Vec<Value>,
}

impl Controls {
    fn new(settings: &Settings) -> Self {
        Self {
            request_body_access: settings.request_body_access,
            response_body_access: settings.response_body_access,
            processor: None,
            force_request_body: false,
            request_body_limit: settings.request_body_limit,
            response_body_limit: settings.response_body_limit,
            audit_engine: settings.audit.engine,
            audit_parts: settings.audit.parts.clone(),
            masked: Vec::new(),
        }
    }
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
        let settings = rules.settings();
        let mut buffers = Buffers::take();
        let text = rules.literals.share(buffers.text);
        let mut tx = buffers.tx;
        tx.make_slots(rules.names.len());
        for &(slot, value) in &rules.initial {
            tx.set(tx::Name::Slot(slot), tx::Entry::Text(value));
        }
        buffers.lists.resize(rules.list_count, None);
        Self {
            text,
            started: Instant::now(),
            clock: budget::Clock::new(&rules),
            connection: Connection {
                client,
                server,
                unique_id: unique_id.to_owned(),
            },
            engine: settings.engine,
            request: Request {
                headers: buffers.headers,
                cookies: buffers.cookies,
                arguments: buffers.arguments,
                ..Request::default()
            },
            response: Response {
                headers: buffers.response_headers,
                ..Response::default()
            },
            tx,
            environment: Vec::new(),
            opened: Vec::new(),
            identities: Vec::new(),
            controls: Controls::new(settings),
            allowed: Allowed::default(),
            removed: RuleSelection::default(),
            removed_targets: Vec::new(),
            matching: Matching {
                values: buffers.matched,
                ..Matching::default()
            },
            memo: buffers.memo,
            proposals: buffers.proposals,
            scans: buffers.scans,
            values: buffers.values,
            reached: None,
            lists: buffers.lists,
            listed: buffers.listed,
            captures: buffers.captures,
            scratch: buffers.scratch,
            joined: buffers.joined,
            long_names: buffers.long_names,
            highest_severity: 255,
            matched_rules: Vec::new(),
            marks: Marks::default(),
            known: None,
            unmasked: false,
            unmarked: buffers.unmarked,
            pieces: buffers.pieces,
            unrecorded: 0,
            limits_hit: 0,
            audit_relevant: false,
            interruption: None,
            trace: false,
            work: Work::default(),
            memory_left: usize::MAX,
            out_of_memory: false,
            trace_events: Vec::new(),
            rules,
        }
    }

    /// The rule set that it runs under.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// No body is decoded to more than this.
    pub fn limit_memory(&mut self, bytes: usize) {
        self.memory_left = bytes;
    }

    /// Whether a body was not decoded because [`Transaction::limit_memory`] did not let it.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// Bytes that it keeps until it ends: heads, bodies as they were decoded, arguments, and what rules made of them.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        let (request, body) = (&self.request, &self.request.body);
        let items = request.headers.len()
            + request.cookies.len()
            + request.arguments.len()
            + self.response.headers.len()
            + body.files.len()
            + body.file_sizes.len()
            + body.part_headers.len()
            + body.xml_attributes.len()
            + body.xml_selected.len();
        let text = self.text.len().saturating_sub(self.rules.literals.len());
        text + items * size_of::<request::Item>()
    }

    /// Phase 1.
    pub fn request_headers_done(&mut self) -> Option<Interruption> {
        self.within_budget(Phase::RequestHeaders, |t| {
            t.read_request_head();
            t.run(Phase::RequestHeaders)
        })
    }

    /// Whether phase 2 wants the body (`SecRequestBodyAccess`, `ctl:requestBodyAccess`).
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        self.engine != EngineMode::Off && self.controls.request_body_access
    }

    /// Phase 2. `body` is the whole body; empty where there is none.
    pub fn request_body(&mut self, body: &[u8]) -> Option<Interruption> {
        let ended = self.within_budget(Phase::RequestBody, |t| {
            t.decode_path();
            if let Some(interruption) = t.read_request_body(body) {
                return Some(interruption);
            }
            t.run(Phase::RequestBody)
        });
        ended.or_else(|| self.judge_inspection())
    }

    /// Phase 3. `protocol` like `HTTP/1.1`.
    pub fn response_headers<'h>(
        &mut self,
        status: u16,
        protocol: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Option<Interruption> {
        self.within_budget(Phase::ResponseHeaders, |t| {
            t.read_response_head(status, protocol, headers);
            t.run(Phase::ResponseHeaders)
        })
    }

    /// Phase 4. `body` is what was held of it; `complete` says whether that is all of it.
    pub fn response_body(&mut self, body: &[u8], complete: bool) -> Option<Interruption> {
        self.within_budget(Phase::ResponseBody, |t| {
            if let Some(interruption) = t.read_response_body(body, complete) {
                return Some(interruption);
            }
            t.run(Phase::ResponseBody)
        })
    }

    /// Phase 5; always last, also after an interruption.
    pub fn finish(&mut self) {
        self.run(Phase::Logging);
        let rules = Arc::clone(&self.rules);
        self.mask_late(&rules);
    }

    /// What ended it, if anything did.
    #[must_use]
    pub fn interruption(&self) -> Option<&Interruption> {
        self.interruption.as_ref()
    }

    /// Rules that matched so far, in order.
    #[must_use]
    pub fn matched_rules(&self) -> &[MatchedRule] {
        &self.matched_rules
    }

    /// The value of `tx.NAME`.
    #[must_use]
    pub fn tx(&self, name: &str) -> Option<Vec<u8>> {
        let name = self
            .tx
            .find(name.as_bytes(), &self.text, &self.rules.names)?;
        match self.tx.entry(name) {
            tx::Entry::Unset => None,
            tx::Entry::Text(slice) => Some(self.text.at(slice).to_vec()),
            tx::Entry::Number(number) => Some(number.to_string().into_bytes()),
        }
    }

    /// How many operators gave up at a limit.
    #[must_use]
    pub fn limits_hit(&self) -> u32 {
        self.limits_hit
    }

    /// How many matches were counted but not recorded.
    #[must_use]
    pub fn unrecorded_matches(&self) -> u64 {
        self.unrecorded
    }

    #[doc(hidden)]
    #[must_use]
    pub fn work(&self) -> Work {
        let held = self.text.len().saturating_sub(self.rules.literals.len());
        Work {
            bytes_held: held as u64,
            ..self.work
        }
    }

    fn interrupts(&self, disruptive: &Disruptive) -> bool {
        self.engine == EngineMode::On && !matches!(disruptive, Disruptive::Pass)
    }
}
