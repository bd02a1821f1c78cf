//! Pingora's `ProxyHttp`: which server, is it who it should be, and what when it fails.
//! What happens before is in `exchange`, what happens to the response in `replay`.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::sync::{Notify, OwnedMutexGuard};

use super::answer::{self, MOST_INTERIM};
use crate::config::{self, ConnectionAuth};
use crate::proxy::shared::logins::{self, Logins};
use crate::proxy::shared::refusal::{self, PageStyle, Refusal};
use crate::upstream::{
    Cause, Failure, Lease, OwnConnections, Permit, Pool, ServerState, check_identity, classify,
    socket,
};

/// How many kept connections may turn out to be closed before a request fails.
const MOST_REPEATS: usize = 3;

tokio::task_local! {
    /// Pingora makes a request's context without looking at the request; this is how it gets ours.
    pub static PASSAGE: Arc<Passage>;
}

/// A request that may go to its upstream.
pub struct Passage {
    pub pool: Arc<Pool>,
    pub stream: Option<config::Stream>,
    pub request_id: String,
    pub accept: Option<Vec<u8>>,
    pub head: bool,
    /// The server that the client's cookie names.
    pub pinned: Option<String>,
    /// Of the client's connection.
    pub logins: Arc<Logins>,
    /// The client connection's own way to the upstream.
    pub own: Option<Arc<OwnConnections>>,
    pub parting: Arc<Parting>,
    pub report: Mutex<Report>,
}

/// Whether a gateway connection must end with its request. Pingora decides itself what it keeps; so a request
/// that was answered stays where it is until it is dropped, its gateway connection with it.
#[derive(Debug, Default)]
pub struct Parting {
    asked: AtomicBool,
    reached: Notify,
}

impl Parting {
    fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// The answer is with the client. Never ready where the connection must end.
    pub async fn here(&self) {
        if self.asked.load(Ordering::Relaxed) {
            self.reached.notify_one();
            std::future::pending().await
        }
    }

    /// The request is to be dropped.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }
}

/// What became of it.
#[derive(Debug)]
pub struct Report {
    /// Its place among the upstream's requests, until it is done.
    permit: Option<Permit>,
    /// Its turn among the requests that share a gateway connection of their client's own.
    turn: Option<OwnedMutexGuard<()>>,
    /// The server it is with.
    lease: Option<Lease>,
    /// In order; the last is the one it was with last.
    tried: Vec<Arc<ServerState>>,
    /// The next try goes to the same server.
    again: bool,
    /// The whole head went out on the present connection.
    sent: bool,
    /// How often a kept connection turned out to be closed.
    repeats: usize,
    /// The last server began to answer.
    answered: bool,
    /// Its interim answers (1xx).
    interim: usize,
    /// Of the present connection, where its speed is to be known.
    socket: Option<Arc<OwnedFd>>,
    /// The answer was whole before the request was.
    pub answered_early: bool,
    /// At most one a try. None where there was no server to try.
    pub failures: Vec<(Option<Arc<ServerState>>, Failure)>,
    /// The last of them was the end of it.
    pub failed: bool,
    pub client_gone: bool,
}

impl Report {
    pub fn new(permit: Permit, turn: Option<OwnedMutexGuard<()>>) -> Self {
        Self {
            permit: Some(permit),
            turn,
            lease: None,
            tried: Vec::new(),
            again: false,
            sent: false,
            repeats: 0,
            answered: false,
            interim: 0,
            socket: None,
            answered_early: false,
            failures: Vec::new(),
            failed: false,
            client_gone: false,
        }
    }

    /// The head did not go out whole, so that nobody can have acted on it.
    fn is_unsent(&self, error: &Error) -> bool {
        !self.sent
            && *error.esource() == ErrorSource::Upstream
            && matches!(error.etype(), ErrorType::WriteError)
    }

    /// Whether a request that failed on a kept connection may be sent again. Where it was sent, only what
    /// is safe may, and only where the connection ended before a byte of an answer came.
    fn may_repeat(&self, session: &Session, error: &Error) -> bool {
        if self.repeats >= MOST_REPEATS || *error.esource() != ErrorSource::Upstream {
            return false;
        }
        let mut retry = error.retry;
        retry.decide_reuse(true);
        self.is_unsent(error)
            || (retry.retry() && !self.answered && !began_to_answer(error) && is_safe(session))
    }

    /// Unless it has the whole answer, and what it did not send any more is not missed; or it was the
    /// gateway that failed.
    fn client_is_gone(&mut self) {
        self.client_gone = !self.answered_early && !self.failed;
    }

    /// The last server that was tried.
    pub fn server(&self) -> Option<&Arc<ServerState>> {
        self.tried.last()
    }

    /// How many servers were tried.
    pub fn attempts(&self) -> usize {
        self.tried.len()
    }

    /// False where this try's failure is known: what was noticed first says more than what followed.
    fn failure(&mut self, failure: Failure) -> bool {
        let server = self.server().cloned();
        let known = self.failures.last().is_some_and(|(last, _)| {
            last.as_ref().map(Arc::as_ptr) == server.as_ref().map(Arc::as_ptr)
        });
        if !known {
            self.failures.push((server, failure));
        }
        !known
    }
}

