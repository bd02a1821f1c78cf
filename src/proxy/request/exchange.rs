//! Decides about one request with a valid head: authority, client certificate, route, exposure, limits, caller, rules, body,
//! path, upstream; then forwards it and writes the access line.
//!
//! No gateway is dialled before [`Exchange::decide`] has let the request pass; after it nothing but the upstream, a
//! switched-off stream or the rules on responses can change the answer.

mod account;
mod cost;
mod event;
mod facts;
mod forwarding;
mod identity;
mod inspection;
mod limits;
mod own_answer;
mod shadow;
mod spans;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora::protocols::http::ServerSession;

use super::body;
use crate::config::{
    Exposure, Listener, ListenerLimits, PolicyRules, Route, RouteTarget, SniPolicy,
};
use crate::events::is_sampled;
use crate::limits::Charges;
use crate::live::Snapshot;
use crate::proxy::forward::Proxy;
use crate::proxy::forward::upstream_request::UpstreamRequest;
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::body_memory::Reservation;
use crate::proxy::shared::connection::{Connection, TlsSession};
use crate::proxy::shared::front::Front;
use crate::proxy::shared::page::{PageStyle, RefusalLook};
use crate::proxy::shared::received::Received;
use crate::proxy::shared::refusal::{self, Refusal, RefusalKind};
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::proxy::shared::request_id::request_id;
use crate::route::{Lookup, normalize_host};
use crate::telemetry::InFlight;
use crate::telemetry::otlp::TraceContext;
use crate::tls::acceptor::asks_for;
use crate::tls::{ClientCertificateMode, ClientIdentity};
use crate::transform::Cors;
use own_answer::OwnAnswer;
use waf::Transaction;

/// A request on its way.
pub(crate) struct Exchange {
    front: Arc<Front>,
    proxy: Arc<Proxy>,
    connection: Arc<Connection>,
    snapshot: Arc<Snapshot>,
    /// The listener as it is configured now; as it was if it is gone.
    listener: Arc<Listener>,
    received: Received,
    id: String,
    /// The client, as a trusted proxy reports it, otherwise the peer.
    client: SocketAddr,
    trusted: bool,
    /// Its place in a trace, if traces are made.
    trace: Option<Box<TraceContext>>,
    /// From when to when its body was held, if it is traced.
    held: Option<(Instant, Instant)>,
    route: Option<Arc<Route>>,
    /// What the gateway is asked for, if not for what the client asked for.
    rewritten: Option<Vec<u8>>,
    identity: identity::Identity,
    /// The limits that it has asked.
    charges: Charges,
    inspector: Option<Inspector>,
    /// The shadow of the policy will see it.
    shadowed: bool,
    body: Bytes,
    reservation: Option<Reservation>,
    begun: Instant,
    begun_at: SystemTime,
}

/// What comes after a request was let pass.
enum Decided {
    /// A gateway answers.
    Forward(Arc<UpstreamRequest>),
    /// The route has an answer of its own.
    Answer(OwnAnswer),
}

/// What the client got, for the log.
struct Outcome {
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    refusal: Option<Refusal>,
    upstream_request: Option<Arc<UpstreamRequest>>,
    upstream_time: Duration,
}

