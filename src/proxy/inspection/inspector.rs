//! One request's transaction with the rules, timed and under the policy's mode. A worker calls it for short phases, a
//! thread for inspections for long ones.
//!
//! In mode `detect` the rules decide as in mode `block`, but their decision stops nothing.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use pingora::http::ResponseHeader;

use crate::config::{Policy, PolicyMode};
use crate::events::inbound_score;
use crate::exclusion::is_guard;
use crate::proxy::shared::body_memory::Reservation;
use crate::proxy::shared::inspection_threads::LONG;
use crate::proxy::shared::received::Received;
use crate::proxy::shared::refusal::Refusal;
use crate::telemetry::{BodyFacts, Verdict, WafFacts, batch_lines, text};
use waf::mask_secrets;
use waf::{Phase, Record, Transaction};

/// A transaction and what it cost.
#[derive(Debug)]
pub(crate) struct Inspector {
    transaction: Transaction,
    /// The name of the policy.
    policy: String,
    blocking: bool,
    /// How many of the transaction's matches have been logged.
    logged: usize,
    /// The bytes that the rules have to look at so far; this decides on which thread a phase runs.
    bytes: usize,
    /// The part of the memory for bodies that the transaction takes.
    memory: Reservation,
    /// How many bytes of `memory` were reserved for it.
    counted: usize,
    /// From when to when each phase ran.
    phases: [Option<(Instant, Instant)>; 5],
    /// Spent in the rules so far.
    pub time: Duration,
    pub blocked: bool,
    /// The rules saw the request to its end.
    pub saw_request: bool,
}

impl Inspector {
    #[must_use]
    pub(crate) fn new(transaction: Transaction, policy: &Policy, memory: Reservation) -> Self {
        Self {
            transaction,
            policy: policy.name.clone(),
            blocking: policy.mode == PolicyMode::Block,
            logged: 0,
            bytes: 0,
            memory,
            counted: 0,
            phases: [None; 5],
            time: Duration::ZERO,
            blocked: false,
            saw_request: false,
        }
    }

    /// Takes the head that the phases look at.
    pub(crate) fn read_head(&mut self, received: &Received) {
        self.bytes += received.head_length();
        received.feed(&mut self.transaction);
    }

    /// Notes a body that the next phase will look at. The size of a compressed one is not known before it is decoded
    /// and may be large.
    pub(crate) fn expect_body(&mut self, body: &[u8], is_coded: bool) {
        self.bytes += bytes_to_expect(body.len(), is_coded);
    }

    /// The expected body is not looked at after all, because there was no thread for it.
    pub(crate) fn expect_no_more_than(&mut self, bytes: usize) {
        self.bytes = self.bytes.min(bytes);
    }

    /// How many bytes the rules have to look at.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether that takes too long for a thread that serves others.
    #[must_use]
    pub(crate) fn is_long(&self) -> bool {
        self.bytes > LONG
    }

    /// Phase 1.
    ///
    /// # Errors
    /// The rules stop the request.
    pub(crate) fn request_head(&mut self) -> Result<(), Refusal> {
        self.run(Phase::RequestHeaders, Transaction::request_headers_done)
    }

    /// Phase 2, with the whole body.
    ///
    /// # Errors
    /// The rules stop the request; also where they could not see all of it and the policy minds, or where what
    /// they keep of it does not fit the memory for bodies.
    pub(crate) fn request_body(&mut self, body: &[u8]) -> Result<(), Refusal> {
        self.transaction.limit_memory(self.memory.left());
        let judged = self.run(Phase::RequestBody, |transaction| {
            transaction.request_body(body)
        });
        // Before the verdict: what does not fit must not be held on, whatever the rules decided.
        self.count_memory()?;
        self.saw_request = true;
        judged
    }

    /// Reserves what the transaction keeps by now.
    fn count_memory(&mut self) -> Result<(), Refusal> {
        let held = self.transaction.bytes_held();
        let more = held.saturating_sub(self.counted);
        if self.transaction.is_out_of_memory() || self.memory.grow(more).is_err() {
            return Err(Refusal::out_of_memory());
        }
        self.counted += more;
        Ok(())
    }

