//! Forwards a request that was let pass: through pingora to its upstream, and the answer back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pingora::apps::HttpServerApp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use super::{Exchange, Outcome};
use crate::config::{ConnectionAuth, Route, Stream, Upstream};
use crate::proxy::forward::activity::Activity;
use crate::proxy::forward::contained::contained;
use crate::proxy::forward::outgoing::{self, Origin, OutgoingBody};
use crate::proxy::forward::replay::{AnswerSettings, Replay, ReturnSlot, ReturnedParts};
use crate::proxy::forward::tries::Tries;
use crate::proxy::forward::upstream_request::{Progress, UPSTREAM_REQUEST, UpstreamRequest};
use crate::proxy::shared::field_edits::edit_request;
use crate::proxy::shared::logins;
use crate::proxy::shared::refusal::{self, Refusal, RefusalKind};
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::upstream::OwnConnections;
use http_strict::BodyFraming;

impl Exchange {
    pub(super) async fn upstream_request(
        &self,
        route: &Route,
        upstream: &Upstream,
    ) -> Result<Arc<UpstreamRequest>, Refusal> {
        let pool = self.snapshot.pool(&upstream.name).ok_or_else(|| {
            // The configuration was checked: a route names an upstream that exists.
            Refusal::page(502, RefusalCode::Upstream).because("the route's upstream does not exist")
        })?;
        let own = self.own_way(upstream)?;
        let turn = match &own {
            // A stream would keep the turn from other requests for long.
            Some(own) if route.stream.is_none() => Some(own.turn().await),
            _ => None,
        };
        // The turn first: a request that waits for its turn must not occupy a place at the upstream.
        let permit = pool.admit().await.map_err(|refused| {
            Refusal::page(503, RefusalCode::UpstreamAdmission(refused.reason))
                .because(format!("upstream {}: {}", upstream.name, refused.words))
                .with(RefusalKind::RetryAfter(refused.retry_after))
        })?;
        let tries = self.trace.as_deref().cloned().map(Tries::new);
        Ok(Arc::new(UpstreamRequest {
            pool: Arc::clone(pool),
            stream: route.stream,
            request_id: self.id.clone(),
            accept: self.received.header(b"accept").map(<[u8]>::to_vec),
            head: self.received.method() == b"HEAD",
            refusal_look: Arc::new(self.refusal_look(RefusalCode::Upstream)),
            pinned: pool.pinned(self.received.headers()),
            logins: Arc::clone(&self.connection.logins),
            own,
            close_after_answer: Arc::default(),
            progress: Mutex::new(Progress::new(permit, turn, tries)),
        }))
    }

    /// The client connection's own connections to the upstream, if it has or begins a login there that is bound to the
    /// connection.
    fn own_way(&self, upstream: &Upstream) -> Result<Option<Arc<OwnConnections>>, Refusal> {
        let logins = &self.connection.logins;
        match (logins::of_request(&self.received), upstream.connection_auth) {
            (None, _) => Ok(logins.own(&upstream.name)),
            (Some(_), ConnectionAuth::Pin) => Ok(Some(logins.keep_apart(&upstream.name))),
            (Some(scheme), ConnectionAuth::Refuse) => {
                let reason = format!(
                    "upstream {}: connection_auth = \"refuse\" refuses {scheme}",
                    upstream.name
                );
                Err(Refusal::page(403, RefusalCode::ConnectionAuth).because(reason))
            }
        }
    }

