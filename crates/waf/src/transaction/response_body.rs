//! The response's body: limits and decoding.

use super::Transaction;
use super::inputs::fields;
use super::request_body::decode_limits;
use super::state::Allowed;
use crate::body::content_coding;
use crate::outcome::{Inspection, Interruption, InterruptionKind, Phase};
use crate::settings::{EngineMode, LimitAction};
use crate::steps;

impl Transaction {
    /// Whether phase 4 wants this response's body: access on and its media type listed.
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        let state = self.context.state();
        if state.mode() == EngineMode::Off || !state.controls().response_body_access() {
            return false;
        }
        let types = &self.rules.settings().response_body_types;
        let response = self.context.inputs().response();
        response.is_of_type(self.context.text(), types)
    }

    /// Bytes of response body worth holding for phase 4.
    #[must_use]
    pub fn response_body_limit(&self) -> usize {
        self.context.state().controls().response_body_limit()
    }

    /// How much of the response's body the rules saw.
    #[must_use]
    pub fn response_inspection(&self) -> Inspection {
        self.context.inputs().response().inspection().clone()
    }

    pub(super) fn read_response_body(
        &mut self,
        body: &[u8],
        complete: bool,
    ) -> Option<Interruption> {
        let wanted = self.wants_response_body();
        let limit = self.response_body_limit();
        let response = self.context.inputs_mut().response_mut();
        response.receive(body.len() as u64);
        if !wanted {
            response.leave_out(
                (!body.is_empty())
                    .then(|| "response bodies of this type are not inspected".to_owned()),
            );
            return None;
        }
        let cut = body.len() > limit || !complete;
        if cut {
            // Whoever holds the body stops at the limit, so a cut body that does not fill it has another cause.
            let is_over_limit = body.len() >= limit;
            if is_over_limit {
                response.exceed_limit(format!(
                    "only the first {limit} bytes are inspected (SecResponseBodyLimit)"
                ));
            } else {
                let there = body.len();
                response
                    .cut_short(|| format!("only the first {there} bytes were there to inspect"));
            }
            // A directive in the rules wins over the policy.
            let rejects = match self.rules.settings().response_body_limit_action {
                Some(action) if is_over_limit => action == LimitAction::Reject,
                _ => self.rules.block_uninspected,
            };
            if rejects && self.may_refuse_response() {
                return Some(self.refuse_response());
            }
        }
        let held = body.get(..limit).unwrap_or(body);
        let (inputs, text) = self.context.inputs_and_text_mut();
        let response = inputs.response_mut();
        let coding = fields::list(text, response.headers(), "content-encoding").unwrap_or_default();
        // `SecResponseBodyLimit` bounds the bytes that are held. Compressed pages decode to more, of which up to four
        // times the limit is shown.
        let most = limit.saturating_mul(4);
        let limits = decode_limits(most.min(self.budget.memory_left()));
        let received = held.len() as u64;
        match content_coding::decode(&coding, held, &limits) {
            Ok(plain) => response.show(text, &plain, received),
            Err(error) => {
                if error.too_large {
                    self.budget.note_refusal(most);
                }
                // The budget notes it when the phase ends.
                if steps::is_over() {
                    return None;
                }
                response.cut_short(|| error.error.message.clone());
                // A body that was cut cannot decode to its end; the cut has been judged above.
                if !cut && self.rules.block_uninspected && self.may_refuse_response() {
                    return Some(self.refuse_response());
                }
                // Rules see what was decoded before the error, or else the bytes as they are.
                let shown = match error.decoded.is_empty() {
                    true => held,
                    false => &error.decoded,
                };
                let (inputs, text) = self.context.inputs_and_text_mut();
                let inspected = if cut { received } else { 0 };
                inputs.response_mut().show(text, shown, inspected);
            }
        }
        None
    }

    /// DetectionOnly refuses nothing, and neither does a transaction that a rule allowed whole.
    fn may_refuse_response(&self) -> bool {
        let state = self.context.state();
        state.mode() == EngineMode::On && state.allowed() != Allowed::Transaction
    }

    fn refuse_response(&mut self) -> Interruption {
        self.context.state_mut().interrupt(Interruption {
            kind: InterruptionKind::Deny,
            status: 500,
            rule_id: 0,
            phase: Phase::ResponseBody,
        })
    }
}
