//! A request on its way to its upstream: which server it is at, which were tried, and how it ended.
//!
//! Pingora decides when it calls the hooks. The state of the request is kept here, so that one place decides what may
//! be sent a second time. Invariant: a request that a gateway may have acted on is sent again only if it is safe and
//! complete in its head.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::WWW_AUTHENTICATE;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::sync::{Notify, OwnedMutexGuard};

use super::answer::{self, AnswerFault, MOST_INTERIM};
use super::tries::Tries;
use crate::config::{self, ConnectionAuth};
use crate::proxy::shared::logins::{self, Logins};
use crate::proxy::shared::page::RefusalLook;
use crate::upstream::{Cause, Failure, Lease, OwnConnections, Permit, Pool, ServerState, classify};

/// How many kept connections may turn out to be closed before a request fails.
const MOST_REPEATS: usize = 3;

tokio::task_local! {
    /// Pingora creates a request's context without seeing the request; this is how the context finds ours.
    pub static UPSTREAM_REQUEST: Arc<UpstreamRequest>;
}

/// A request that may go to its upstream.
pub(crate) struct UpstreamRequest {
    pub pool: Arc<Pool>,
    pub stream: Option<config::Stream>,
    pub request_id: String,
    pub accept: Option<Vec<u8>>,
    pub head: bool,
    /// How a refusal looks.
    pub refusal_look: Arc<RefusalLook>,
    /// The id of a server in the client's cookie.
    pub pinned: Option<String>,
    /// The logins of the client's connection.
    pub logins: Arc<Logins>,
    /// The client connection's own connections to the upstream, if it needs any.
    pub own: Option<Arc<OwnConnections>>,
    pub close_after_answer: Arc<CloseAfterAnswer>,
    pub progress: Mutex<Progress>,
}

/// Whether a gateway connection must end with its request. Pingora itself decides which connections it keeps. So a
/// request that was answered waits until it is dropped, and its gateway connection with it.
#[derive(Debug, Default)]
pub(crate) struct CloseAfterAnswer {
    asked: AtomicBool,
    reached: Notify,
}

impl CloseAfterAnswer {
    fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Called when the client has the answer. Never ready if the connection must end.
    pub(crate) async fn answered(&self) {
        if self.asked.load(Ordering::Relaxed) {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Ready when the request is to be dropped.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }
}

/// How far the current try is. A try is one connection to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetryState {
    /// The head has not been sent completely, so nobody can have acted on it.
    Unsent,
    /// The whole head went out.
    Sent,
    /// The server began to answer, with so many interim answers (1xx).
    Answering { interim: usize },
    /// The server had closed the kept connection: the next try goes to the same server.
    Repeat,
}

/// How the request ended at its upstream, as far as it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamEnd {
    /// It goes on, or it ended well.
    Open,
    /// The answer was whole before the request was.
    AnsweredEarly,
    /// The last failure was the end of it.
    Failed,
    /// The client left before it had the answer.
    ClientGone,
}

/// How far the request is.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Its place among the upstream's requests, until it is done.
    permit: Option<Permit>,
    /// Its turn on the gateway connection that its client has for itself.
    turn: Option<OwnedMutexGuard<()>>,
    /// The server it is with.
    lease: Option<Lease>,
    /// In order; the last one is the current server.
    tried: Vec<Arc<ServerState>>,
    state: RetryState,
    /// How often a kept connection turned out to be closed.
    repeats: usize,
    /// The socket of the current connection, to ask how much it takes.
    socket: Option<Arc<OwnedFd>>,
    /// When the tries reached which point; None if the request has no trace.
    pub tries: Option<Tries>,
    /// At most one for each try; without a server if there was none to try.
    pub failures: Vec<(Option<Arc<ServerState>>, Failure)>,
    end: UpstreamEnd,
}