    pub(super) async fn forward(
        &mut self,
        mut session: ServerSession,
        upstream_request: Arc<UpstreamRequest>,
    ) -> (Outcome, Option<ServerSession>) {
        let held = match upstream_request.stream {
            Some(_) => None,
            // Shared, since an event may be made of it, and a shadow may see it.
            None if self.front.events.is_some() || self.shadowed => Some(self.body.clone()),
            None => Some(std::mem::take(&mut self.body)),
        };
        let request = match self.outgoing_head(&upstream_request, held.as_deref()) {
            Ok(request) => request,
            Err(error) => {
                let refusal =
                    Refusal::page(400, RefusalCode::Unforwardable).because(error.to_string());
                return self.refuse(session, refusal).await;
            }
        };
        if upstream_request.stream.is_some()
            && self.received.expects_continue()
            && self.received.framing() != BodyFraming::None
        {
            // We answer and not the gateway, because a stream's body goes to it as it comes. An error means that the
            // client is gone, which reading its body will show.
            let _ = session.write_continue_response().await;
        }
        session.set_total_drain_timeout(Some(Duration::from_secs(1)));
        let activity = Activity::new();
        let settings = self.answer_settings(&upstream_request, &activity);
        let return_slot = ReturnSlot::default();
        let waf_before = self.waf_time();
        let replay = Replay::new(
            request,
            held,
            session,
            self.inspector.take(),
            settings,
            self.front
                .body_memory
                .reserve(self.snapshot.config.body_memory),
            Arc::clone(&return_slot),
        );
        let begun = Instant::now();
        let replayed = ServerSession::new_custom(Box::new(replay));
        let proxied = UPSTREAM_REQUEST.scope(
            Arc::clone(&upstream_request),
            self.proxy
                .process_new_http(replayed, &self.connection.guard.closing),
        );
        let was_silent = tokio::select! {
            // Pingora returns the connection of the replay, and there is none.
            proxied = contained(proxied) => {
                if proxied.is_none() {
                    upstream_request.panicked();
                }
                false
            }
            // The replay, dropped, gives back a session that has not finished, which is then closed.
            () = self.stream_switched_off(upstream_request.stream) => false,
            () = self.stream_is_silent(upstream_request.stream, &activity) => true,
            // The client has its whole answer; only the gateway connection is dropped.
            () = upstream_request.close_after_answer.reached() => false,
        };
        let upstream_time = begun.elapsed();
        // Before phase 5 and the log, so that the place at the upstream is free at once.
        upstream_request.leave();
        let mut parts = return_slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(parts) = &mut parts {
            parts.wait_for_inspector().await;
            if was_silent {
                self.end_silent_stream(parts).await;
            }
        }
        self.come_back(parts, upstream_request, upstream_time, waf_before)
    }

    fn outgoing_head(
        &self,
        upstream_request: &UpstreamRequest,
        held: Option<&[u8]>,
    ) -> pingora::Result<RequestHeader> {
        let tls = self.connection.tls.as_ref();
        let origin = Origin {
            peer: self.connection.client,
            trusted: self.trusted,
            request_id: &self.id,
            client: tls.and_then(|tls| tls.client.as_ref()),
        };
        let body = match upstream_request.stream {
            Some(stream) => OutgoingBody::Streamed(stream),
            None => OutgoingBody::Held(held.map_or(0, <[u8]>::len)),
        };
        let own_name = &upstream_request.pool.upstream.tls.server_name;
        let target = match &self.rewritten {
            Some(target) => target.into(),
            None => self.received.origin_form(),
        };
        let mut request = outgoing::head(&self.received, &target, own_name, origin, body)?;
        // Before the caller is introduced, so that nothing that is set here can stand for who is calling.
        edit_request(&self.request_edits(), &mut request)?;
        self.introduce_caller(&mut request)?;
        let policy = self.route.as_ref().map(|route| &route.policy);
        if upstream_request.stream.is_none() && policy.is_some_and(|p| p.asks_for_identity) {
            outgoing::ask_for_identity(&mut request)?;
        }
        Ok(request)
    }

