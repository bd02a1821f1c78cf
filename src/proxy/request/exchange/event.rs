//! Decides whether a request is kept, and only then copies what is kept of it.

use super::{Exchange, Outcome};
use crate::events::{
    Blocked, CallerFacts, Details, Draft, Inspected, Payload, RuleCost, SeenClaims, Summary,
    Verdict, hits, matches, outbound_score, secrets, text,
};
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::connection::TlsSession;
use crate::telemetry::WafFacts;
use crate::time::milliseconds;
use http_strict::BodyFraming;
use waf::Transaction;

/// Bytes of a name, such as a host's, in a summary.
const MOST_NAME: usize = 256;

impl Exchange {
    /// What is kept of this request; None if nothing is. `uninspected` says why the rules did not see all of it, `costs`
    /// which rules took longest, if it was timed.
    pub(super) fn event(
        &self,
        outcome: &Outcome,
        waf: Option<&WafFacts>,
        uninspected: Option<&'static str>,
        costs: Vec<RuleCost>,
    ) -> Option<Draft> {
        let recorder = self.front.events.as_ref()?;
        let transaction = self.inspector.as_ref().map(Inspector::transaction);
        let blocked = self.inspector.as_ref().and_then(what_blocked);
        let verdict = match (&self.inspector, uninspected) {
            // First of all reasons: a request that was stopped is one, however little of it was seen.
            (Some(inspector), _) if inspector.blocked => Verdict::Block,
            _ if blocked.is_some() => Verdict::Detect,
            (_, Some(_)) => Verdict::Uninspected,
            // Nearly every request ends here, before anything of it is copied.
            _ if !costs.iter().any(|rule| rule.is_worst) && !recorder.samples(&self.id) => {
                return None;
            }
            _ if outcome.refusal.is_some() => Verdict::Refused,
            _ => Verdict::Passed,
        };
        let kept = self.body.get(..recorder.body_bytes());
        let body = kept.unwrap_or(&self.body).to_vec();
        Some(Draft {
            summary: Summary {
                score: waf.map_or(0, |waf| waf.score),
                matches: transaction.map(hits).unwrap_or_default(),
                blocked_by: blocked.as_ref().map(|blocked| blocked.rule_id),
                ..self.summary(verdict, outcome)
            },
            details: Details {
                costs,
                ..self.details(outcome, blocked, uninspected, body.len())
            },
            head: self.received.raw_head().to_vec(),
            body,
            secrets: transaction.map(secrets).unwrap_or_default(),
            sanitised: transaction.map(Transaction::sanitised).unwrap_or_default(),
        })
    }

    /// Without what the rules found.
    pub(super) fn summary(&self, verdict: Verdict, outcome: &Outcome) -> Summary {
        let tls = self.connection.tls.as_ref().map(TlsSession::facts);
        let identity = tls.and_then(|facts| facts.client);
        let policy = self.route.as_ref().map(|route| &route.policy);
        Summary {
            request_id: self.id.clone(),
            time: milliseconds(self.begun_at),
            client: self.client.ip(),
            identity: identity.map(|subject| text(subject.as_bytes(), MOST_NAME)),
            caller: self.caller_facts(),
            listener: self.connection.listener.name.clone(),
            host: self.received.host().map(|host| text(host, MOST_NAME)),
            // The writer reads both from the head.
            method: String::new(),
            path: String::new(),
            route: self.route.as_ref().map(|route| route.name.clone()),
            policy: policy.map(|policy| policy.name.clone()),
            rules_digest: policy
                .map(|policy| policy.rules_digest.clone())
                .filter(|digest| !digest.is_empty()),
            verdict,
            status: outcome.status,
            score: 0,
            matches: Vec::new(),
            blocked_by: None,
        }
    }

    fn details(
        &self,
        outcome: &Outcome,
        blocked: Option<Blocked>,
        uninspected: Option<&'static str>,
        kept: usize,
    ) -> Details {
        let transaction = self.inspector.as_ref().map(Inspector::transaction);
        let (matches, unrecorded_matches) = transaction.map(matches).unwrap_or_default();
        Details {
            matches,
            unrecorded_matches,
            blocked,
            outbound_score: transaction.map_or(0, outbound_score),
            inspection: self
                .inspector
                .as_ref()
                .and_then(Inspector::body_facts)
                .map(|facts| Inspected {
                    received: facts.received,
                    inspected: facts.inspected,
                    parser: facts.parser.to_owned(),
                    reason: facts.reason,
                }),
            not_inspected: uninspected.map(str::to_owned),
            claims: Some(self.seen_claims()),
            payload: self.payload(outcome, kept),
            ..Details::default()
        }
    }

    /// The subject is as the access line has it.
    fn caller_facts(&self) -> Option<CallerFacts> {
        let facts = self.identity_facts()?;
        // Issuers and subjects are as long as whoever writes them wants.
        let owned = |value: &str| text(value.as_bytes(), MOST_NAME);
        Some(CallerFacts {
            name: facts.name?.to_owned(),
            issuer: facts.issuer.map(owned),
            subject: facts.subject.as_deref().map(owned),
            token_id: facts.token_id.map(owned),
        })
    }

    /// What the rules saw as `IDENTITY`.
    pub(super) fn seen_claims(&self) -> SeenClaims {
        let mut seen = SeenClaims::default();
        if let Some(caller) = &self.identity.caller {
            caller.each_variable(|name, value| match caller.may_keep(name, value) {
                true => seen.add(name, value),
                false => seen.leave_out(name),
            });
        }
        seen
    }

    /// What a record lacks of the request if so many bytes of its body are kept.
    pub(super) fn payload(&self, outcome: &Outcome, kept: usize) -> Payload {
        let received = (self.body.len() as u64).max(outcome.bytes_in);
        // The reservation says that the body was held to its end.
        let is_whole = self.reservation.is_some() || self.received.framing() == BodyFraming::None;
        let body_bytes = match self.received.framing() {
            BodyFraming::Length(length) if !is_whole => length,
            _ if is_whole => self.body.len() as u64,
            _ => received,
        };
        let dropped = self.received.dropped_fields();
        Payload {
            // The head bounds them.
            dropped_fields: dropped.map(|name| text(name, name.len())).collect(),
            body_bytes,
            body_cut: body_bytes.saturating_sub(kept as u64),
            body_left_out: (!is_whole).then(|| {
                "the request was answered or forwarded before all of it was there".to_owned()
            }),
            ..Payload::default()
        }
    }
}

/// What stopped the request, or would have.
fn what_blocked(inspector: &Inspector) -> Option<Blocked> {
    let transaction = inspector.transaction();
    match transaction.interruption().filter(|_| inspector.blocked) {
        Some(interruption) => Some(interruption.into()),
        None => transaction.detection().map(Blocked::from),
    }
}
