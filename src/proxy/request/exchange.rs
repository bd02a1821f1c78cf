//! One request's life: strictness is behind it, what follows is 421, route, rules, body, path,
//! upstream, and the log.

mod account;
mod inspection;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;

use super::body;
use crate::config::{
    ConnectionAuth, Exposure, Listener, ListenerKind, ListenerLimits, PolicyRules, Route,
    SniPolicy, Stream,
};
use crate::live::Snapshot;
use crate::proxy::forward::Proxy;
use crate::proxy::forward::activity::Activity;
use crate::proxy::forward::contained::contained;
use crate::proxy::forward::hooks::{PASSAGE, Passage, Report};
use crate::proxy::forward::outgoing::{self, Origin, OutgoingBody};
use crate::proxy::forward::replay::{Facts, Home, Parts, Replay};
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::body_memory::Reservation;
use crate::proxy::shared::connection::{Connection, TlsSession};
use crate::proxy::shared::front::Front;
use crate::proxy::shared::logins;
use crate::proxy::shared::received::Received;
use crate::proxy::shared::refusal::{self, PageStyle, Refusal, RefusalKind};
use crate::proxy::shared::request_id::request_id;
use crate::route::{Lookup, normalize_host};
use crate::telemetry::InFlight;
use crate::tls::{ClientCertificateMode, ClientIdentity};
use crate::upstream::OwnConnections;
use http_strict::BodyFraming;
use waf::Transaction;

/// A request on its way.
pub struct Exchange {
    front: Arc<Front>,
    proxy: Arc<Proxy>,
    connection: Arc<Connection>,
    snapshot: Arc<Snapshot>,
    received: Received,
    id: String,
    /// Whom the request is from, as far as trusted proxies are believed.
    client: SocketAddr,
    trusted: bool,
    route: Option<Arc<Route>>,
    inspector: Option<Inspector>,
    body: Bytes,
    reservation: Option<Reservation>,
    begun: Instant,
    begun_at: SystemTime,
}

/// What the client got, for the log.
struct Outcome {
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    refusal: Option<Refusal>,
    passage: Option<Arc<Passage>>,
    upstream_time: Duration,
}

/// Takes one request from its head to its log line. The session comes back where the connection
/// may live on or must be closed with care.
pub async fn run(
    front: &Arc<Front>,
    proxy: &Arc<Proxy>,
    connection: &Arc<Connection>,
    received: Received,
    mut session: ServerSession,
) -> Option<ServerSession> {
    let _in_flight = InFlight::new(&front.metrics);
    let mut exchange = Exchange::new(front, proxy, connection, received);
    let decided = exchange.decide(&mut session).await;
    let (outcome, session) = match decided {
        Ok(passage) => exchange.forward(session, passage).await,
        Err(refusal) => exchange.refuse(session, refusal).await,
    };
    exchange.end(outcome).await;
    session
}

impl Exchange {
    fn new(
        front: &Arc<Front>,
        proxy: &Arc<Proxy>,
        connection: &Arc<Connection>,
        received: Received,
    ) -> Self {
        let snapshot = front.live.pin();
        let listener = snapshot
            .listener(&connection.listener.name)
            .unwrap_or(&connection.listener);
        let peer = connection.client;
        let networks = &listener.trusted_proxies;
        let trusted = networks.iter().any(|n| n.contains(peer.ip()));
        let client = match trusted {
            true => received
                .forwarded_client(networks)
                .map_or(peer, |ip| SocketAddr::new(ip, 0)),
            false => peer,
        };
        Self {
            front: Arc::clone(front),
            proxy: Arc::clone(proxy),
            connection: Arc::clone(connection),
            received,
            id: request_id(),
            client,
            trusted,
            route: None,
            inspector: None,
            body: Bytes::new(),
            reservation: None,
            begun: Instant::now(),
            begun_at: SystemTime::now(),
            snapshot,
        }
    }

