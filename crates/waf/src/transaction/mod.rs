//! [`Transaction`]: one request's way through the phases.
//!
//! It consists of parts, each with its own module and private fields: `context` (the bytes, the `inputs` that were
//! received and the `state` that rules change), `matcher` (whether values match), `matches` (what matched, for records)
//! and `budget`. A part receives the others that it needs as parameters. Only the transaction has them all, and it
//! decides in which order they work.

mod audit;
mod budget;
mod context;
mod effects;
mod evaluate;
mod exclusion_watch;
mod inputs;
mod listing;
mod matcher;
mod matches;
mod pool;
mod probe;
mod request_body;
mod response_body;
mod state;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use super::audit::Record;
use super::body::cookies;
use super::outcome::{Detection, Interruption, InterruptionKind, Phase};
use super::ruleset::RuleSet;
use super::settings::EngineMode;
use super::steps;
use super::variables::{Select, Variable};
use budget::Budget;
use context::Context;
use exclusion_watch::ExclusionWatch;
pub use exclusion_watch::{Use, Watched};
use inputs::Connection;
use matcher::Matcher;
pub use matcher::Work;
use matches::Matches;
pub use matches::{MatchedRule, TraceEvent, TraceKind, mask_known};
use pool::Buffers;
pub(super) use probe::probe;
use state::Allowed;
use watch::Watch;
pub use watch::{RuleTime, RuleTimes};