    fn answer_settings(
        &self,
        upstream_request: &UpstreamRequest,
        activity: &Activity,
    ) -> AnswerSettings {
        AnswerSettings {
            request_id: self.id.clone(),
            accept: upstream_request.accept.clone(),
            head: upstream_request.head,
            http10: self.received.is_http10(),
            streamed: upstream_request.stream.is_some(),
            closing: self.connection.guard.closing.clone(),
            writes: self.connection.writes.clone(),
            inspection_threads: Arc::clone(&self.front.inspection_threads),
            reads: self.connection.reads.clone(),
            activity: activity.clone(),
            written_at_once: self.written_at_once(),
            close_after_answer: Arc::clone(&upstream_request.close_after_answer),
            edits: self.answer_edits().into(),
            refusal_look: Arc::clone(&upstream_request.refusal_look),
            limit_fields: self.charges.fields().map(Arc::new),
        }
    }

    /// Ready when the exposure of a stream is switched off. Never ready for other requests: one in flight is answered.
    async fn stream_switched_off(&self, stream: Option<Stream>) {
        let route = self.route.as_deref().filter(|_| stream.is_some());
        match route.and_then(|route| self.exposure(route)) {
            Some(exposure) => self.front.exposures.wait_until_off(&exposure.name).await,
            None => std::future::pending().await,
        }
    }

    /// Ready when a stream was silent for too long. Never ready for other requests: their gateway has a deadline.
    async fn stream_is_silent(&self, stream: Option<Stream>, activity: &Activity) {
        match stream {
            Some(_) => activity.ends_for(self.limits().stream_idle_timeout).await,
            None => std::future::pending().await,
        }
    }

    /// Ends a silent stream; if no answer began yet, the client gets one.
    async fn end_silent_stream(&self, parts: &mut ReturnedParts) {
        let limit = self.limits().stream_idle_timeout;
        let refusal = Refusal::page(504, RefusalCode::StreamIdle)
            .because(format!("nothing went either way for {limit:?}"));
        let written = parts.session.response_written();
        let began = written.is_some_and(|head| {
            !head.status.is_informational() || head.status == http::StatusCode::SWITCHING_PROTOCOLS
        });
        if !began {
            parts.session.set_keepalive(None);
            self.connection.writes.until_flush();
            let look = &self.refusal_look(refusal.code);
            let style = self.page_style(look);
            let answered = refusal::answer(&mut parts.session, &refusal, style).await;
            parts.finished = answered.is_ok();
        }
        parts.refusal = Some(refusal);
    }

    /// How much of an answer an HTTP/2 stream gets at once: its client must take that much within the deadline of a
    /// write. None over HTTP/1, where the kernel sees each byte that a client acknowledges.
    fn written_at_once(&self) -> Option<usize> {
        const LEAST_RATE: usize = 1024;
        const FRAME: usize = 16 * 1024;
        if self.received.protocol() != b"HTTP/2.0" {
            return None;
        }
        let seconds = usize::try_from(self.limits().idle_timeout.as_secs()).unwrap_or(FRAME);
        Some(seconds.saturating_mul(LEAST_RATE).clamp(LEAST_RATE, FRAME))
    }

    fn come_back(
        &mut self,
        parts: Option<ReturnedParts>,
        upstream_request: Arc<UpstreamRequest>,
        time: Duration,
        waf_before: Duration,
    ) -> (Outcome, Option<ServerSession>) {
        let Some(parts) = parts else {
            // Cannot happen: the replay returns its parts when it is dropped, and pingora has dropped it.
            let refusal =
                Refusal::page(500, RefusalCode::Internal).because("the session did not come back");
            let outcome = Outcome {
                status: 0,
                bytes_in: 0,
                bytes_out: 0,
                refusal: Some(refusal),
                upstream_request: Some(upstream_request),
                upstream_time: time,
            };
            return (outcome, None);
        };
        let status = parts.answered().map_or(0, |r| r.status.as_u16());
        self.inspector = parts
            .inspector
            .map(|mutex| mutex.into_inner().unwrap_or_else(PoisonError::into_inner));
        let in_response = self.waf_time().saturating_sub(waf_before);
        let session = parts.session;
        let outcome = Outcome {
            status,
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
            refusal: parts.refusal,
            upstream_request: Some(upstream_request),
            upstream_time: time.saturating_sub(in_response),
        };
        (outcome, parts.finished.then_some(session))
    }
}