    /// Whether the request may go on.
    async fn decide(&mut self, session: &mut ServerSession) -> Result<Arc<Passage>, Refusal> {
        self.check_authority()?;
        self.check_client()?;
        let (route, found) = self.find_route()?;
        self.route = Some(Arc::clone(&route));
        self.check_exposure(&route)?;
        found?;
        if route.client_certificate && self.client().is_none() {
            return Err(Refusal::page(403, "client_certificate")
                .because("the route requires a client certificate"));
        }
        self.begin_inspection(&route)?;
        self.inspect_head().await?;
        if route.stream.is_none() {
            self.hold_body(session, &route).await?;
        }
        self.inspect_body().await?;
        self.check_path(&route)?;
        let passage = self.passage(&route).await?;
        // A body and the wait for a place take their time, and what was switched off meanwhile
        // reaches nothing.
        self.check_exposure(&route)?;
        Ok(passage)
    }

    /// What the handshake said. Routes are served over TLS alone; what came otherwise is nobody.
    fn tls(&self) -> Result<&TlsSession, Refusal> {
        let tls = self.connection.tls.as_ref();
        tls.ok_or_else(|| Refusal::page(421, "misdirected").because("the connection is not TLS"))
    }

    /// The name of the handshake is the name that is asked for (RFC 9110, 7.4).
    fn check_authority(&self) -> Result<(), Refusal> {
        let tls = self.tls()?;
        if tls.policy == SniPolicy::Any {
            return Ok(());
        }
        let host = self.received.host().map(normalize_host);
        match (&tls.sni, host) {
            (Some(sni), Some(Some(host))) if host == *sni => Ok(()),
            // HTTP/1.0 may ask without a name; the handshake had one.
            (Some(_), None) if self.received.is_http10() => Ok(()),
            _ => Err(Refusal::page(421, "misdirected")),
        }
    }

    /// Who must show a certificate has shown it to this connection, and to what counts now. The
    /// handshake saw to the first; that no request slips past it is too much to leave to it alone.
    fn check_client(&self) -> Result<(), Refusal> {
        let tls = self.tls()?;
        let required = tls
            .client_ca
            .as_ref()
            .is_some_and(|ca| ca.mode == ClientCertificateMode::Required);
        if required && tls.client.is_none() {
            return Err(Refusal::page(403, "client_certificate")
                .because("the listener requires a client certificate"));
        }
        let current = self.snapshot.listener(&self.connection.listener.name);
        let digest = |listener: &Listener| match &listener.kind {
            ListenerKind::Tls { settings, .. } => settings.clients_digest(),
            ListenerKind::Redirect { .. } => Vec::new(),
        };
        if current.is_some_and(|current| digest(current) != digest(&self.connection.listener)) {
            // 421: the client may ask again on another connection (RFC 9110, 15.5.20).
            return Err(Refusal::page(421, "client_certificate")
                .because("the client CA has changed since the handshake"));
        }
        Ok(())
    }

    fn client(&self) -> Option<&ClientIdentity> {
        self.connection.tls.as_ref()?.client.as_ref()
    }

    /// The route, and whether it takes the method. A path that no route could have is 400 rather
    /// than 404: what it is does not depend on what exists.
    #[allow(clippy::type_complexity)] // a route, and a refusal that is logged under it
    fn find_route(&self) -> Result<(Arc<Route>, Result<(), Refusal>), Refusal> {
        let is_on = |route: &Arc<Route>| {
            let exposure = self.exposure(route);
            exposure.is_none_or(|exposure| self.front.exposures.is_on(&exposure.name))
        };
        let found = self.snapshot.config.routes.find_among(
            &self.connection.listener.name,
            self.received.host(),
            self.received.path(),
            self.received.method(),
            is_on,
        );
        match found {
            Lookup::Found(route) => Ok((Arc::clone(route), Ok(()))),
            Lookup::MethodNotAllowed { allow, nearest } => {
                let refusal = Refusal::page(405, "method_not_allowed")
                    .with(RefusalKind::MethodNotAllowed(allow));
                Ok((Arc::clone(nearest), Err(refusal)))
            }
            Lookup::NotFound => Err(Refusal::no_route(self.received.path())),
        }
    }