    /// Phase 3.
    ///
    /// # Errors
    /// The rules stop the response.
    pub(crate) fn response_head(&mut self, header: &ResponseHeader) -> Result<(), Refusal> {
        let headers = header.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        self.run(Phase::ResponseHeaders, |transaction| {
            transaction.response_headers(header.status.as_u16(), b"HTTP/1.1", headers)
        })
    }

    #[must_use]
    pub(crate) fn wants_response_body(&self) -> bool {
        self.transaction.wants_response_body()
    }

    #[must_use]
    pub(crate) fn response_body_limit(&self) -> usize {
        self.transaction.response_body_limit()
    }

    /// Phase 4.
    ///
    /// # Errors
    /// The rules stop the response, or what they keep of it does not fit the memory for bodies.
    pub(crate) fn response_body(&mut self, body: &[u8], complete: bool) -> Result<(), Refusal> {
        self.transaction.limit_memory(self.memory.left());
        let judged = self.run(Phase::ResponseBody, |transaction| {
            transaction.response_body(body, complete)
        });
        self.count_memory()?;
        judged
    }

    /// Notes a phase that began then and is over. The fourth may run in parts.
    fn ran(&mut self, phase: Phase, begun: Instant) {
        let ended = Instant::now();
        self.time += ended.saturating_duration_since(begun);
        if let Some(times) = self.phases.get_mut(phase as usize - 1) {
            let first = times.map_or(begun, |(first, _)| first);
            *times = Some((first, ended));
        }
    }

    /// The phases that ran, and from when to when.
    pub(crate) fn phases(&self) -> impl Iterator<Item = (Phase, (Instant, Instant))> {
        const PHASES: [Phase; 5] = [
            Phase::RequestHeaders,
            Phase::RequestBody,
            Phase::ResponseHeaders,
            Phase::ResponseBody,
            Phase::Logging,
        ];
        let phases = PHASES.into_iter().zip(self.phases);
        phases.filter_map(|(phase, times)| Some((phase, times?)))
    }

    fn run(
        &mut self,
        which: Phase,
        phase: impl FnOnce(&mut Transaction) -> Option<waf::Interruption>,
    ) -> Result<(), Refusal> {
        let begun = Instant::now();
        let interruption = phase(&mut self.transaction);
        self.ran(which, begun);
        // In mode `detect` too, where these lines are the only result.
        self.log_matches();
        match interruption {
            Some(interruption) if self.blocking => {
                self.blocked = true;
                // Rule 0 is the engine itself: it refuses what could not be inspected.
                let by_rule = interruption.rule_id != 0;
                let why = self.why_uninspected(interruption.phase);
                let refusal = Refusal::from(interruption);
                Err(match why.filter(|_| !by_rule) {
                    Some(why) => refusal.because(format!("not inspected: {why}")),
                    None => refusal,
                })
            }
            _ => Ok(()),
        }
    }

    /// Why the rules could not see the body that was judged in this phase as the upstream or the client does.
    fn why_uninspected(&self, phase: Phase) -> Option<String> {
        let judged = match phase {
            Phase::RequestHeaders | Phase::RequestBody => self.transaction.request_inspection(),
            Phase::ResponseHeaders | Phase::ResponseBody | Phase::Logging => {
                self.transaction.response_inspection()
            }
        };
        judged.reason.map(|reason| masked_reason(&reason))
    }

    /// Logs the matches of the phase at once, so that whoever has the answer finds the reason in the log.
    fn log_matches(&mut self) {
        // Only those since the last phase; the list grows over all phases.
        let matched = self.transaction.matched_rules();
        let new = matched.get(self.logged..).unwrap_or_default();
        if new.is_empty() {
            return;
        }
        let _batch = batch_lines();
        for matched in new.iter().filter(|m| m.logged) {
            tracing::warn!(target: "waf", "{}", text(&matched.log_line));
        }
        self.logged = matched.len();
    }

