//! Decides whether the shadow of the policy sees a request, and what it is given of it.

use std::sync::Arc;

use super::{Exchange, Outcome};
use crate::config::Policy;
use crate::events::{Details, Draft, Verdict, is_sampled, secrets};
use crate::judgement::Judgement;
use crate::proxy::shared::shadow::ShadowTask;
use http_strict::BodyFraming;
use waf::Transaction;

impl Exchange {
    /// Its id decides, so that the answer is the same whoever asks.
    pub(super) fn is_for_shadow(&self, policy: &Policy) -> bool {
        let shadow = policy.shadow.as_ref();
        shadow.is_some_and(|shadow| is_sampled(&self.id, shadow.sample))
    }

    /// What the shadow sees of this request; None if it is not for it, or if the policy's rules came to no verdict.
    pub(super) fn shadow_task(&self, outcome: &Outcome) -> Option<ShadowTask> {
        if !self.shadowed {
            return None;
        }
        let policy = &self.route.as_ref()?.policy;
        let inspector = self.inspector.as_ref()?;
        let transaction = inspector.transaction();
        let live = Judgement::of_request(transaction);
        if live.interruption.is_none() && !inspector.saw_request {
            return None;
        }
        let is_whole = inspector.saw_request || self.received.framing() == BodyFraming::None;
        Some(ShadowTask {
            policy: Arc::clone(policy),
            caller: self.identity.caller.clone(),
            client: self.client,
            server: self.connection.local,
            body: is_whole.then(|| self.body.clone()),
            live,
            event: self.shadow_event(transaction, outcome),
        })
    }

    /// What an event of the shadow has beside its findings; None where no events are kept.
    fn shadow_event(&self, transaction: &Transaction, outcome: &Outcome) -> Option<Draft> {
        let recorder = self.front.events.as_ref()?;
        let kept = self.body.len().min(recorder.body_bytes());
        // What the policy's rules call secret stays secret, also if the shadow does not know it.
        let sanitised = transaction.sanitised();
        let secrets = match sanitised.is_empty() {
            true => Vec::new(),
            false => secrets(transaction),
        };
        Some(Draft {
            summary: self.summary(Verdict::Shadow, outcome),
            details: Details {
                claims: Some(self.seen_claims()),
                payload: self.payload(outcome, kept),
                ..Details::default()
            },
            // The shadow's thread adds both, if it keeps the request.
            head: Vec::new(),
            body: Vec::new(),
            sanitised,
            secrets,
        })
    }
}