    fn exposure(&self, route: &Route) -> Option<&Exposure> {
        let exposures = &self.snapshot.config.exposures;
        exposures.of(&route.name, &self.connection.listener.name)
    }

    /// What is switched off is refused whatever its method.
    fn check_exposure(&self, route: &Route) -> Result<(), Refusal> {
        let Some(exposure) = self.exposure(route) else {
            return Ok(());
        };
        match self.front.exposures.off_setting(&exposure.name) {
            None => Ok(()),
            Some(setting) => Err(Refusal::switched_off(
                exposure,
                &setting,
                self.received.path(),
            )),
        }
    }

    fn check_path(&self, route: &Route) -> Result<(), Refusal> {
        let checked = self.snapshot.config.routes.check_path(
            self.received.host(),
            self.received.path(),
            route.pass_encoded_slashes,
        );
        checked.map_err(|fault| Refusal::page(400, fault.code).because(fault.reason))
    }

    fn begin_inspection(&mut self, route: &Route) -> Result<(), Refusal> {
        let policy = &route.policy;
        let rules = match &policy.rules {
            PolicyRules::Off => return Ok(()),
            PolicyRules::Live(rules) => Arc::clone(rules),
            PolicyRules::Refused => return Err(Refusal::policy_not_live(&policy.name)),
        };
        let transaction = Transaction::new(rules, self.client, self.connection.local, &self.id);
        let memory = self
            .front
            .body_memory
            .reserve(self.snapshot.config.body_memory);
        self.inspector = Some(Inspector::new(transaction, policy, memory));
        Ok(())
    }

    async fn hold_body(
        &mut self,
        session: &mut ServerSession,
        route: &Route,
    ) -> Result<(), Refusal> {
        let mut reservation = self
            .front
            .body_memory
            .reserve(self.snapshot.config.body_memory);
        self.body = body::hold(
            session,
            &self.received,
            route.policy.request_body_limit,
            self.limits(),
            &mut reservation,
        )
        .await?;
        self.reservation = Some(reservation);
        Ok(())
    }

    fn limits(&self) -> &ListenerLimits {
        let listener = self.snapshot.listener(&self.connection.listener.name);
        &listener.unwrap_or(&self.connection.listener).limits
    }

    async fn passage(&self, route: &Route) -> Result<Arc<Passage>, Refusal> {
        let pool = self.snapshot.pool(&route.upstream.name).ok_or_else(|| {
            // The configuration was checked: a route names an upstream that exists.
            Refusal::page(502, "upstream").because("the route's upstream does not exist")
        })?;
        let own = self.own_way(route)?;
        let turn = match &own {
            // A stream would keep it from the others for long.
            Some(own) if route.stream.is_none() => Some(own.turn().await),
            _ => None,
        };
        let permit = pool.admit().await.map_err(|turned| {
            Refusal::page(503, turned.code)
                .because(format!(
                    "upstream {}: {}",
                    route.upstream.name, turned.words
                ))
                .with(RefusalKind::RetryAfter(turned.retry_after))
        })?;
        Ok(Arc::new(Passage {
            pool: Arc::clone(pool),
            stream: route.stream,
            request_id: self.id.clone(),
            accept: self.received.header(b"accept").map(<[u8]>::to_vec),
            head: self.received.method() == b"HEAD",
            pinned: pool.pinned(self.received.headers()),
            logins: Arc::clone(&self.connection.logins),
            own,
            parting: Arc::default(),
            report: Mutex::new(Report::new(permit, turn)),
        }))
    }