    /// Runs phase 5, and sums up all five.
    pub(crate) fn finish(&mut self) -> WafFacts {
        let begun = Instant::now();
        self.transaction.finish();
        self.ran(Phase::Logging, begun);
        self.log_matches();
        // A rule can match in several phases; the access line names it once, in the order of the matches.
        let mut seen = HashSet::new();
        let logged = self.transaction.matched_rules().iter().filter(|m| m.logged);
        let rules: Vec<u64> = logged
            .map(|matched| matched.rule_id)
            .filter(|&id| seen.insert(id))
            .collect();
        let verdict = match (self.blocked, rules.is_empty()) {
            (true, _) => Verdict::Block,
            (false, true) => Verdict::Pass,
            (false, false) => Verdict::Match,
        };
        WafFacts {
            verdict,
            score: match rules.is_empty() {
                true => 0,
                false => inbound_score(&self.transaction),
            },
            rules,
            exclusions: self.exclusions(),
            body: self.body_facts(),
        }
    }

    /// The rules of the teams' exclusions that matched, each once.
    fn exclusions(&self) -> Vec<u64> {
        let known = self.transaction.rules().exclusions();
        let matched = self.transaction.exclusions();
        let matched = matched.filter_map(|place| known.get(place)?.by.as_ref());
        let mut ids: Vec<u64> = matched
            .map(|by| by.id)
            .filter(|&id| !is_guard(id))
            .collect();
        // A rule can exclude several things.
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What the rules found, for a record of the request.
    pub(crate) fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    pub(crate) fn body_facts(&self) -> Option<BodyFacts> {
        let seen = self.transaction.request_inspection();
        (seen.received > 0 || seen.reason.is_some()).then(|| BodyFacts {
            received: seen.received,
            inspected: seen.inspected,
            parser: seen.parser.unwrap_or("none"),
            reason: seen.reason.map(|r| masked_reason(&r)),
        })
    }

    /// The record for the audit log, where the rules ask for one; after [`Inspector::finish`].
    pub(crate) fn audit_record(&mut self, status: u16) -> Option<Record> {
        let record = self.transaction.audit_record()?;
        Some(
            record
                .of_policy(&self.policy)
                .answered(status, self.blocked),
        )
    }

    /// Why the rules did not see a request's body as a whole, as a code.
    #[must_use]
    pub(crate) fn why_not_inspected(&self) -> &'static str {
        let seen = self.transaction.request_inspection();
        match seen.reason {
            Some(_) if seen.inspected < seen.received => "partly",
            Some(_) => "not_understood",
            None => "no_body_access",
        }
    }

    /// The same of a response's; None where it was inspected, or rules did not ask for it.
    #[must_use]
    pub(crate) fn why_response_not_inspected(&self) -> Option<&'static str> {
        let seen = self.transaction.response_inspection();
        seen.reason?;
        Some(match seen.inspected < seen.received {
            true => "partly",
            false => "not_understood",
        })
    }

    /// Whether the request's body counts as inspected.
    #[must_use]
    pub(crate) fn saw_request_body(&self) -> bool {
        self.transaction.request_inspection().is_complete()
    }
}

/// A few bytes of a compressed body can decode to many, so each of them is long.
fn bytes_to_expect(length: usize, is_coded: bool) -> usize {
    const GROWTH: usize = 32;
    match is_coded && length > 0 {
        true => length.saturating_mul(GROWTH).max(LONG + 1),
        false => length,
    }
}

/// The reason for logs, with secrets masked: a parser's message may quote the body.
fn masked_reason(reason: &str) -> String {
    const MOST: usize = 512;
    text(&mask_secrets(reason.as_bytes(), MOST)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_body_is_long_however_small_it_is() {
        for length in [1, 12, 64, 65, LONG] {
            assert!(bytes_to_expect(length, true) > LONG, "{length}");
            assert_eq!(bytes_to_expect(length, false), length);
        }
        assert_eq!(bytes_to_expect(0, true), 0, "nothing decodes to nothing");
    }
}
