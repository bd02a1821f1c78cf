//! What is kept of one request, and how it is written: a summary that lists show, and the rest.
//!
//! Both are JSON with the names that `drawbridge events` shows, so that a later version reads what an earlier one wrote.
//! Head and body are the bytes that were received.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::claims::{CallerFacts, SeenClaims};
use super::segment;
use crate::telemetry::{Timing, UpstreamFacts};

/// What lists show of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The request's id, as the access line has it.
    pub request_id: String,
    /// When its head was there, in milliseconds since 1970.
    #[serde(rename = "ms")]
    pub time: u64,
    /// The client, as a trusted proxy reports it, otherwise the peer.
    pub client: IpAddr,
    /// The subject of the client's verified certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Who called, if a token or a certificate of an `[identity]` table was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerFacts>,
    /// Where it came in.
    pub listener: String,
    /// The host that it asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The method.
    pub method: String,
    /// The path and query, secrets masked; cut where it is long.
    pub path: String,
    /// None if no route took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The policy of its route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Names the rules that it met: their files and variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_digest: Option<String>,
    /// Why it was kept.
    pub verdict: Verdict,
    /// The status that the client received; 0 if none.
    pub status: u16,
    /// The CRS's inbound anomaly score.
    pub score: u64,
    /// The logged rules that matched, in order, with the variable of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Hit>,
    /// The rule that blocked it, or would have blocked it; 0 is the engine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<u64>,
}

/// A rule and the variable that it matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The rule's id.
    pub rule_id: u64,
    /// Like `ARGS:q`; cut where it is long.
    pub variable: String,
}

/// Why a request was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The rules stopped it or its answer.
    Block,
    /// The rules would have stopped it, but the policy's mode is `detect`.
    Detect,
    /// The shadow of the policy would have answered otherwise.
    Shadow,
    /// The rules did not see all of it.
    Uninspected,
    /// Of the sample, or the dearest request of a rule: something else than the rules refused it.
    Refused,
    /// Of the sample, or the dearest request of a rule: it was let through.
    Passed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Block,
        Self::Detect,
        Self::Uninspected,
        Self::Refused,
        Self::Passed,
        Self::Shadow,
    ];

    /// As the command line and JSON have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Detect => "detect",
            Self::Shadow => "shadow",
            Self::Uninspected => "uninspected",
            Self::Refused => "refused",
            Self::Passed => "passed",
        }
    }
}

/// What is known of a request beside its summary, its head and its body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Everything that matched, in order.
    #[serde(default)]
    pub matches: Vec<Match>,
    /// Matches that were only counted.
    #[serde(default)]
    pub unrecorded_matches: u64,
    /// What stopped it, or would have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// The CRS's anomaly score of the answer.
    #[serde(default)]
    pub outbound_score: u64,
    /// What the shadow of the policy would have changed; then the matches and the digest are those of its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowDifference>,
    /// How much of its body the rules saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Inspected>,
    /// Why its body does not count as inspected, as the metric has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_inspected: Option<String>,
    /// Where it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// Why the answer is not the upstream's, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds.
    #[serde(default)]
    pub ms: Milliseconds,
    /// The rules that took longest in it, if it was timed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<RuleCost>,
    /// What the rules saw of the caller. None in a record of a version that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<SeenClaims>,
    /// What the record lacks of the request as received.
    #[serde(default)]
    pub payload: Payload,
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The rule's id.
    pub rule_id: u64,
    /// 1 to 5.
    pub phase: u8,
    /// Like `ARGS:q`.
    pub variable: String,
    /// The value as received, secrets masked; cut where it is long.
    pub value: String,
    /// The value after the rule's transformations, if they changed it; secrets masked, cut where it is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformed: Option<String>,
    /// The bytes that the rule's operator found: offsets in `transformed`, or in `value` if that is not there. Where
    /// they are secret, it is the mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<[usize; 2]>,
    /// The rule's `msg`.
    pub message: String,
    /// The rule's `logdata`.
    pub data: String,
    /// 0 (emergency) to 7 (debug).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
    /// The rule's file and line.
    pub at: String,
}