    /// The client connection's own way to the upstream, where it has or begins a login there that is bound to
    /// the connection.
    fn own_way(&self, route: &Route) -> Result<Option<Arc<OwnConnections>>, Refusal> {
        let (upstream, logins) = (&route.upstream, &self.connection.logins);
        match (logins::of_request(&self.received), upstream.connection_auth) {
            (None, _) => Ok(logins.own(&upstream.name)),
            (Some(_), ConnectionAuth::Pin) => Ok(Some(logins.keep_apart(&upstream.name))),
            (Some(scheme), ConnectionAuth::Refuse) => {
                let reason = format!(
                    "upstream {}: connection_auth = \"refuse\" refuses {scheme}",
                    upstream.name
                );
                Err(Refusal::page(403, "connection_auth").because(reason))
            }
        }
    }

    async fn refuse(
        &mut self,
        mut session: ServerSession,
        refusal: Refusal,
    ) -> (Outcome, Option<ServerSession>) {
        let drop_it = refusal.kind == RefusalKind::Drop;
        // After a body that could not be read nobody knows where the next request begins.
        let mut in_step = refusal.code != body::BROKEN;
        if in_step && !drop_it && !session.is_body_done() && !self.received.expects_continue() {
            in_step = body::drain(&mut session).await;
        }
        if !in_step || *self.connection.guard.closing.borrow() {
            session.set_keepalive(None);
        }
        self.connection.writes.until_flush();
        let answered = refusal::answer(&mut session, &refusal, self.page_style()).await;
        let refusal = match &answered {
            Ok(()) => refusal,
            Err(_) => refusal.not_taken(),
        };
        let outcome = Outcome {
            status: if drop_it { 0 } else { refusal.status },
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
            refusal: Some(refusal),
            passage: None,
            upstream_time: Duration::ZERO,
        };
        (outcome, (answered.is_ok() && !drop_it).then_some(session))
    }

