//! Pingora's `ProxyHttp`: which server, is it who it should be, and what when it fails.
//! What happens before is in `exchange`, what happens to the response in `replay`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::refusal::{self, PageStyle, Refusal};
use crate::config;
use crate::upstream::{Cause, Failure, Pool, check_identity, classify};

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
    /// Which server is tried first.
    pub turn: usize,
    pub report: Mutex<Report>,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Report {
    /// How many servers were tried.
    pub attempts: usize,
    /// The index of the last of them, as [`Pool::server`]'s attempt.
    pub last: usize,
    /// With the attempt each belongs to.
    pub failures: Vec<(usize, Failure)>,
    /// The last of them was the end of it.
    pub failed: bool,
    pub client_gone: bool,
    /// The whole head went out on the present connection.
    sent: bool,
    /// How often a kept connection turned out to be closed.
    repeats: usize,
}

impl Report {
    /// Whether a request that failed on a kept connection may be sent again. Where its head did not go
    /// out whole nobody can have acted on it. Where it did, only a safe method may (RFC 9110, 9.2.2), and
    /// only where the connection ended before an answer began.
    fn may_repeat(&self, session: &Session, error: &Error) -> bool {
        if self.repeats >= MOST_REPEATS || *error.esource() != ErrorSource::Upstream {
            return false;
        }
        if !self.sent {
            return matches!(error.etype(), ErrorType::WriteError);
        }
        let mut retry = error.retry;
        retry.decide_reuse(true);
        retry.retry()
            && session.req_header().method.is_safe()
            && !session.as_ref().retry_buffer_truncated()
    }

    fn failure(&mut self, failure: Failure) {
        // What was noticed first says more than what followed from it.
        if self
            .failures
            .last()
            .is_none_or(|(attempt, _)| *attempt != self.last)
        {
            self.failures.push((self.last, failure));
        }
    }
}

impl Passage {
    pub fn report(&self) -> MutexGuard<'_, Report> {
        // Plain values, set one at a time.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server whose turn it is, resolved; servers whose name does not resolve are passed over.
    async fn next_peer(&self) -> std::result::Result<HttpPeer, Failure> {
        loop {
            let attempt = {
                let mut report = self.report();
                report.last = report.attempts;
                report.attempts += 1;
                report.sent = false;
                report.last
            };
            let Some(server) = self.pool.server(self.turn, attempt) else {
                return Err(Failure::new(Cause::Internal, "it has no servers"));
            };
            match server.address(attempt).await {
                Ok(address) => {
                    let template = self.pool.template(self.stream);
                    return Ok(template.at(address, self.stream));
                }
                Err(failure) if attempt + 1 >= self.pool.attempts() => return Err(failure),
                Err(_) => {}
            }
        }
    }

    fn failed(&self, failure: Failure) {
        self.report().failure(failure);
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
        passage.next_peer().await.map(Box::new).map_err(|failure| {
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
            error.set_retry(passage.report().attempts < passage.pool.attempts());
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
        let answered = session.response_written().is_some();
        let mut report = passage.report();
        error.set_retry(reused && !answered && report.may_repeat(session, &error));
        if error.retry() {
            // A kept connection that the server closed meanwhile: the same server once more.
            report.attempts = report.last;
            report.repeats += 1;
        } else if *error.esource() == ErrorSource::Downstream {
            report.client_gone = true;
        } else {
            let mut failure = classify(&error);
            // TLS 1.3 servers refuse our certificate, or its absence, after the handshake.
            failure.unclear |= failure.cause == Cause::Closed && !reused && !answered;
            report.failure(failure);
        }
        drop(report);
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
            passage.report().client_gone = true;
            return failed;
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