/// What stopped a request, or would have stopped it in mode `block`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The rule; 0 is the engine itself.
    pub rule_id: u64,
    /// 1 to 5.
    pub phase: u8,
    /// The status that the rule asks for.
    pub status: u16,
}

/// What the shadow of a policy would have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowDifference {
    /// `newly_blocked`, `newly_allowed` or `answered_differently`.
    pub difference: String,
    /// The rules that make the difference: those of the shadow, or of the policy where the request is newly allowed.
    pub rule_ids: Vec<u64>,
    /// Names the rules of the policy that the request met.
    pub live_rules_digest: String,
}

/// How much of a body the rules saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    /// Bytes that were received.
    pub received: u64,
    /// Bytes that the rules saw.
    pub inspected: u64,
    /// The parser that read it, or `none`.
    pub parser: String,
    /// Why they did not see all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a request went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The upstream's name.
    pub name: String,
    /// The last server that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How many were tried.
    pub attempts: usize,
}

/// How long a request took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Milliseconds {
    /// From the head to the end of the answer.
    pub total: f64,
    /// In the rules.
    pub waf: f64,
    /// At the upstream.
    pub upstream: f64,
}

/// How long a rule took in a request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RuleCost {
    /// The rule's id.
    pub rule_id: u64,
    /// In microseconds.
    pub us: f64,
    /// It took longer than in any request before.
    #[serde(default)]
    pub is_worst: bool,
}

impl Match {
    /// The value that the rule's operator saw.
    #[must_use]
    pub fn tested(&self) -> &str {
        self.transformed.as_ref().unwrap_or(&self.value)
    }
}

impl From<Timing> for Milliseconds {
    fn from(ms: Timing) -> Self {
        Self {
            total: ms.total,
            waf: ms.waf,
            upstream: ms.upstream,
        }
    }
}

impl From<UpstreamFacts<'_>> for Upstream {
    fn from(facts: UpstreamFacts<'_>) -> Self {
        Self {
            name: facts.name.to_owned(),
            server: facts.server,
            attempts: facts.attempts,
        }
    }
}

/// What a record lacks of the request as received.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Something in the head or the body was masked.
    pub masked: bool,
    /// In place of the body there is a file of age with the raw request, and there is no head.
    #[serde(default)]
    pub is_sealed: bool,
    /// The names of header fields that the front door removed before rules saw them, since they say who is calling. The head
    /// still has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped_fields: Vec<String>,
    /// Bytes of the body as received, without a transfer coding.
    pub body_bytes: u64,
    /// Bytes of it that are not kept.
    pub body_cut: u64,
    /// Why the body is not kept, where its size is not the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_left_out: Option<String>,
}

impl Payload {
    /// Why rules cannot judge the recorded request as they would have judged the one that came; None if they can.
    #[must_use]
    pub fn why_not_judged(&self) -> Option<String> {
        if self.is_sealed {
            return Some("it is sealed: `events export` writes it for `age -d`".to_owned());
        }
        if let Some(why) = &self.body_left_out {
            return Some(format!("its body is not kept: {why}"));
        }
        if self.body_cut > 0 {
            return Some(format!(
                "{} of the {} bytes of its body are not kept ([events] body_bytes)",
                self.body_cut, self.body_bytes
            ));
        }
        self.masked.then(|| {
            "secrets in it are masked, and rules could judge them differently ([events] payload)"
                .to_owned()
        })
    }
}

/// A request that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What lists show.
    pub summary: Summary,
    /// What is known beside that.
    pub details: Details,
    /// As received, or an HTTP/2 head written in the same form.
    pub head: Vec<u8>,
    /// Without a transfer coding.
    pub body: Vec<u8>,
}