impl Progress {
    pub(crate) fn new(
        permit: Permit,
        turn: Option<OwnedMutexGuard<()>>,
        tries: Option<Tries>,
    ) -> Self {
        Self {
            permit: Some(permit),
            turn,
            lease: None,
            tried: Vec::new(),
            state: RetryState::Unsent,
            repeats: 0,
            socket: None,
            tries,
            failures: Vec::new(),
            end: UpstreamEnd::Open,
        }
    }

    /// The whole head went out.
    pub(super) fn sent(&mut self) {
        if self.state == RetryState::Unsent {
            self.state = RetryState::Sent;
        }
    }

    /// Whether the server began to answer.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, RetryState::Answering { .. })
    }

    /// The next try goes to the same server: it had closed a kept connection.
    pub(super) fn repeat(&mut self) {
        self.state = RetryState::Repeat;
        self.repeats += 1;
    }

    /// Whether the head was not sent completely, so that nobody can have acted on it.
    pub(super) fn is_unsent(&self, error: &Error) -> bool {
        self.state == RetryState::Unsent
            && *error.esource() == ErrorSource::Upstream
            && matches!(error.etype(), ErrorType::WriteError)
    }

    /// Whether a request that failed on a kept connection may be sent again. If it was sent, only what is safe may, and
    /// only if the connection ended before a byte of an answer came.
    pub(super) fn may_repeat(&self, session: &Session, error: &Error) -> bool {
        if self.repeats >= MOST_REPEATS || *error.esource() != ErrorSource::Upstream {
            return false;
        }
        // Pingora knows whether the error is that of a connection that was closed while idle.
        let mut retry = error.retry;
        retry.decide_reuse(true);
        self.is_unsent(error)
            || (retry.retry() && !self.is_answered() && !began_to_answer(error) && is_safe(session))
    }

    /// Notes that the client left, unless the gateway had failed first or the answer was complete.
    pub(super) fn client_left(&mut self) {
        if self.end == UpstreamEnd::Open {
            self.end = UpstreamEnd::ClientGone;
        }
    }

    /// The answer was whole before the request was.
    pub(super) fn answered_early(&mut self) {
        if self.end == UpstreamEnd::Open {
            self.end = UpstreamEnd::AnsweredEarly;
        }
    }

    /// The last failure was the end of the request, whatever was noticed before.
    pub(super) fn fail(&mut self) {
        self.end = UpstreamEnd::Failed;
    }

    /// How the request ended, as far as it has.
    pub(crate) fn end(&self) -> UpstreamEnd {
        self.end
    }

    /// The servers that were tried.
    pub(super) fn tried(&self) -> &[Arc<ServerState>] {
        &self.tried
    }

    pub(super) fn set_socket(&mut self, socket: Option<Arc<OwnedFd>>) {
        self.socket = socket;
    }

    /// The last server that was tried.
    pub(crate) fn server(&self) -> Option<&Arc<ServerState>> {
        self.tried.last()
    }

    /// How many servers were tried.
    pub(crate) fn attempts(&self) -> usize {
        self.tried.len()
    }

    /// Notes a failure. False if this try has one already: the first one is the cause, the others follow from it.
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

impl UpstreamRequest {
    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        // A poisoned lock is used all the same: the values are plain and set one at a time.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the places at the upstream. Called when pingora is done, before phase 5 and the log.
    pub(crate) fn leave(&self) {
        let mut progress = self.progress();
        progress.lease = None;
        progress.permit = None;
        progress.turn = None;
        progress.socket = None;
        if let Some(tries) = &mut progress.tries {
            tries.end();
        }
    }

    /// The socket of the current connection. None over HTTP/2, whose windows say how much the gateway takes.
    pub(crate) fn socket(&self) -> Option<Arc<OwnedFd>> {
        let socket = self.progress().socket.clone();
        socket.filter(|_| self.stream != Some(config::Stream::Grpc))
    }

