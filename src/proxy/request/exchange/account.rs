//! Writes what is known about a request when it is over: counters, the audit record, the access line.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use super::{Exchange, Outcome};
use crate::events::Draft;
use crate::proxy::forward::upstream_request::{UpstreamEnd, UpstreamRequest};
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::access_record::access_record;
use crate::proxy::shared::connection::TlsSession;
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::proxy::shared::shadow::ShadowTask;
use crate::route::Stream;
use crate::telemetry::otlp::TraceLink;
use crate::telemetry::{AccessRecord, Timing, UpstreamFacts, Verdict, WafFacts};
use crate::telemetry::{Answers, Counter, LatencyHistogram, NO_ROUTE};
use crate::upstream::Failure;

/// What is known of a request that is over, beside what the client got.
struct Ended {
    waf: Option<WafFacts>,
    seen: BodySeen,
    /// When the client had its answer.
    at: Instant,
    event: Option<Draft>,
    shadow: Option<ShadowTask>,
}

/// Whether the rules saw the request's body.
#[derive(Clone, Copy)]
struct BodySeen {
    inspected: bool,
    /// A code, if there was a body that they did not see.
    why_not: Option<&'static str>,
}

impl Exchange {
    /// Runs phase 5, counts, and writes the access line. If an upstream failed and only a dial of our own can explain
    /// it, the dial and the line come later, so that the next request does not wait for them.
    pub(super) async fn end(mut self, outcome: Outcome) {
        let at = Instant::now();
        self.count_answer(outcome.status);
        let waf = self.finish_inspection(outcome.status).await;
        self.settle_limits(&outcome);
        let refused = outcome.refusal.as_ref().map(|refusal| refusal.code);
        self.count_verdict(waf.as_ref(), refused);
        self.count_times_and_sizes(&outcome);
        let has_failures = outcome
            .upstream_request
            .as_ref()
            .is_some_and(|upstream_request| !upstream_request.progress().failures.is_empty());
        let seen = self.body_seen(&outcome);
        let costs = self.count_costs();
        let event = self.event(&outcome, waf.as_ref(), seen.why_not, costs);
        let shadow = match has_failures {
            // A shadow's part of the memory is counted in its queue, and a diagnosis may take seconds.
            true => None,
            false => self.shadow_task(&outcome),
        };
        let ended = Ended {
            waf,
            seen,
            at,
            event,
            shadow,
        };
        // Given back first, because a diagnosis may take seconds.
        self.body = Bytes::new();
        self.reservation = None;
        if has_failures {
            tokio::spawn(async move {
                let failure = self.explain(outcome.upstream_request.as_deref()).await;
                self.log(&outcome, ended, failure);
            });
        } else {
            self.log(&outcome, ended, None);
        }
    }

    fn body_seen(&self, outcome: &Outcome) -> BodySeen {
        let streamed = self.route.as_ref().is_some_and(|r| r.stream.is_some());
        let complete = self.inspector.as_ref().map(Inspector::saw_request_body);
        // A stream is not held, so the rules saw at most its beginning.
        let inspected = !streamed && complete == Some(true);
        // A body also counts as uninspected if the rules were off: the metric must not look better than the protection
        // is.
        let uninspected = complete == Some(false) || !inspected && outcome.bytes_in > 0;
        BodySeen {
            inspected,
            why_not: uninspected.then(|| match &self.inspector {
                _ if streamed => "stream",
                Some(inspector) => inspector.why_not_inspected(),
                None => "policy_off",
            }),
        }
    }

    fn count_verdict(&self, waf: Option<&WafFacts>, refused: Option<RefusalCode>) {
        let metrics = &self.front.metrics;
        let action = match (waf, refused) {
            (Some(waf), _) => Some(waf.verdict.name()),
            (None, Some(RefusalCode::PolicyNotLive)) => Some("not_live"),
            (None, _) => None,
        };
        if let (Some(action), Some(route)) = (action, &self.route) {
            let policy = &route.policy.name;
            metrics.waf_requests.with(policy, action, Counter::count);
            for rule in waf.iter().flat_map(|waf| &waf.exclusions) {
                metrics.exclusion_hits.with(policy, rule, Counter::count);
            }
        }
        if let Some(waf) = waf {
            self.count_matches(waf);
        }
        match waf.map(|waf| waf.verdict) {
            Some(Verdict::Block) => metrics.waf_blocked.count(),
            Some(Verdict::Match) => metrics.waf_matched.count(),
            Some(Verdict::Pass) | None => {}
        }
        match refused {
            Some(RefusalCode::BodyMemory) => metrics.body_memory_refusals.count(),
            Some(RefusalCode::InspectionBusy) => metrics.inspection_refusals.count(),
            _ => {}
        }
    }

    fn count_answer(&self, status: u16) {
        let metrics = &self.front.metrics;
        metrics.answered(status);
        let route = self.route.as_ref().map_or(NO_ROUTE, |route| &route.name);
        let listener = &self.connection.listener.name;
        let count = |answers: &Answers| answers.count(status);
        metrics.requests.with(listener, route, count);
    }