impl Event {
    /// The two parts of its record.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn encode(&self) -> serde_json::Result<(Vec<u8>, Vec<u8>)> {
        let summary = serde_json::to_vec(&self.summary)?;
        let details = serde_json::to_vec(&self.details)?;
        // What does not fit 32 bits is too long for a record in any case.
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        let parts = [
            &length(&details)[..],
            &length(&self.head),
            &details,
            &self.head,
            &self.body,
        ];
        Ok((summary, parts.concat()))
    }

    /// The event of a record; None if it is damaged or no such event.
    #[must_use]
    pub fn decode(frame: &segment::Frame<'_>) -> Option<Self> {
        let rest = frame.rest()?;
        let number = |bytes: &[u8]| {
            let bytes = bytes.first_chunk::<4>()?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        // The checksum was right, but a later version may have written something else: nothing is indexed.
        let (details, head) = (number(rest)?, number(rest.get(4..)?)?);
        let rest = rest.get(8..)?;
        let (details, rest) = rest.split_at_checked(details)?;
        let (head, body) = rest.split_at_checked(head)?;
        Some(Self {
            summary: serde_json::from_slice(frame.summary).ok()?,
            details: serde_json::from_slice(details).ok()?,
            head: head.to_vec(),
            body: body.to_vec(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An event of this time, in milliseconds since 1970.
    pub(in crate::events) fn event(time: u64) -> Event {
        Event {
            summary: Summary {
                request_id: format!("id-{time}"),
                time,
                client: [192, 0, 2, 1].into(),
                identity: None,
                caller: None,
                listener: "public".to_owned(),
                host: Some("api.test".to_owned()),
                method: "GET".to_owned(),
                path: "/orders/".to_owned(),
                route: Some("orders".to_owned()),
                policy: None,
                rules_digest: None,
                verdict: Verdict::Block,
                status: 403,
                score: 5,
                matches: vec![Hit {
                    rule_id: 1,
                    variable: "ARGS:q".to_owned(),
                }],
                blocked_by: Some(1),
            },
            details: Details::default(),
            head: b"GET /orders/ HTTP/1.1\r\n\r\n".to_vec(),
            body: b"\0\xff".to_vec(),
        }
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        let event = event(17);
        let (summary, rest) = event.encode().unwrap();
        let mut bytes = segment::MAGIC.to_vec();
        assert!(segment::append(&mut bytes, &summary, &rest));
        let frame = segment::frames(&bytes).next().unwrap();
        assert_eq!(Event::decode(&frame), Some(event));
    }

    #[test]
    fn a_record_without_a_caller_is_read() {
        let mut event = event(17);
        let (summary, _) = event.encode().unwrap();
        assert_eq!(memchr::memmem::find(&summary, b"caller"), None);
        let details: Details =
            serde_json::from_str(r#"{"matches":[],"unrecorded_matches":0}"#).unwrap();
        assert_eq!(
            details.claims, None,
            "nobody knows whether there was a caller"
        );
        event.details.claims = Some(SeenClaims::default());
        let json = serde_json::to_string(&event.details).unwrap();
        let details: Details = serde_json::from_str(&json).unwrap();
        assert_eq!(details.claims, Some(SeenClaims::default()), "{json}");
    }

    #[test]
    fn a_match_without_a_span_is_read() {
        let recorded = r#"{"rule_id":1,"phase":2,"variable":"ARGS:q","value":"a","message":"","data":"","at":"a:1"}"#;
        let found: Match = serde_json::from_str(recorded).unwrap();
        assert_eq!((found.tested(), found.span), ("a", None));
        assert_eq!(serde_json::to_string(&found).unwrap(), recorded);
        let spanned = recorded.replace(
            "\"message",
            "\"transformed\":\"A\",\"span\":[0,1],\"message",
        );
        let found: Match = serde_json::from_str(&spanned).unwrap();
        assert_eq!((found.tested(), found.span), ("A", Some([0, 1])));
    }

    #[test]
    fn a_record_of_something_else_is_no_event() {
        for rest in [&b""[..], b"\x01\0\0\0", b"\xff\xff\xff\xff\0\0\0\0{}"] {
            let mut bytes = segment::MAGIC.to_vec();
            assert!(segment::append(&mut bytes, b"{}", rest));
            let frame = segment::frames(&bytes).next().unwrap();
            assert_eq!(Event::decode(&frame), None);
        }
    }
}