impl Passage {
    pub fn report(&self) -> MutexGuard<'_, Report> {
        // Plain values, set one at a time.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request is done with its upstream.
    pub fn leave(&self) {
        let mut report = self.report();
        report.lease = None;
        report.permit = None;
        report.turn = None;
        report.socket = None;
    }

    /// The socket of the present connection. None where HTTP/2 says how much it takes.
    pub fn socket(&self) -> Option<Arc<OwnedFd>> {
        let socket = self.report().socket.clone();
        socket.filter(|_| self.stream != Some(config::Stream::Grpc))
    }

    /// The server whose turn it is.
    fn next_peer(&self) -> std::result::Result<HttpPeer, Failure> {
        let mut report = self.report();
        let kept = std::mem::take(&mut report.again).then(|| report.lease.take());
        let lease = match kept.flatten() {
            Some(lease) => lease,
            None => {
                let lease = match self.own_server().filter(|_| report.tried.is_empty()) {
                    Some(lease) => lease,
                    None => self.pool.choose(&report.tried, self.pinned.as_deref())?,
                };
                if !report.tried.is_empty() {
                    self.pool.metrics.retries.count();
                }
                report.tried.push(Arc::clone(lease.server()));
                lease
            }
        };
        report.sent = false;
        report.answered = false;
        report.interim = 0;
        report.socket = None;
        let address = lease.server().address;
        report.lease = Some(lease);
        let template = self.pool.template(self.stream);
        Ok(template.at(address, self.stream, self.own.as_deref()))
    }

    /// The server at which the client has its login.
    fn own_server(&self) -> Option<Lease> {
        let server = self.own.as_ref()?.server()?;
        self.pool.lease(&server)
    }

    /// The gateway offers a login that is the connection's, or goes on with one: the connection that this
    /// answer comes on serves no other client.
    fn offered(&self, scheme: &str, response: &mut ResponseHeader) -> Result<()> {
        // HTTP/2 (gRPC) knows no such logins, and who tries one there goes a way of their own from the beginning.
        if self.own.is_none() && self.stream != Some(config::Stream::Grpc) {
            self.parting.ask();
        }
        match self.pool.upstream.connection_auth {
            ConnectionAuth::Pin => {
                self.logins.keep_apart(&self.pool.upstream.name);
                Ok(())
            }
            ConnectionAuth::Refuse => {
                let asks = response.headers.contains_key(WWW_AUTHENTICATE);
                if logins::withdraw(response)? || !asks || response.status != 401 {
                    return Ok(());
                }
                let words = format!(
                    "it takes no login but one that is bound to the connection ({scheme}), which connection_auth = \"refuse\" refuses"
                );
                self.report().failure(Failure::new(Cause::Protocol, words));
                Err(Error::new_up(ErrorType::InvalidHTTPHeader))
            }
        }
    }

    /// The head of the server's answer, before anything else looks at it.
    fn check_answer(
        &self,
        response: &mut ResponseHeader,
        asked_to_switch: bool,
    ) -> std::result::Result<(), Failure> {
        let mut checked = answer::check(response, asked_to_switch);
        let mut report = self.report();
        report.answered = true;
        if response.status.is_informational() {
            report.interim += 1;
            if report.interim > MOST_INTERIM {
                checked = Err(format!("it sent more than {MOST_INTERIM} interim answers"));
            }
        }
        checked.map_err(|words| Failure::not_http(&words))
    }

    /// For as long as a write to it may take.
    pub fn takes_nothing(&self) {
        self.failed(classify(&Error::new_up(ErrorType::WriteTimedout)));
        self.report().failed = true;
    }

    /// Pingora did, over something that its own code does not expect.
    pub fn panicked(&self) {
        self.failed(Failure::new(
            Cause::Internal,
            "the front door failed over its answer; its own log says where",
        ));
        self.report().failed = true;
    }

    fn failed(&self, failure: Failure) {
        let mut report = self.report();
        let server = report.server().cloned();
        if report.failure(failure.clone())
            && let Some(server) = server
        {
            self.pool.failed(&server, &failure);
        }
    }
}

/// One for all listeners and requests; pingora's connection pool hangs on it.
pub struct Forward;

/// None only where pingora serves something that did not come through `exchange`.
pub type Way = Option<Arc<Passage>>;

