//! The session that pingora sees in place of the client. It replays what the rules saw, the prepared head and the held
//! body, and passes the response through the rules before the client gets it.
//!
//! Invariant: the client's session goes back to the exchange in every case, because `drop` puts it into the
//! [`ReturnSlot`], even if pingora panics or is cancelled.

#![allow(clippy::expect_used, reason = "only drop takes the parts")]

mod response;
mod session;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::{Error, ErrorType, Result};

use super::activity::Activity;
use super::pacing::{SMALLEST, SendWindow};
use super::upstream_request::{CloseAfterAnswer, UPSTREAM_REQUEST};
use crate::limits::LimitFields;
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::ahead::ReadMode;
use crate::proxy::shared::body_memory::Reservation;
use crate::proxy::shared::coalesced::WriteMode;
use crate::proxy::shared::inspection_threads::{InspectionThreads, PendingInspection};
use crate::proxy::shared::page::RefusalLook;
use crate::proxy::shared::refusal::Refusal;
use crate::transform::FieldEdit;

/// The session that pingora gets. Its parts go back to the exchange when it is dropped.
pub(crate) struct Replay {
    request: RequestHeader,
    /// The held body; None if it is streamed.
    body: Option<Bytes>,
    /// How many bytes of it pingora got.
    given: usize,
    /// What was read of a streamed body and pingora did not get yet.
    unread: Bytes,
    room: SendWindow,
    /// The client has the whole answer.
    ended: bool,
    settings: AnswerSettings,
    gate: ResponseGate,
    /// The part of the memory for bodies that a held response takes.
    reservation: Reservation,
    /// Some until dropped.
    parts: Option<ReturnedParts>,
    return_slot: ReturnSlot,
}

/// What goes back to the exchange.
pub(crate) struct ReturnedParts {
    pub session: ServerSession,
    /// A mutex only because sessions must be `Sync`; it is never waited for.
    pub inspector: Option<Mutex<Inspector>>,
    /// A phase that runs on another thread, which has the inspector until it is done.
    away: Option<PendingInspection<Inspected>>,
    /// The rules stopped the response.
    pub refusal: Option<Refusal>,
    /// The response was sent to its end.
    pub finished: bool,
}

/// An inspector after a phase, and what it says.
type Inspected = (Inspector, std::result::Result<(), Refusal>);

impl ReturnedParts {
    /// The head of the answer that the client got, which no interim one is.
    pub(crate) fn answered(&self) -> Option<&ResponseHeader> {
        let written = self.session.response_written();
        written.filter(|head| !head.status.is_informational() || head.status.as_u16() == 101)
    }

    /// Waits for the inspector, if pingora gave up while a phase ran on another thread. Phase 5 needs it.
    pub(crate) async fn wait_for_inspector(&mut self) {
        if let Some(mut away) = self.away.take()
            && let Ok((inspector, _)) = away.back().await
        {
            self.inspector = Some(Mutex::new(inspector));
        }
    }
}

/// Where [`ReturnedParts`] are put when pingora is done.
pub(crate) type ReturnSlot = Arc<Mutex<Option<ReturnedParts>>>;

/// What the answer depends on.
#[derive(Debug, Clone)]
pub(crate) struct AnswerSettings {
    pub request_id: String,
    pub accept: Option<Vec<u8>>,
    pub head: bool,
    pub http10: bool,
    /// No response body is held.
    pub streamed: bool,
    pub closing: tokio::sync::watch::Receiver<bool>,
    pub writes: WriteMode,
    pub inspection_threads: Arc<InspectionThreads>,
    pub reads: ReadMode,
    pub activity: Activity,
    /// A body goes to the session in parts of at most so many bytes.
    pub written_at_once: Option<usize>,
    pub close_after_answer: Arc<CloseAfterAnswer>,
    /// What listener and route change in the fields of the gateway's answer.
    pub edits: Arc<[FieldEdit]>,
    /// How a refusal looks.
    pub refusal_look: Arc<RefusalLook>,
    /// What the answer says of limits.
    pub limit_fields: Option<Arc<LimitFields>>,
}