/// Takes one request from its head to its log line. Returns the session if the connection may be reused or must be
/// closed with care.
pub(crate) async fn run(
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
        Ok(Decided::Forward(upstream_request)) => exchange.forward(session, upstream_request).await,
        Ok(Decided::Answer(answer)) => exchange.answer(session, answer).await,
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
        mut received: Received,
    ) -> Self {
        let snapshot = front.live.pin();
        // Before anything reads the head: what says who is calling is ours to say, whoever sent it.
        let own = &snapshot.config.identity_fields;
        if !own.is_empty() {
            received.drop_fields(|name| own.drops(name));
        }
        let listener = snapshot.listener(&connection.listener.name);
        let listener = Arc::clone(listener.unwrap_or(&connection.listener));
        let peer = connection.client;
        let networks = &listener.trusted_proxies;
        let trusted = networks.iter().any(|n| n.contains(peer.ip()));
        let client = match trusted {
            true => received
                .forwarded_client(networks)
                .map_or(peer, |ip| SocketAddr::new(ip, 0)),
            false => peer,
        };
        let incoming = || spans::incoming(&received);
        let trace = front.otlp.context(trusted, incoming).map(Box::new);
        Self {
            front: Arc::clone(front),
            proxy: Arc::clone(proxy),
            connection: Arc::clone(connection),
            listener,
            received,
            id: request_id(),
            client,
            trusted,
            trace,
            held: None,
            route: None,
            rewritten: None,
            identity: identity::Identity::default(),
            charges: Charges::default(),
            inspector: None,
            shadowed: false,
            body: Bytes::new(),
            reservation: None,
            begun: Instant::now(),
            begun_at: SystemTime::now(),
            snapshot,
        }
    }

    /// Decides whether the request may go on. The order is a part of the protection: each step relies on those before
    /// it.
    async fn decide(&mut self, session: &mut ServerSession) -> Result<Decided, Refusal> {
        self.check_authority()?;
        self.check_client()?;
        let routed = self.find_route();
        let route = routed.as_ref().ok().map(|(route, _)| Arc::clone(route));
        self.ask_listener_limits(route.as_deref()).await?;
        self.check_key_set()?;
        let (route, found) = routed?;
        self.route = Some(Arc::clone(&route));
        // Before the method is checked: a route that is off must not reveal which methods it takes.
        self.check_exposure(&route)?;
        // After the switch, for the same reason.
        self.ask_route_limits(&route).await?;
        found?;
        let preflight = self.preflight_for(&route);
        // A preflight has no credentials (Fetch standard, 4.9), so nobody is asked who is calling.
        if preflight.is_none() {
            if route.client_certificate && self.client().is_none() {
                return Err(Refusal::page(403, RefusalCode::ClientCertificate)
                    .because("the route requires a client certificate"));
            }
            self.check_identity(&route).await?;
            self.ask_caller_limits(&route).await?;
        }
        self.begin_inspection(&route)?;
        self.inspect_head().await?;
        if route.stream.is_none() {
            self.hold_body(session, &route).await?;
        }
        self.inspect_body().await?;
        // After the rules, so that an attack by an odd path is inspected and logged before it is refused.
        self.check_path(&route)?;
        if let Some(cors) = preflight {
            self.check_exposure(&route)?;
            return self.preflight_answer(&cors).map(Decided::Answer);
        }
        let upstream = match &route.target {
            RouteTarget::Upstream(upstream) => upstream,
            RouteTarget::Answer(answer) => {
                // The body took time. A route that was switched off meanwhile must not answer.
                self.check_exposure(&route)?;
                return self.own_answer(answer).map(Decided::Answer);
            }
        };
        self.rewrite(&route)?;
        self.exchange_token(upstream).await?;
        let upstream_request = self.upstream_request(&route, upstream).await?;
        // The body and the wait for a place take time. A route that was switched off meanwhile must not be reached.
        self.check_exposure(&route)?;
        self.sign_identity(upstream)?;
        Ok(Decided::Forward(upstream_request))
    }

    /// What the handshake found out. Routes are served over TLS alone, so a connection without it is refused.
    fn tls(&self) -> Result<&TlsSession, Refusal> {
        let tls = self.connection.tls.as_ref();
        tls.ok_or_else(|| {
            Refusal::page(421, RefusalCode::Misdirected).because("the connection is not TLS")
        })
    }

    /// Checks that the host is the name of the handshake (RFC 9110, 7.4). Otherwise a client could use the certificate
    /// rules of one name and the routes of another.
    fn check_authority(&self) -> Result<(), Refusal> {
        let tls = self.tls()?;
        if tls.policy == SniPolicy::Any {
            return Ok(());
        }
        let host = self.received.host().map(normalize_host);
        match (&tls.sni, host) {
            (Some(sni), Some(Some(host))) if host == *sni => Ok(()),
            // HTTP/1.0 may have no host; the handshake had a name.
            (Some(_), None) if self.received.is_http10() => Ok(()),
            _ => Err(Refusal::page(421, RefusalCode::Misdirected)),
        }
    }

    /// Checks that a client that must show a certificate has shown one on this connection, under the client CA that
    /// holds now. The handshake enforces the first; this check does not rely on it.
    fn check_client(&self) -> Result<(), Refusal> {
        let tls = self.tls()?;
        let required = tls
            .client_ca
            .as_ref()
            .is_some_and(|ca| ca.mode == ClientCertificateMode::Required);
        if required && tls.client.is_none() {
            return Err(Refusal::page(403, RefusalCode::ClientCertificate)
                .because("the listener requires a client certificate"));
        }
        if !self.is_asked_as_before(tls) {
            // 421: the client may ask again on another connection (RFC 9110, 15.5.20).
            return Err(Refusal::page(421, RefusalCode::ClientCertificate)
                .because("the client CA has changed since the handshake"));
        }
        Ok(())
    }

    /// Whether a handshake would now ask for the same client certificates. A listener that is gone asks for none; its
    /// connections only end their requests.
    fn is_asked_as_before(&self, tls: &TlsSession) -> bool {
        let listener = &self.connection.listener.name;
        if self.snapshot.listener(listener).is_none() {
            return true;
        }
        let ca = tls.client_ca.as_deref();
        let Some(acceptor) = self.snapshot.acceptor(listener) else {
            return ca.is_none();
        };
        let host = self.received.host().and_then(normalize_host);
        // Under `any` the host alone decides on the route. Its name may have a client CA of its own by now.
        let by_host = host.filter(|_| tls.policy == SniPolicy::Any);
        asks_for(&acceptor, tls.sni.as_deref(), ca)
            && by_host.is_none_or(|host| asks_for(&acceptor, Some(&host), ca))
    }

    fn client(&self) -> Option<&ClientIdentity> {
        self.connection.tls.as_ref()?.client.as_ref()
    }

    /// The route, and whether it takes the method. A path that no route could have is 400 and not 404, so that the
    /// answer does not depend on which routes exist.
    #[allow(clippy::type_complexity)] // a route, and a refusal that is logged under it
    fn find_route(&self) -> Result<(Arc<Route>, Result<(), Refusal>), Refusal> {
        let is_on = |route: &Arc<Route>| {
            let exposure = self.exposure(route);
            exposure.is_none_or(|exposure| self.front.exposures.is_on(&exposure.name))
        };
        let find = |method| {
            self.snapshot.config.routes.find_among(
                &self.connection.listener.name,
                self.received.host(),
                self.received.path(),
                method,
                is_on,
            )
        };
        let asked = self
            .received
            .preflight()
            .map(|preflight| find(preflight.method));
        let found = match asked {
            // A preflight belongs to the route that would take the request.
            Some(Lookup::Found(route)) if route.cors.is_some() => Lookup::Found(route),
            _ => find(self.received.method()),
        };
        match found {
            Lookup::Found(route) | Lookup::MethodNotAllowed { nearest: route, .. }
                if !self.fits(route) =>
            {
                Err(Refusal::no_route(self.received.path()))
            }
            Lookup::Found(route) => Ok((Arc::clone(route), Ok(()))),
            Lookup::MethodNotAllowed { allow, nearest } => {
                let refusal = Refusal::page(405, RefusalCode::MethodNotAllowed)
                    .with(RefusalKind::MethodNotAllowed(allow));
                Ok((Arc::clone(nearest), Err(refusal)))
            }
            Lookup::NotFound => Err(Refusal::no_route(self.received.path())),
        }
    }

    /// What answers this request, if it is the preflight of a request for the route.
    fn preflight_for(&self, route: &Route) -> Option<Arc<Cors>> {
        let cors = route.cors.as_ref()?;
        self.received.preflight().map(|_| Arc::clone(cors))
    }

    /// Whether the whole path is one that the route takes.
    fn fits(&self, route: &Route) -> bool {
        let regex = route.path_regex.as_ref();
        regex.is_none_or(|regex| regex.matches(self.received.path()))
    }

    fn exposure(&self, route: &Route) -> Option<&Exposure> {
        let exposures = &self.snapshot.config.exposures;
        exposures.of(&route.name, &self.connection.listener.name)
    }

    /// Refuses a route that is switched off, whatever the method.
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
        checked.map_err(|fault| {
            Refusal::page(400, RefusalCode::Path(fault.code)).because(fault.reason)
        })
    }

    /// Makes the target for the gateway. After the rules, which judge what came, and checked like what came.
    fn rewrite(&mut self, route: &Route) -> Result<(), Refusal> {
        let Some(rewrite) = &route.rewrite else {
            return Ok(());
        };
        let target = rewrite.target(self, route.pass_encoded_slashes);
        let target = target.map_err(|fault| {
            Refusal::page(400, RefusalCode::Path(fault.code))
                .because(format!("after the rewrite: {}", fault.reason))
        })?;
        self.rewritten = Some(target);
        Ok(())
    }

    fn begin_inspection(&mut self, route: &Route) -> Result<(), Refusal> {
        let policy = &route.policy;
        let rules = match &policy.rules {
            PolicyRules::Off => return Ok(()),
            PolicyRules::Live(rules) => Arc::clone(rules),
            // Fail closed: a policy whose rules were refused must not pass requests uninspected.
            PolicyRules::Refused => return Err(Refusal::policy_not_live(&policy.name)),
        };
        self.shadowed = self.is_for_shadow(policy);
        let mut transaction = Transaction::new(rules, self.client, self.connection.local, &self.id);
        if let Some(caller) = &self.identity.caller {
            caller.tell(&mut transaction);
        }
        if policy.cost_sample > 0.0 && is_sampled(&self.id, policy.cost_sample) {
            transaction.time_rules();
        }
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
        let begun = self.trace.is_some().then(Instant::now);
        self.body = body::hold(
            session,
            &self.received,
            route.policy.request_body_limit,
            self.limits(),
            &mut reservation,
        )
        .await?;
        self.held = begun.map(|begun| (begun, Instant::now()));
        self.reservation = Some(reservation);
        Ok(())
    }

    fn limits(&self) -> &ListenerLimits {
        &self.listener.limits
    }

    async fn refuse(
        &mut self,
        mut session: ServerSession,
        refusal: Refusal,
    ) -> (Outcome, Option<ServerSession>) {
        let drop_it = refusal.kind == RefusalKind::Drop;
        // After a body that could not be read, nobody knows where the next request begins.
        let mut in_step = refusal.code != RefusalCode::BodyBroken;
        // A client that waits for `100 Continue` has sent no body and never will.
        if in_step && !drop_it && !session.is_body_done() && !self.received.expects_continue() {
            in_step = body::drain(&mut session).await;
        }
        if !in_step || *self.connection.guard.closing.borrow() {
            session.set_keepalive(None);
        }
        self.connection.writes.until_flush();
        let look = self.refusal_look(refusal.code);
        let answered = refusal::answer(&mut session, &refusal, self.page_style(&look)).await;
        let refusal = match &answered {
            Ok(()) => refusal,
            Err(_) => refusal.not_taken(),
        };
        let outcome = Outcome {
            status: if drop_it { 0 } else { refusal.status },
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
            refusal: Some(refusal),
            upstream_request: None,
            upstream_time: Duration::ZERO,
        };
        (outcome, (answered.is_ok() && !drop_it).then_some(session))
    }

    fn page_style<'p>(&'p self, look: &'p RefusalLook) -> PageStyle<'p> {
        PageStyle {
            look,
            request_id: &self.id,
            accept: self.received.header(b"accept"),
            head: self.received.method() == b"HEAD",
        }
    }

    fn waf_time(&self) -> Duration {
        self.inspector.as_ref().map_or(Duration::ZERO, |i| i.time)
    }
}