    /// The peer for the next try.
    pub(super) fn next_peer(&self) -> std::result::Result<HttpPeer, Failure> {
        let mut progress = self.progress();
        let same_server = match progress.state {
            RetryState::Repeat => progress.lease.take(),
            _ => None,
        };
        let lease = match same_server {
            Some(lease) => lease,
            None => {
                // A login is valid at one server only. If that server fails, the others are tried without it.
                let lease = match self.own_server().filter(|_| progress.tried.is_empty()) {
                    Some(lease) => lease,
                    None => self.pool.choose(&progress.tried, self.pinned.as_deref())?,
                };
                if !progress.tried.is_empty() {
                    self.pool.metrics.retries.count();
                }
                progress.tried.push(Arc::clone(lease.server()));
                lease
            }
        };
        progress.state = RetryState::Unsent;
        progress.socket = None;
        if let Some(tries) = &mut progress.tries {
            tries.begin(lease.server());
        }
        let address = lease.server().address;
        progress.lease = Some(lease);
        let template = self.pool.template(self.stream);
        Ok(template.at(address, self.stream, self.own.as_deref()))
    }

    /// The server where the client has its login.
    fn own_server(&self) -> Option<Lease> {
        let server = self.own.as_ref()?.server()?;
        self.pool.lease(&server)
    }

    /// Called if the gateway offers a login that is bound to the connection, or continues one: the connection of this
    /// answer must serve no other client.
    pub(super) fn offered(&self, scheme: &str, response: &mut ResponseHeader) -> Result<()> {
        // With connections of its own (`own`) the client needs no end. HTTP/2 (gRPC) has no such logins.
        if self.own.is_none() && self.stream != Some(config::Stream::Grpc) {
            self.close_after_answer.ask();
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
                self.progress()
                    .failure(Failure::new(Cause::Protocol, words));
                Err(Error::new_up(ErrorType::InvalidHTTPHeader))
            }
        }
    }

    /// Checks the head of the server's answer, before anything else sees it.
    pub(super) fn check_answer(
        &self,
        response: &mut ResponseHeader,
        asked_to_switch: bool,
    ) -> std::result::Result<(), Failure> {
        let mut checked = answer::check(response, asked_to_switch);
        let mut progress = self.progress();
        let interim = match progress.state {
            RetryState::Answering { interim } => interim,
            _ => 0,
        } + usize::from(response.status.is_informational());
        progress.state = RetryState::Answering { interim };
        if interim > MOST_INTERIM {
            checked = Err(AnswerFault::TooManyInterim);
        }
        checked.map_err(|fault| Failure::not_http(&fault.to_string()))
    }

    /// The server took nothing for as long as a write may take.
    pub(crate) fn takes_nothing(&self) {
        self.failed(classify(&Error::new_up(ErrorType::WriteTimedout)));
        self.progress().fail();
    }

    /// Pingora panicked, because of something that its code does not expect.
    pub(crate) fn panicked(&self) {
        self.failed(Failure::new(
            Cause::Internal,
            "the front door failed over its answer; its own log says where",
        ));
        self.progress().fail();
    }

    pub(super) fn failed(&self, failure: Failure) {
        let mut progress = self.progress();
        if let Some(tries) = &mut progress.tries {
            tries.failed(failure.cause.code());
        }
        let server = progress.server().cloned();
        // Only the first failure of a try counts for the ejection of the server.
        if progress.failure(failure.clone())
            && let Some(server) = server
        {
            self.pool.failed(&server, &failure);
        }
    }
}

/// Whether a request may be acted on twice: only a safe method (RFC 9110, section 9.2.2), and only if it has no body.
fn is_safe(session: &Session) -> bool {
    let session = session.as_downstream();
    // A streamed body counts as truncated; an empty held body has no buffer.
    session.req_header().method.is_safe()
        && !session.retry_buffer_truncated()
        && session.get_retry_buffer().is_none()
}

/// Whether a part of an answer's head came before the connection ended. Pingora offers a retry in that case too, and
/// reports the difference only in the text of its error.
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