/// The state of a response.
enum ResponseGate {
    Waiting,
    /// The response is held for phase 4.
    Holding {
        tasks: Vec<HttpTask>,
        body: BytesMut,
    },
    Open,
    /// A phase was started and cancelled. The held tasks are lost, so nothing more may pass.
    Interrupted,
    /// Answered by us; what the upstream still says is dropped.
    Refused,
}

impl Replay {
    #[must_use]
    pub(crate) fn new(
        request: RequestHeader,
        body: Option<Bytes>,
        session: ServerSession,
        inspector: Option<Inspector>,
        settings: AnswerSettings,
        reservation: Reservation,
        return_slot: ReturnSlot,
    ) -> Self {
        Self {
            request,
            body,
            given: 0,
            unread: Bytes::new(),
            room: SendWindow::default(),
            ended: false,
            settings,
            gate: ResponseGate::Waiting,
            reservation,
            parts: Some(ReturnedParts {
                session,
                inspector: inspector.map(Mutex::new),
                away: None,
                refusal: None,
                finished: false,
            }),
            return_slot,
        }
    }

    fn parts(&self) -> &ReturnedParts {
        // Taken in `drop` alone.
        self.parts.as_ref().expect("only drop takes the parts")
    }

    fn parts_mut(&mut self) -> &mut ReturnedParts {
        // Taken in `drop` alone.
        self.parts.as_mut().expect("only drop takes the parts")
    }

    fn inner(&self) -> &ServerSession {
        &self.parts().session
    }

    fn inner_mut(&mut self) -> &mut ServerSession {
        &mut self.parts_mut().session
    }

    fn inspector(&mut self) -> Option<&mut Inspector> {
        let mutex = self.parts_mut().inspector.as_mut()?;
        Some(mutex.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// The held body if it goes in pieces. A small one leaves with the head.
    fn paced(&self) -> Option<&Bytes> {
        self.body.as_ref().filter(|body| body.len() > SMALLEST)
    }

    /// The next piece of the body, once the gateway has room for it. Fails if the client leaves meanwhile. Safe to
    /// cancel.
    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        // Not `parts_mut`, which would borrow all of `self`. Only `drop` takes the parts.
        let parts = self.parts.as_mut().expect("only drop takes the parts");
        let held = self.body.is_some();
        let _watching = held.then(|| self.settings.reads.watch(self.settings.streamed));
        let most = tokio::select! {
            biased;
            most = self.room.wait() => most.map_err(|_| takes_nothing())?,
            left = parts.session.read_body_or_idle(true), if held => return left,
        };
        if let Some(body) = &self.body {
            let end = body.len().min(self.given + most);
            let piece = body.slice(self.given..end);
            self.given = end;
            return Ok(Some(piece));
        }
        if self.unread.is_empty() {
            let over = parts.session.is_body_done();
            let _watching = over.then(|| self.settings.reads.watch(self.settings.streamed));
            match parts.session.read_body_or_idle(false).await? {
                None => return Ok(None),
                Some(read) => self.unread = read,
            }
        }
        let length = self.unread.len().min(most);
        Ok(Some(self.unread.split_to(length)))
    }

    /// The answer is complete before the body was sent: the gateway gets no more of it, and nothing that looks like a
    /// complete body (RFC 9112, 9.5).
    fn stop_body(&mut self) -> Result<Option<Bytes>> {
        if let Ok(upstream_request) = UPSTREAM_REQUEST.try_with(Arc::clone) {
            upstream_request.progress().answered_early();
        }
        self.parts_mut().finished = true;
        match &self.body {
            Some(body) => {
                // Pingora notices that the length was not reached and does not reuse the connection.
                self.given = body.len();
                Ok(None)
            }
            None => Error::e_explain(ErrorType::ConnectionClosed, "answered before it was sent")
                .map_err(Error::into_down),
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let parts = self.parts.take();
        *self
            .return_slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = parts;
    }
}

/// The error if the gateway reads nothing. Pingora attributes errors of this session to the client, so the failure is
/// noted with the request.
fn takes_nothing() -> Box<Error> {
    if let Ok(upstream_request) = UPSTREAM_REQUEST.try_with(Arc::clone) {
        upstream_request.takes_nothing();
    }
    Error::explain(ErrorType::WriteTimedout, "the gateway takes nothing")
}
