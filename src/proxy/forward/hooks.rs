//! Implements pingora's `ProxyHttp`: chooses the server, checks its identity, and handles its failures.
//!
//! No request leaves without the state that `exchange` made for it: a hook without that context fails the request.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::upstream_request::{UPSTREAM_REQUEST, UpstreamEnd, UpstreamRequest};
use crate::config;
use crate::proxy::shared::logins;
use crate::proxy::shared::page::PageStyle;
use crate::proxy::shared::refusal::{self, Refusal};
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::upstream::{Cause, check_identity, classify, socket};

/// One for all listeners and requests; pingora's connection pool belongs to it.
pub(crate) struct Forward;

/// None only if pingora serves a request that did not come through `exchange`.
pub(crate) type Context = Option<Arc<UpstreamRequest>>;

fn lost() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "a request that nobody let pass")
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        UPSTREAM_REQUEST.try_with(Arc::clone).ok()
    }

    // Pingora's default adds a compression module, which we never use.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
        let upstream_request = context.as_ref().ok_or_else(lost)?;
        upstream_request
            .next_peer()
            .map(Box::new)
            .map_err(|failure| {
                upstream_request.failed(failure);
                Error::new_up(ErrorType::ConnectError)
            })
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _fd: std::os::fd::RawFd,
        digest: Option<&Digest>,
        context: &mut Context,
    ) -> Result<()> {
        let upstream_request = context.as_ref().ok_or_else(lost)?;
        let mut progress = upstream_request.progress();
        progress.set_socket(socket(digest));
        if let Some(tries) = &mut progress.tries {
            tries.connected(reused);
        }
        drop(progress);
        check_identity(digest).map_err(|failure| {
            upstream_request.failed(failure);
            Error::new_up(ErrorType::InvalidCert)
        })
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        if context.as_ref().and_then(|w| w.stream) == Some(config::Stream::Grpc) {
            // HTTP/2 allows this one value of TE (RFC 9113, 8.2.2). gRPC requires it, and pingora removes it.
            request.insert_header("te", "trailers")?;
        }
        if let Some(upstream_request) = context
            && let Some(tries) = &upstream_request.progress().tries
        {
            tries.introduce(request)?;
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        _: bool,
        context: &mut Context,
    ) -> Result<()> {
        // Pingora calls this after the head is flushed, even without a body. So the head has gone out.
        if let Some(upstream_request) = context {
            upstream_request.progress().sent();
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        let status = response.status.as_u16();
        let upstream_request = context.as_ref().ok_or_else(lost)?;
        let asked_to_switch = session.as_downstream().is_upgrade_req();
        upstream_request
            .check_answer(response, asked_to_switch)
            .map_err(|failure| {
                let error = Error::explain(ErrorType::InvalidHTTPHeader, failure.words.clone());
                upstream_request.failed(failure);
                error.into_up()
            })?;
        let server = upstream_request.progress().server().cloned();
        if let (Some(own), Some(server)) = (&upstream_request.own, &server) {
            own.answered_by(&server.name);
        }
        if let Some(scheme) = logins::of_answer(&response.headers) {
            upstream_request.offered(scheme, response)?;
        }
        let Some(server) = server.filter(|_| status >= 200 || status == 101) else {
            return Ok(());
        };
        if let Some(tries) = &mut upstream_request.progress().tries {
            tries.answered(status);
        }
        upstream_request.pool.answered(&server, status);
        if let Some(cookie) = upstream_request
            .pool
            .set_cookie(&server, upstream_request.pinned.as_deref())
        {
            response.append_header("Set-Cookie", cookie)?;
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(upstream_request) = context {
            upstream_request.failed(classify(&error));
            // Nothing was sent, so the next server may be tried, whatever the method is.
            error.set_retry(
                upstream_request
                    .pool
                    .may_try_another(upstream_request.progress().tried()),
            );
        }
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        context: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        let Some(upstream_request) = context else {
            return error;
        };
        let answered =
            session.response_written().is_some() || upstream_request.progress().is_answered();
        let again = reused && !answered && upstream_request.progress().may_repeat(session, &error);
        error.set_retry(again);
        if again {
            // The server closed an idle connection just when it was used again: the same server is tried once more.
            upstream_request.progress().repeat();
            return error;
        }
        if *error.esource() == ErrorSource::Downstream {
            upstream_request.progress().client_left();
            return error;
        }
        let mut failure = classify(&error);
        let closed = failure.cause == Cause::Closed;
        // Servers of TLS 1.3 refuse our certificate, or its absence, after the handshake.
        failure.unclear |= closed && !reused && !answered;
        // A request that went out may have been acted on, however it ended, so it is not sent again.
        let unsent = upstream_request.progress().is_unsent(&error);
        error.set_retry(
            unsent
                && upstream_request
                    .pool
                    .may_try_another(upstream_request.progress().tried()),
        );
        upstream_request.failed(failure);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        let failed = FailToProxy {
            error_code: 502,
            can_reuse_downstream: false,
        };
        let Some(upstream_request) = context else {
            return failed;
        };
        // Our replay's errors count as the client's in pingora, also if the gateway caused them; `progress` knows
        // better.
        if *error.esource() == ErrorSource::Downstream {
            let mut progress = upstream_request.progress();
            progress.client_left();
            if progress.end() != UpstreamEnd::Failed {
                return failed;
            }
        }
        upstream_request.progress().fail();
        // With a part of an answer sent, a page would become a part of it.
        if session.response_written().is_some() {
            return failed;
        }
        let style = PageStyle {
            request_id: &upstream_request.request_id,
            accept: upstream_request.accept.as_deref(),
            head: upstream_request.head,
            look: &upstream_request.refusal_look,
        };
        let page = Refusal::page(502, RefusalCode::Upstream);
        // An error means that the client is gone, and nobody needs the page.
        let _ = refusal::answer(session.as_downstream_mut(), &page, style).await;
        failed
    }

    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        // The exchange logs it, in an operator's words.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Context,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