    /// Before a failure is diagnosed, because the client does not wait for that.
    fn count_times_and_sizes(&self, outcome: &Outcome) {
        let route = self.route.as_ref();
        // How long a client stays connected is no latency.
        let has_latency = !route
            .is_some_and(|route| matches!(route.stream, Some(Stream::WebSocket | Stream::Sse)));
        let name = route.map_or(NO_ROUTE, |route| &route.name);
        let (total, now) = (self.begun.elapsed(), SystemTime::now());
        let trace = self.trace.as_ref().filter(|_| self.is_trace_kept(outcome));
        let trace = trace.map(|context| context.trace.0);
        let count =
            |histogram: &LatencyHistogram, time| histogram.observe(time, &self.id, trace, now);
        let listener = &self.connection.listener.name;
        let histograms = &self.front.metrics.histograms;
        histograms.with(listener, name, |histograms| {
            histograms.bytes_in.observe(outcome.bytes_in);
            histograms.bytes_out.observe(outcome.bytes_out);
            if !has_latency {
                return;
            }
            count(&histograms.total, total);
            if self.inspector.is_some() {
                count(&histograms.waf, self.waf_time());
            }
            if outcome.upstream_request.is_some() {
                count(&histograms.upstream, outcome.upstream_time);
            }
        });
        if let Some(request) = outcome.upstream_request.as_ref().filter(|_| has_latency) {
            count(&request.pool.metrics.duration, outcome.upstream_time);
        }
    }

    /// Logs every failure in words; returns the one that the client's answer came from.
    async fn explain(&self, upstream_request: Option<&UpstreamRequest>) -> Option<Failure> {
        let upstream_request = upstream_request?;
        let (failures, failed) = {
            let mut progress = upstream_request.progress();
            (
                // Taken out, so that the lock is not held during a dial.
                std::mem::take(&mut progress.failures),
                progress.end() == UpstreamEnd::Failed,
            )
        };
        let mut last = None;
        for (server, failure) in failures {
            let failure = match &server {
                Some(server) => upstream_request.pool.diagnose(server, failure).await,
                None => failure,
            };
            let separator = if server.is_some() { " " } else { "" };
            let metrics = &upstream_request.pool.metrics;
            metrics.failures.count(failure.cause as usize);
            tracing::error!(
                target: "upstream",
                code = failure.cause.code(),
                request_id = self.id,
                "upstream {}{separator}{}: {}",
                upstream_request.pool.upstream.name,
                server.as_ref().map_or("", |server| &server.name),
                failure.words
            );
            last = Some(failure);
        }
        last.filter(|_| failed)
    }

    /// Last, because a shadow takes the request over.
    fn log(self, outcome: &Outcome, ended: Ended, failure: Option<Failure>) {
        let Ended {
            waf,
            seen,
            at,
            mut event,
            mut shadow,
        } = ended;
        if let Some(why) = seen.why_not {
            self.front.metrics.waf_uninspected.count();
            self.count_not_inspected("request", why);
        }
        if let Some(why) = self
            .inspector
            .as_ref()
            .and_then(Inspector::why_response_not_inspected)
        {
            self.count_not_inspected("response", why);
        }
        let is_traced = self.is_trace_kept(outcome);
        // The rest only makes texts for these.
        let is_written = self.front.access.is_on() || is_traced;
        if !is_written && event.is_none() && shadow.is_none() {
            return;
        }
        let ms = Timing::new(self.begun.elapsed(), self.waf_time(), outcome.upstream_time);
        let (error, reason) = self.why(outcome, failure);
        let of_shadow = shadow.iter_mut().filter_map(|task| task.event.as_mut());
        for draft in event.iter_mut().chain(of_shadow) {
            let details = &mut draft.details;
            details.error = error.as_deref().map(str::to_owned);
            details.reason = reason.as_deref().map(str::to_owned);
            details.ms = ms.into();
            details.upstream = outcome
                .upstream_request
                .as_deref()
                .map(|request| upstream_facts(request).into());
        }
        if let (Some(recorder), Some(event)) = (&self.front.events, event) {
            recorder.keep(event);
        }
        let tls = self.connection.tls.as_ref();
        let (id, listener) = (&self.id, &self.connection.listener.name);
        let record = AccessRecord {
            trace: self.trace.as_deref().map(TraceLink::from),
            route: self.route.as_ref().map(|r| r.name.as_str()),
            status: outcome.status,
            bytes_in: outcome.bytes_in,
            bytes_out: outcome.bytes_out,
            ms,
            tls: tls.map(TlsSession::facts),
            identity: self.identity_facts(),
            waf,
            upstream: outcome.upstream_request.as_deref().map(upstream_facts),
            error,
            reason,
            body_inspected: seen.inspected,
            ..access_record(
                self.begun_at,
                id,
                self.client,
                listener,
                Some(&self.received),
            )
        };
        if is_traced {
            let spans = self.spans(outcome, &record, at);
            self.front.otlp.send_spans(spans);
        }
        self.front.access.write(&record);
        if let Some(task) = shadow {
            self.front.shadow.offer(task, self.received, self.id);
        }
    }

    fn count_not_inspected(&self, part: &str, why: &str) {
        let counts = &self.front.metrics.waf_not_inspected;
        counts.with(part, why, Counter::count);
    }

    #[allow(clippy::type_complexity)] // a code and its words
    fn why<'o>(
        &self,
        outcome: &'o Outcome,
        failure: Option<Failure>,
    ) -> (Option<Cow<'o, str>>, Option<Cow<'o, str>>) {
        if let Some(refusal) = &outcome.refusal {
            return (
                Some(refusal.code.name().into()),
                refusal.reason.as_deref().map(Into::into),
            );
        }
        if let Some(failure) = failure {
            return (
                Some(failure.cause.code().into()),
                Some(failure.words.into()),
            );
        }
        let gone = outcome
            .upstream_request
            .as_ref()
            .is_some_and(|p| p.progress().end() == UpstreamEnd::ClientGone);
        (gone.then_some("client_closed".into()), None)
    }
}

fn upstream_facts(upstream_request: &UpstreamRequest) -> UpstreamFacts<'_> {
    let progress = upstream_request.progress();
    UpstreamFacts {
        name: &upstream_request.pool.upstream.name,
        server: progress.server().map(|s| s.name.clone()),
        attempts: progress.attempts(),
    }
}