    async fn forward(
        &mut self,
        mut session: ServerSession,
        passage: Arc<Passage>,
    ) -> (Outcome, Option<ServerSession>) {
        let origin = Origin {
            peer: self.connection.client,
            trusted: self.trusted,
            request_id: &self.id,
            client: self
                .connection
                .tls
                .as_ref()
                .and_then(|tls| tls.client.as_ref()),
        };
        let (outgoing_body, held) = match passage.stream {
            Some(stream) => (OutgoingBody::Streamed(stream), None),
            None => {
                let body = std::mem::take(&mut self.body);
                (OutgoingBody::Held(body.len()), Some(body))
            }
        };
        let own_name = &passage.pool.upstream.tls.server_name;
        let policy = self.route.as_ref().map(|route| &route.policy);
        let identity = passage.stream.is_none() && policy.is_some_and(|p| p.asks_for_identity);
        let request = outgoing::head(&self.received, own_name, origin, outgoing_body);
        let request = request.and_then(|mut request| {
            if identity {
                outgoing::ask_for_identity(&mut request)?;
            }
            Ok(request)
        });
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                let refusal = Refusal::page(400, "unforwardable").because(error.to_string());
                return self.refuse(session, refusal).await;
            }
        };
        if passage.stream.is_some()
            && self.received.expects_continue()
            && self.received.framing() != BodyFraming::None
        {
            // The gateway is not asked: a stream's body goes to it as it comes. A client that is
            // gone is noticed when its body is read.
            let _ = session.write_continue_response().await;
        }
        session.set_total_drain_timeout(Some(Duration::from_secs(1)));
        let activity = Activity::new();
        let facts = Facts {
            request_id: self.id.clone(),
            accept: passage.accept.clone(),
            head: passage.head,
            http10: self.received.is_http10(),
            streamed: passage.stream.is_some(),
            closing: self.connection.guard.closing.clone(),
            writes: self.connection.writes.clone(),
            inspections: Arc::clone(&self.front.inspection_threads),
            reads: self.connection.reads.clone(),
            activity: activity.clone(),
            written_at_once: self.written_at_once(),
            parting: Arc::clone(&passage.parting),
        };
        let home = Home::default();
        let waf_before = self.waf_time();
        let replay = Replay::new(
            request,
            held,
            session,
            self.inspector.take(),
            facts,
            self.front
                .body_memory
                .reserve(self.snapshot.config.body_memory),
            Arc::clone(&home),
        );
        let begun = Instant::now();
        let replayed = ServerSession::new_custom(Box::new(replay));
        let proxied = PASSAGE.scope(
            Arc::clone(&passage),
            self.proxy
                .process_new_http(replayed, &self.connection.guard.closing),
        );
        let was_silent = tokio::select! {
            // What pingora returns is the replay's connection, which it has none of.
            proxied = contained(proxied) => {
                if proxied.is_none() {
                    passage.panicked();
                }
                false
            }
            // Dropped, the replay gives back a session that has not finished: it is closed.
            () = self.stream_switched_off(passage.stream) => false,
            () = self.stream_is_silent(passage.stream, &activity) => true,
            // Answered whole: what is dropped is the gateway connection.
            () = passage.parting.reached() => false,
        };
        let upstream_time = begun.elapsed();
        passage.leave();
        let mut parts = home.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(parts) = &mut parts {
            parts.wait_for_inspector().await;
            if was_silent {
                self.end_silent_stream(parts).await;
            }
        }
        self.come_back(parts, passage, upstream_time, waf_before)
    }

    /// Never ready for what is no stream: a request in flight is answered.
    async fn stream_switched_off(&self, stream: Option<Stream>) {
        let route = self.route.as_deref().filter(|_| stream.is_some());
        match route.and_then(|route| self.exposure(route)) {
            Some(exposure) => self.front.exposures.wait_until_off(&exposure.name).await,
            None => std::future::pending().await,
        }
    }

    /// Never ready for what is no stream: its gateway has a deadline.
    async fn stream_is_silent(&self, stream: Option<Stream>, activity: &Activity) {
        match stream {
            Some(_) => activity.ends_for(self.limits().stream_idle_timeout).await,
            None => std::future::pending().await,
        }
    }

    /// Where no answer began yet, the client gets one.
    async fn end_silent_stream(&self, parts: &mut Parts) {
        let limit = self.limits().stream_idle_timeout;
        let refusal = Refusal::page(504, "stream_idle")
            .because(format!("nothing went either way for {limit:?}"));
        let written = parts.session.response_written();
        let began = written.is_some_and(|head| {
            !head.status.is_informational() || head.status == http::StatusCode::SWITCHING_PROTOCOLS
        });
        if !began {
            parts.session.set_keepalive(None);
            self.connection.writes.until_flush();
            let answered = refusal::answer(&mut parts.session, &refusal, self.page_style()).await;
            parts.finished = answered.is_ok();
        }
        parts.refusal = Some(refusal);
    }

    fn page_style(&self) -> PageStyle<'_> {
        PageStyle {
            request_id: &self.id,
            accept: self.received.header(b"accept"),
            head: self.received.method() == b"HEAD",
        }
    }

    /// How much of an answer is given to an HTTP/2 stream at once: what its client must take within the deadline
    /// of a write. None over HTTP/1, where the kernel sees each byte that a client takes.
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
        parts: Option<Parts>,
        passage: Arc<Passage>,
        time: Duration,
        waf_before: Duration,
    ) -> (Outcome, Option<ServerSession>) {
        let Some(parts) = parts else {
            // Cannot be: the replay puts them back when it is dropped, which pingora did.
            let refusal = Refusal::page(500, "internal").because("the session did not come back");
            let outcome = Outcome {
                status: 0,
                bytes_in: 0,
                bytes_out: 0,
                refusal: Some(refusal),
                passage: Some(passage),
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
            passage: Some(passage),
            upstream_time: time.saturating_sub(in_response),
        };
        (outcome, parts.finished.then_some(session))
    }

    fn waf_time(&self) -> Duration {
        self.inspector.as_ref().map_or(Duration::ZERO, |i| i.time)
    }
}