/// One request's way through the phases. Feed it in order: request line, headers,
/// [`Transaction::request_headers_done`], body, and so on; [`Transaction::finish`] is always last.
#[derive(Debug)]
pub struct Transaction {
    rules: Arc<RuleSet>,
    context: Context,
    matcher: Matcher,
    matches: Matches,
    budget: Budget,
    /// In a box, because almost no transaction has it.
    watch: Option<Box<Watch>>,
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
        let buffers = Buffers::take();
        let connection = Connection::new(client, server, unique_id);
        let mut matcher = buffers.matcher;
        // The buffers may come from a transaction under another rule set.
        matcher.make_lists(rules.list_count);
        let mut transaction = Self {
            context: Context::new(&rules, connection, buffers.context),
            matcher,
            matches: Matches::new(&rules),
            budget: Budget::new(&rules),
            watch: None,
            rules,
        };
        transaction.exclude_standing();
        transaction
    }

    /// The rule set that it runs under.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Limits each body to this many bytes after decoding, whatever `SecRequestBodyLimit` allows.
    pub fn limit_memory(&mut self, bytes: usize) {
        self.budget.limit_memory(bytes);
    }

    /// Whether a body was not decoded because of [`Transaction::limit_memory`].
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.budget.is_out_of_memory()
    }

    /// Bytes that it keeps until it ends: heads, decoded bodies, arguments, and text that rules made of them.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.context.own_text_len(&self.rules) + self.context.inputs().list_bytes()
    }

    /// The request line: `line` as received without its line end, and its three parts.
    pub fn request_line(&mut self, line: &[u8], method: &[u8], target: &[u8], protocol: &[u8]) {
        let (inputs, text) = self.context.inputs_and_text_mut();
        let request = inputs.request_mut();
        request.read_line(text, line, [method, target, protocol]);
    }

    /// One header as received, in order; surrounding blanks of the value removed.
    pub fn request_header(&mut self, name: &[u8], value: &[u8]) {
        let (inputs, text) = self.context.inputs_and_text_mut();
        inputs.request_mut().add_header(text, name, value);
    }

    /// A claim about the caller that was verified, such as `sub` of a token. Before phase 1.
    pub fn identity(&mut self, name: &[u8], value: &[u8]) {
        let (inputs, text) = self.context.inputs_and_text_mut();
        inputs.add_identity(text, name, value);
    }

    /// The same for a claim that no log and no record may show.
    pub fn secret_identity(&mut self, name: &[u8], value: &[u8]) {
        self.identity(name, value);
        let (_, text) = self.context.inputs_and_text_mut();
        let name = text.push(name);
        let controls = self.context.state_mut().controls_mut();
        controls.mask(Variable::Identity, name);
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
        let state = self.context.state();
        state.mode() != EngineMode::Off && state.controls().request_body_access()
    }

    /// Phase 2. `body` is the whole body; empty if there is none.
    pub fn request_body(&mut self, body: &[u8]) -> Option<Interruption> {
        let ended = self.within_budget(Phase::RequestBody, |t| {
            let (inputs, text) = t.context.inputs_and_text_mut();
            inputs.request_mut().decode_path(text);
            if let Some(interruption) = t.read_request_body(body) {
                return Some(interruption);
            }
            t.run(Phase::RequestBody)
        });
        // Rules come first: a rule on `REQBODY_ERROR` answers with its own id and status. The policy decides only what
        // no rule decided.
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
            let (inputs, text) = t.context.inputs_and_text_mut();
            let response = inputs.response_mut();
            response.read_head(text, status, protocol, headers);
            t.run(Phase::ResponseHeaders)
        })
    }

    /// Phase 4. `body` is the part of it that was held; `complete` says whether that is all of it.
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
        // Not within the time budget: the verdict stands, and a logging rule that did not run would be missing in the
        // records.
        self.run(Phase::Logging);
        self.matches
            .mask_late(&self.rules, &mut self.context, &self.matcher);
    }

    /// What ended it, if anything did.
    #[must_use]
    pub fn interruption(&self) -> Option<&Interruption> {
        self.context.state().interruption()
    }

    /// The first rule that would have ended it, if the rules only detect.
    #[must_use]
    pub fn detection(&self) -> Option<Detection> {
        self.context.state().detection()
    }

    /// The variables and names whose values rules called secret (`sanitise...`), such as `ARGS` and `note`.
    #[must_use]
    pub fn sanitised(&self) -> Vec<(&'static str, Vec<u8>)> {
        let masked = self.context.state().controls().masked().iter();
        let text = self.context.text();
        masked
            .map(|(variable, name)| (variable.name(), text.at(*name).to_vec()))
            .collect()
    }

    /// The values that their names, or `sanitise...`, make secret, for [`mask_known`]; so many bytes of them at most.
    #[must_use]
    pub fn secret_values(&self, most: usize) -> Vec<Vec<u8>> {
        let mut left = most;
        let mut values = matches::secret_values(&self.context);
        // A client chooses how many there are, and how long.
        values.retain(|value| {
            let fits = !value.is_empty() && value.len() <= left;
            left -= if fits { value.len() } else { 0 };
            fits
        });
        values.into_iter().map(<[u8]>::to_vec).collect()
    }

    /// Rules that matched so far, in order.
    #[must_use]
    pub fn matched_rules(&self) -> &[MatchedRule] {
        self.matches.records()
    }

    /// The value of `tx.NAME`.
    #[must_use]
    pub fn tx(&self, name: &str) -> Option<Vec<u8>> {
        self.context.tx(&self.rules, name)
    }

    /// How many operators gave up at a limit.
    #[must_use]
    pub fn limits_hit(&self) -> u32 {
        self.context.state().limits_hit()
    }

    /// How many matches were counted but not recorded.
    #[must_use]
    pub fn unrecorded_matches(&self) -> u64 {
        self.matches.unrecorded()
    }

    #[doc(hidden)]
    #[must_use]
    pub fn work(&self) -> Work {
        Work {
            bytes_held: self.context.own_text_len(&self.rules) as u64,
            ..self.matcher.work()
        }
    }

    /// Shows secrets in the records of this transaction. Only for requests that the operator wrote, never for a
    /// client's.
    pub fn unmask(&mut self) {
        self.matches.secrets_mut().unmask();
    }

    /// Records every match, also of `nolog` rules, and what each match changes. Call it before the first phase.
    pub fn record_trace(&mut self) {
        self.matches.trace_mut().turn_on();
    }

    /// Notes what the rules do, and lets these exclusions not hold, by their places in [`RuleSet::exclusions`]. Call it
    /// before the first phase.
    pub fn watch(&mut self, without: &[usize]) {
        self.watch = Some(Box::new(Watch::Exclusions(ExclusionWatch::new(without))));
        // `new` has added all of them; this time the ones that must not hold are left out.
        self.context.state_mut().exclusions_mut().clear();
        self.exclude_standing();
    }

    /// What was noted since [`Transaction::watch`].
    #[must_use]
    pub fn watched(&self) -> Option<&Watched> {
        self.watch
            .as_deref()?
            .exclusions()
            .map(ExclusionWatch::seen)
    }

    /// The exclusions that hold so far, by their places in [`RuleSet::exclusions`]: those whose rules matched.
    pub fn exclusions(&self) -> impl Iterator<Item = usize> {
        let places = self.context.state().exclusions().places();
        places.iter().map(|&place| place as usize)
    }

    /// Measures how long each rule takes. Each rule then costs a look at the clock, tens of nanoseconds, which its time
    /// includes. Call it before the first phase.
    pub fn time_rules(&mut self) {
        self.watch = Some(Box::new(Watch::clock()));
    }

    /// How long the rules took so far; None without [`Transaction::time_rules`].
    #[must_use]
    pub fn rule_times(&self) -> Option<&RuleTimes> {
        self.watch.as_deref()?.times()
    }

    /// What was recorded, in order.
    #[must_use]
    pub fn trace_events(&self) -> &[TraceEvent] {
        self.matches.trace().events()
    }

    /// The values of a variable as rules see them now: `COLLECTION:name` and value. None if there is no
    /// variable of this name (in any case).
    pub fn variable(&mut self, name: &str) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let variable = Variable::from_name(name)?;
        let context = &mut self.context;
        let mut values = Vec::new();
        context.select(&self.rules, variable, &Select::All, None, &mut values);
        let named = values.into_iter().map(|value| {
            let name = context.push_name(value);
            let text = context.text();
            (text.at(name).to_vec(), text.at(value.text).to_vec())
        });
        Some(named.collect())
    }

    /// What happened, for the audit log; None where `SecAuditEngine` does not ask for this transaction.
    /// Call it after [`Transaction::finish`].
    #[must_use]
    pub fn audit_record(&mut self) -> Option<Record> {
        audit::record(&self.rules, &self.context, &mut self.matches)
    }

    fn exclude_standing(&mut self) {
        if self.rules.standing.is_empty() {
            return;
        }
        let rules = Arc::clone(&self.rules);
        for removal in &rules.standing {
            let watch = self.watch.as_deref_mut().and_then(Watch::exclusions_mut);
            if !watch.is_some_and(|watch| watch.sets_aside(removal)) {
                self.context.state_mut().exclusions_mut().add(removal);
            }
        }
    }

    /// Splits the request's head into the variables.
    fn read_request_head(&mut self) {
        let version = match self.rules.settings().cookie_version {
            0 => cookies::Version::V0,
            _ => cookies::Version::V1,
        };
        let (inputs, text) = self.context.inputs_and_text_mut();
        let request = inputs.request_mut();
        request.split_target(text);
        request.read_cookies(text, version);
        if let Some(query) = request.query() {
            // A copy, because the arguments are appended to the text that holds the query.
            let query = text.at(query).to_vec();
            self.add_urlencoded(&query);
        }
        self.context.inputs_mut().arguments_mut().end_query();
        self.judge_arguments();
        let request = self.context.inputs().request();
        // Before the rules of phase 1, so that their `ctl:requestBodyProcessor` overrides it.
        let processor = request.processor(self.context.text(), self.rules.default_processors);
        let controls = self.context.state_mut().controls_mut();
        controls.set_processor(processor);
    }

    /// Does the work of a phase within the time budget, and applies the policy if the time ran out. Time that passes
    /// between phases does not count.
    fn within_budget(
        &mut self,
        phase: Phase,
        work: impl FnOnce(&mut Self) -> Option<Interruption>,
    ) -> Option<Interruption> {
        let (ended, left) = steps::within(self.budget.left(), || {
            self.budget.begin_work();
            let ended = work(self);
            // If the time ran out in the last value of the last rule, no check has noted it yet.
            if steps::is_over() {
                self.budget.is_overdrawn(&mut self.context);
            }
            self.budget.end_work();
            ended
        });
        self.budget.set_left(left);
        ended.or_else(|| self.judge_budget(phase))
    }

    /// If the time ran out before a rule decided, the policy decides.
    fn judge_budget(&mut self, phase: Phase) -> Option<Interruption> {
        let state = self.context.state_mut();
        let refuses = state.mode() == EngineMode::On
            && self.rules.block_uninspected
            && state.allowed() == Allowed::Nothing;
        if !self.budget.ran_out() || !refuses || state.interruption().is_some() {
            return None;
        }
        Some(state.interrupt(Interruption {
            kind: InterruptionKind::Deny,
            // Not 403: no rule found anything against the request.
            status: 503,
            rule_id: 0,
            phase,
        }))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let buffers = Buffers {
            context: self.context.take_buffers(),
            matcher: std::mem::take(&mut self.matcher),
        };
        buffers.leave();
    }
}
