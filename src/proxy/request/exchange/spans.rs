//! The spans of a request: one for all of it, and one for each phase of the rules, for holding the body and for each try at
//! its upstream.
//!
//! Invariant: a span shows of the request what the access line shows, with the same secrets masked, because it is made
//! from that line's record.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use super::{Exchange, Outcome};
use crate::proxy::forward::tries::{Tries, Try};
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::received::Received;
use crate::telemetry::otlp::{Attribute, Incoming, SpanId, SpanKind, SpanRecord, TraceContext};
use crate::telemetry::{AccessRecord, Verdict, masked_text};
use crate::time::nanoseconds;
use http_strict::split_port;
use waf::Phase;

/// Methods that are shown; a client may make up others (HTTP semantic conventions).
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

type Attributes = Vec<(&'static str, Attribute)>;

/// Makes the spans of one trace. Points in time of this process become those of the calendar.
struct Spans<'c> {
    context: &'c TraceContext,
    begun: Instant,
    begun_at: SystemTime,
}

impl Spans<'_> {
    fn at(&self, instant: Instant) -> u64 {
        nanoseconds(self.begun_at + instant.saturating_duration_since(self.begun))
    }

    /// A part of the request's span.
    fn part(
        &self,
        name: Cow<'static, str>,
        (begun, ended): (Instant, Instant),
        attributes: Attributes,
    ) -> SpanRecord {
        SpanRecord {
            trace: self.context.trace,
            id: SpanId::random(),
            parent: Some(self.context.span),
            state: self.context.state.clone(),
            sampled: self.context.sampled,
            name,
            kind: SpanKind::Internal,
            begun: self.at(begun),
            ended: self.at(ended),
            attributes,
            failed: false,
        }
    }

    /// A try at a gateway, and its dial if there was one.
    fn of_try(
        &self,
        tried: &Try,
        ended: Instant,
        name: String,
        attributes: Attributes,
    ) -> Vec<SpanRecord> {
        let over = (tried.begun, tried.ended.unwrap_or(ended));
        let mut spans = vec![SpanRecord {
            id: tried.span,
            kind: SpanKind::Client,
            failed: tried.failure.is_some()
                || tried.answered.is_some_and(|(_, status)| status >= 400),
            ..self.part(name.into(), over, attributes)
        }];
        if let Some(dialled) = dial(tried) {
            spans.push(SpanRecord {
                parent: Some(tried.span),
                failed: tried.connected.is_none(),
                ..self.part("connect".into(), dialled, peer(tried))
            });
        }
        spans
    }
}

/// The context that the client sent.
pub(super) fn incoming(received: &Received) -> Option<Incoming> {
    Incoming::parse(
        received.values(b"traceparent"),
        received.values(b"tracestate"),
    )
}

impl Exchange {
    /// Whether the spans are sent: those of a sampled trace, and all that somebody will ask about.
    pub(super) fn is_trace_kept(&self, outcome: &Outcome) -> bool {
        let Some(context) = &self.trace else {
            return false;
        };
        let blocked = self
            .inspector
            .as_ref()
            .is_some_and(|inspector| inspector.blocked);
        context.sampled || blocked || outcome.status >= 500
    }

    pub(super) fn spans(
        &self,
        outcome: &Outcome,
        record: &AccessRecord<'_>,
        ended: Instant,
    ) -> Vec<SpanRecord> {
        let Some(context) = self.trace.as_deref() else {
            return Vec::new();
        };
        let made = Spans {
            context,
            begun: self.begun,
            begun_at: self.begun_at,
        };
        let mut spans = vec![self.whole(&made, outcome, record, ended)];
        if let Some(held) = self.held {
            let attributes = vec![("http.request.body.size", record.bytes_in.into())];
            spans.push(made.part("hold request body".into(), held, attributes));
        }
        for (phase, times) in self.inspector.iter().flat_map(Inspector::phases) {
            let attributes = self.phase_attributes(phase);
            spans.push(made.part(phase_name(phase).into(), times, attributes));
        }
        let Some(request) = &outcome.upstream_request else {
            return spans;
        };
        let progress = request.progress();
        let upstream = &request.pool.upstream.name;
        let (method, _) = method(record);
        let tries = progress.tries.iter().flat_map(Tries::iter);
        for (number, tried) in (0_u64..).zip(tries) {
            let attributes = try_attributes(tried, number, upstream, method);
            let name = format!("{method} {upstream}");
            spans.extend(made.of_try(tried, ended, name, attributes));
        }
        spans
    }

    /// The span of the request.
    fn whole(
        &self,
        made: &Spans<'_>,
        outcome: &Outcome,
        record: &AccessRecord<'_>,
        ended: Instant,
    ) -> SpanRecord {
        let (method, original) = method(record);
        let mut attributes = self.request_attributes(record, method);
        attributes
            .extend(original.map(|original| ("http.request.method_original", original.into())));
        attributes.extend(self.answer_attributes(outcome, record));
        let name = match record.route {
            Some(route) => format!("{method} {route}").into(),
            None => method.into(),
        };
        SpanRecord {
            id: made.context.span,
            parent: made.context.parent,
            kind: SpanKind::Server,
            failed: outcome.status >= 500 || outcome.status == 0,
            ..made.part(name, (self.begun, ended), attributes)
        }
    }