fn lost() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "a request that nobody let pass")
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = Way;

    fn new_ctx(&self) -> Way {
        PASSAGE.try_with(Arc::clone).ok()
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, way: &mut Way) -> Result<Box<HttpPeer>> {
        let passage = way.as_ref().ok_or_else(lost)?;
        passage.next_peer().map(Box::new).map_err(|failure| {
            passage.failed(failure);
            Error::new_up(ErrorType::ConnectError)
        })
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _reused: bool,
        _: &HttpPeer,
        _fd: std::os::fd::RawFd,
        digest: Option<&Digest>,
        way: &mut Way,
    ) -> Result<()> {
        let passage = way.as_ref().ok_or_else(lost)?;
        passage.report().socket = socket(digest);
        check_identity(digest).map_err(|failure| {
            passage.failed(failure);
            Error::new_up(ErrorType::InvalidCert)
        })
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        way: &mut Way,
    ) -> Result<()> {
        if way.as_ref().and_then(|w| w.stream) == Some(config::Stream::Grpc) {
            // The one TE that HTTP/2 knows, and gRPC asks for; pingora removes it.
            request.insert_header("te", "trailers")?;
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        _: bool,
        way: &mut Way,
    ) -> Result<()> {
        // Pingora asks for the body, also for one of no bytes, once the head is flushed.
        if let Some(passage) = way {
            passage.report().sent = true;
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        way: &mut Way,
    ) -> Result<()> {
        let status = response.status.as_u16();
        let passage = way.as_ref().ok_or_else(lost)?;
        let asked_to_switch = session.as_downstream().is_upgrade_req();
        passage
            .check_answer(response, asked_to_switch)
            .map_err(|failure| {
                let error = Error::explain(ErrorType::InvalidHTTPHeader, failure.words.clone());
                passage.failed(failure);
                error.into_up()
            })?;
        let server = passage.report().server().cloned();
        if let (Some(own), Some(server)) = (&passage.own, &server) {
            own.answered_by(&server.name);
        }
        if let Some(scheme) = logins::of_answer(&response.headers) {
            passage.offered(scheme, response)?;
        }
        let Some(server) = server.filter(|_| status >= 200 || status == 101) else {
            return Ok(());
        };
        passage.pool.answered(&server, status);
        if let Some(cookie) = passage.pool.set_cookie(&server, passage.pinned.as_deref()) {
            response.append_header("Set-Cookie", cookie)?;
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        way: &mut Way,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(passage) = way {
            passage.failed(classify(&error));
            // Nothing was sent, so the next server may be tried.
            error.set_retry(passage.pool.may_try_another(&passage.report().tried));
        }
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        way: &mut Way,
        reused: bool,
    ) -> Box<Error> {
        let Some(passage) = way else { return error };
        let answered = session.response_written().is_some() || passage.report().answered;
        let again = reused && !answered && passage.report().may_repeat(session, &error);
        error.set_retry(again);
        if again {
            // A kept connection that the server closed meanwhile: the same server once more.
            let mut report = passage.report();
            report.again = true;
            report.repeats += 1;
            drop(report);
            return error;
        }
        if *error.esource() == ErrorSource::Downstream {
            passage.report().client_is_gone();
            return error;
        }
        let mut failure = classify(&error);
        let closed = failure.cause == Cause::Closed;
        // TLS 1.3 servers refuse our certificate, or its absence, after the handshake.
        failure.unclear |= closed && !reused && !answered;
        // What was sent may have been acted on, however it ended.
        let unsent = passage.report().is_unsent(&error);
        error.set_retry(unsent && passage.pool.may_try_another(&passage.report().tried));
        passage.failed(failure);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        way: &mut Way,
    ) -> FailToProxy {
        let failed = FailToProxy {
            error_code: 502,
            can_reuse_downstream: false,
        };
        let Some(passage) = way else { return failed };
        if *error.esource() == ErrorSource::Downstream {
            let mut report = passage.report();
            report.client_is_gone();
            if !report.failed {
                return failed;
            }
        }
        passage.report().failed = true;
        if session.response_written().is_some() {
            return failed;
        }
        let style = PageStyle {
            request_id: &passage.request_id,
            accept: passage.accept.as_deref(),
            head: passage.head,
        };
        let page = Refusal::page(502, "upstream");
        // A client that is gone meanwhile has no use for it.
        let _ = refusal::answer(session.as_downstream_mut(), &page, style).await;
        failed
    }

    fn suppress_error_log(&self, _: &Session, _: &Way, _: &Error) -> bool {
        // The exchange says it, in words.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Way,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Only a safe method may be acted on twice (RFC 9110, section 9.2.2), and only where all of it is in its
/// head.
fn is_safe(session: &Session) -> bool {
    let session = session.as_downstream();
    // A streamed body counts as truncated, a held one is None where it is empty.
    session.req_header().method.is_safe()
        && !session.retry_buffer_truncated()
        && session.get_retry_buffer().is_none()
}

/// Some of an answer's head came before the connection ended. Pingora calls that worth a retry too, and
/// tells it in words alone.
fn began_to_answer(error: &Error) -> bool {
    const READ: &str = "bytes already read: ";
    let context = error
        .context
        .as_ref()
        .map_or("", |context| context.as_str());
    let read = context.split_once(READ).map(|(_, read)| read);
    read.is_some_and(|read| read != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_began() {
        for (context, began) in [
            (
                "while reading response headers, bytes already read: 0",
                false,
            ),
            (
                "while reading response headers, bytes already read: 1",
                true,
            ),
            (
                "while reading response headers, bytes already read: 10",
                true,
            ),
            ("while reading h2 header", false),
        ] {
            let error = Error::explain(ErrorType::ConnectionClosed, context);
            assert_eq!(began_to_answer(&error), began, "{context}");
        }
    }
}
