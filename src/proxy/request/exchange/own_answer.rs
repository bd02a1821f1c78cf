//! Answers of routes that forward nothing: redirects, and what the configuration has written.

use std::time::Duration;

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use super::{Exchange, Outcome};
use crate::proxy::request::body;
use crate::proxy::shared::field_edits::edit_answer;
use crate::proxy::shared::refusal::{Refusal, add_limit_fields};
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::transform::{Cors, FieldEdit, PreflightFault, RouteAnswer};

/// What a client gets from a route without an upstream.
pub(super) struct OwnAnswer {
    status: u16,
    location: Option<Vec<u8>>,
    body: Bytes,
    edits: Vec<FieldEdit>,
}

impl Exchange {
    pub(super) fn own_answer(&self, answer: &RouteAnswer) -> Result<OwnAnswer, Refusal> {
        let (status, location, body, fields) = match answer {
            RouteAnswer::Redirect(redirect) => {
                let location = redirect.location(self).map_err(|fault| {
                    Refusal::page(400, RefusalCode::Unredirectable).because(fault.to_string())
                })?;
                (redirect.status(), Some(location), Bytes::new(), None)
            }
            RouteAnswer::Fixed(answer) => {
                let fields = Some(&answer.fields);
                (answer.status, None, answer.body.clone(), fields)
            }
        };
        let mut edits = Vec::new();
        if let Some(fields) = fields {
            fields.make(self, &mut edits);
        }
        // The route's own changes come last, as they do to a gateway's answer.
        edits.extend(self.answer_edits());
        Ok(OwnAnswer {
            status,
            location,
            body,
            edits,
        })
    }

    /// What a browser is told that asks before it sends a request of a page.
    pub(super) fn preflight_answer(&self, cors: &Cors) -> Result<OwnAnswer, Refusal> {
        let refuse = |fault: PreflightFault| {
            Refusal::page(403, RefusalCode::Cors).because(format!("cors {}: {fault}", cors.name))
        };
        let preflight = self.received.preflight();
        let preflight = preflight.ok_or_else(|| refuse(PreflightFault::Origin))?;
        let requested = self.received.elements(b"access-control-request-headers");
        let told = cors
            .answer_preflight(preflight, requested)
            .map_err(refuse)?;
        let mut edits = self.listener_edits();
        edits.extend(told);
        Ok(OwnAnswer {
            status: 204,
            location: None,
            body: Bytes::new(),
            edits,
        })
    }

    /// Sends the answer. Returns the session if the connection may be reused or must be closed with care.
    pub(super) async fn answer(
        &mut self,
        mut session: ServerSession,
        answer: OwnAnswer,
    ) -> (Outcome, Option<ServerSession>) {
        let mut in_step = true;
        // A client that waits for `100 Continue` has sent no body and never will.
        if !session.is_body_done() && !self.received.expects_continue() {
            in_step = body::drain(&mut session).await;
        }
        if !in_step || *self.connection.guard.closing.borrow() {
            session.set_keepalive(None);
        }
        self.connection.writes.until_flush();
        let sent = self.send(&mut session, &answer).await;
        // An answer that the client did not take is no refusal, and the line must not call it a success.
        let refusal = sent
            .is_err()
            .then(|| Refusal::page(answer.status, RefusalCode::ClientClosed).not_taken());
        let outcome = Outcome {
            status: answer.status,
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
            refusal,
            upstream_request: None,
            upstream_time: Duration::ZERO,
        };
        (outcome, sent.is_ok().then_some(session))
    }

    async fn send(&self, session: &mut ServerSession, answer: &OwnAnswer) -> pingora::Result<()> {
        let mut header = ResponseHeader::build(answer.status, Some(8))?;
        if !answer.body.is_empty() {
            header.insert_header("Content-Type", "text/plain; charset=utf-8")?;
        }
        if !matches!(answer.status, 204 | 304) {
            header.insert_header("Content-Length", answer.body.len().to_string())?;
        }
        if let Some(location) = &answer.location {
            header.insert_header("Location", location.as_slice())?;
        }
        header.insert_header("X-Request-Id", self.id.as_str())?;
        if let Some(fields) = self.charges.fields() {
            add_limit_fields(&mut header, &fields)?;
        }
        edit_answer(&answer.edits, &mut header)?;
        session.write_response_header(Box::new(header)).await?;
        let has_body = self.received.method() != b"HEAD" && !answer.body.is_empty();
        if has_body {
            session
                .write_response_body(answer.body.clone(), true)
                .await?;
        }
        session.finish_body().await
    }
}