    fn request_attributes(&self, record: &AccessRecord<'_>, method: &'static str) -> Attributes {
        let (path, query) = match record.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (record.path.as_ref(), None),
        };
        let mut attributes: Attributes = vec![
            ("http.request.method", method.into()),
            ("url.scheme", "https".into()),
            ("url.path", path.to_owned().into()),
            ("client.address", record.client.ip().to_string().into()),
            (
                "network.peer.address",
                self.connection.client.ip().to_string().into(),
            ),
            ("http.request.body.size", record.bytes_in.into()),
            ("drawbridge.request_id", record.request_id.to_owned().into()),
            ("drawbridge.listener", record.listener.to_owned().into()),
        ];
        attributes.extend(query.map(|query| ("url.query", query.to_owned().into())));
        let version = record
            .protocol
            .strip_prefix("HTTP/")
            .map(|version| match version {
                "2.0" => "2",
                version => version,
            });
        attributes
            .extend(version.map(|version| ("network.protocol.version", version.to_owned().into())));
        if let Some((host, port)) = record.host.as_deref().and_then(host_and_port) {
            attributes.push(("server.address", host.into()));
            attributes.extend(port.map(|port| ("server.port", port.into())));
        }
        let agent = record.user_agent.map(masked_text);
        attributes.extend(agent.map(|agent| ("user_agent.original", agent.into_owned().into())));
        let tls = record.tls.map(|tls| tls.version.to_owned());
        attributes.extend(tls.map(|version| ("drawbridge.tls.version", version.into())));
        attributes
    }

    fn answer_attributes(&self, outcome: &Outcome, record: &AccessRecord<'_>) -> Attributes {
        let mut attributes: Attributes = vec![("http.response.body.size", record.bytes_out.into())];
        if outcome.status != 0 {
            attributes.push(("http.response.status_code", outcome.status.into()));
        }
        if let Some(route) = &self.route {
            attributes.push(("http.route", route.name.clone().into()));
            attributes.push(("drawbridge.policy", route.policy.name.clone().into()));
        }
        if let Some(waf) = &record.waf {
            let rules = waf
                .rules
                .iter()
                .map(|id| i64::try_from(*id).unwrap_or(i64::MAX));
            attributes.push(("drawbridge.waf.verdict", waf.verdict.name().into()));
            attributes.push(("drawbridge.waf.score", waf.score.into()));
            if waf.verdict != Verdict::Pass {
                attributes.push(("drawbridge.waf.rules", Attribute::Numbers(rules.collect())));
            }
        }
        attributes.push(("drawbridge.body_inspected", record.body_inspected.into()));
        let error = record.error.as_deref().map(str::to_owned);
        let error = error.or_else(|| (outcome.status >= 500).then(|| outcome.status.to_string()));
        attributes.extend(error.map(|error| ("error.type", error.into())));
        attributes
    }

    /// The rules that matched in a phase, as the access line counts them.
    fn phase_attributes(&self, phase: Phase) -> Attributes {
        let matched = self
            .inspector
            .iter()
            .flat_map(|i| i.transaction().matched_rules());
        let mut ids: Vec<i64> = matched
            .filter(|matched| matched.logged && matched.phase == phase)
            .map(|matched| i64::try_from(matched.rule_id).unwrap_or(i64::MAX))
            .collect();
        ids.dedup();
        let mut attributes: Attributes = vec![("drawbridge.waf.phase", (phase as u16).into())];
        if !ids.is_empty() {
            attributes.push(("drawbridge.waf.rules", Attribute::Numbers(ids)));
        }
        attributes
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::RequestHeaders => "waf request head",
        Phase::RequestBody => "waf request body",
        Phase::ResponseHeaders => "waf response head",
        Phase::ResponseBody => "waf response body",
        Phase::Logging => "waf logging",
    }
}

/// A method that is known, and the client's own where it is not.
fn method(record: &AccessRecord<'_>) -> (&'static str, Option<String>) {
    let mut known = METHODS.into_iter();
    match known.find(|method| *method == record.method) {
        Some(method) => (method, None),
        None => ("_OTHER", Some(record.method.chars().take(64).collect())),
    }
}

fn host_and_port(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = split_port(host.as_bytes())?;
    let name = host.get(..name.len())?.to_owned();
    let port = port.and_then(|port| std::str::from_utf8(port).ok()?.parse().ok());
    Some((name, port))
}

fn try_attributes(tried: &Try, number: u64, upstream: &str, method: &'static str) -> Attributes {
    let mut attributes = peer(tried);
    attributes.push(("http.request.method", method.into()));
    attributes.push(("drawbridge.upstream", upstream.to_owned().into()));
    if let Some((_, is_kept)) = tried.connected {
        attributes.push(("drawbridge.connection.kept", is_kept.into()));
    }
    if let Some((_, status)) = tried.answered {
        attributes.push(("http.response.status_code", status.into()));
    }
    if number > 0 {
        attributes.push(("http.request.resend_count", number.into()));
    }
    let status = tried.answered.filter(|(_, status)| *status >= 400);
    let error: Option<Cow<'static, str>> = match (tried.failure, status) {
        (Some(code), _) => Some(code.into()),
        (None, status) => status.map(|(_, status)| status.to_string().into()),
    };
    attributes.extend(error.map(|error| ("error.type", Attribute::Text(error))));
    attributes
}

/// Where it was dialled.
fn peer(tried: &Try) -> Attributes {
    let address = tried.server.address;
    let name = tried.server.name.split(' ').next().unwrap_or_default();
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    vec![
        ("server.address", host.to_owned().into()),
        ("server.port", address.port().into()),
        ("network.peer.address", address.ip().to_string().into()),
        ("network.peer.port", address.port().into()),
    ]
}

/// From when to when it was dialled: TCP and TLS together. None if a kept connection was used.
fn dial(tried: &Try) -> Option<(Instant, Instant)> {
    match tried.connected {
        Some((_, true)) => None,
        Some((connected, false)) => Some((tried.begun, connected)),
        None => Some((tried.begun, tried.ended?)),
    }
}
