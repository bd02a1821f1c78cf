//! The session that pingora sees once a request may go on. It says what the rules saw: the prepared
//! head, the held body; and it is where responses pass the rules before the client gets them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};

use super::activity::Activity;
use super::answer::early_hint;
use super::hooks::{PASSAGE, Parting};
use super::outgoing::strip_response;
use super::pacing::{Room, SMALLEST};
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::ahead::Reads;
use crate::proxy::shared::body_memory::Reservation;
use crate::proxy::shared::coalesced::Writes;
use crate::proxy::shared::inspection_threads::{Away, InspectionThreads};
use crate::proxy::shared::refusal::{self, PageStyle, Refusal, RefusalKind};
use crate::proxy::shared::refusal_code::RefusalCode;

/// What pingora takes and the exchange wants back.
pub struct Replay {
    request: RequestHeader,
    /// The held body; None where it is streamed.
    body: Option<Bytes>,
    /// How much of it pingora was given.
    given: usize,
    /// What was read of a streamed body and not yet given.
    unread: Bytes,
    room: Room,
    /// The client has the whole answer.
    ended: bool,
    facts: Facts,
    gate: Gate,
    /// The share of a held response in the memory for bodies.
    reservation: Reservation,
    /// Some until dropped.
    parts: Option<Parts>,
    home: Home,
}

/// What comes back.
pub struct Parts {
    pub session: ServerSession,
    /// A mutex only because sessions must be `Sync`; it is never waited for.
    pub inspector: Option<Mutex<Inspector>>,
    /// A phase that runs on another thread, where the inspector is until it is over.
    away: Option<Away<Inspected>>,
    /// The rules stopped the response.
    pub refusal: Option<Refusal>,
    /// The response was sent to its end.
    pub finished: bool,
}

/// An inspector after a phase, and what it says.
type Inspected = (Inspector, std::result::Result<(), Refusal>);

impl Parts {
    /// The head of the answer that the client got, which no interim one is.
    pub fn answered(&self) -> Option<&ResponseHeader> {
        let written = self.session.response_written();
        written.filter(|head| !head.status.is_informational() || head.status.as_u16() == 101)
    }

    /// Where pingora gave up while a phase ran, its inspector has not come back yet.
    pub async fn wait_for_inspector(&mut self) {
        if let Some(mut away) = self.away.take()
            && let Ok((inspector, _)) = away.back().await
        {
            self.inspector = Some(Mutex::new(inspector));
        }
    }
}

/// Where [`Parts`] are put when pingora is done.
pub type Home = Arc<Mutex<Option<Parts>>>;

/// What the answer depends on.
#[derive(Debug, Clone)]
pub struct Facts {
    pub request_id: String,
    pub accept: Option<Vec<u8>>,
    pub head: bool,
    pub http10: bool,
    /// No response body is held.
    pub streamed: bool,
    pub closing: tokio::sync::watch::Receiver<bool>,
    pub writes: Writes,
    pub inspections: Arc<InspectionThreads>,
    pub reads: Reads,
    pub activity: Activity,
    /// A body goes to the session in parts of at most so many bytes.
    pub written_at_once: Option<usize>,
    pub parting: Arc<Parting>,
}

/// How far a response is.
enum Gate {
    Waiting,
    /// Held for phase 4.
    Holding {
        tasks: Vec<HttpTask>,
        body: BytesMut,
    },
    Open,
    /// A phase was begun and its end not awaited: what was to pass is gone, and nothing more passes.
    Interrupted,
    /// Answered by us; what the upstream still says is dropped.
    Refused,
}

impl Replay {
    #[must_use]
    pub fn new(
        request: RequestHeader,
        body: Option<Bytes>,
        session: ServerSession,
        inspector: Option<Inspector>,
        facts: Facts,
        reservation: Reservation,
        home: Home,
    ) -> Self {
        Self {
            request,
            body,
            given: 0,
            unread: Bytes::new(),
            room: Room::default(),
            ended: false,
            facts,
            gate: Gate::Waiting,
            reservation,
            parts: Some(Parts {
                session,
                inspector: inspector.map(Mutex::new),
                away: None,
                refusal: None,
                finished: false,
            }),
            home,
        }
    }

    fn parts(&self) -> &Parts {
        // Taken in `drop` alone.
        self.parts.as_ref().expect("only drop takes the parts")
    }

    fn parts_mut(&mut self) -> &mut Parts {
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

    /// A held body that goes in pieces. A small one leaves with the head.
    fn paced(&self) -> Option<&Bytes> {
        self.body.as_ref().filter(|body| body.len() > SMALLEST)
    }

    /// The next piece of the body, once the gateway has room for it. Meanwhile the client may leave.
    /// Safe to cancel.
    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        // In `parts_mut` it would borrow all of us. Taken in `drop` alone.
        let parts = self.parts.as_mut().expect("only drop takes the parts");
        let held = self.body.is_some();
        let _watching = held.then(|| self.facts.reads.watch(self.facts.streamed));
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
            let _watching = over.then(|| self.facts.reads.watch(self.facts.streamed));
            match parts.session.read_body_or_idle(false).await? {
                None => return Ok(None),
                Some(read) => self.unread = read,
            }
        }
        let length = self.unread.len().min(most);
        Ok(Some(self.unread.split_to(length)))
    }

    /// The answer is whole, the body is not: no more of it goes to the gateway, and it does not get what
    /// looks like a whole one (RFC 9112, 9.5).
    fn stop_body(&mut self) -> Result<Option<Bytes>> {
        if let Ok(passage) = PASSAGE.try_with(Arc::clone) {
            passage.report().answered_early = true;
        }
        self.parts_mut().finished = true;
        match &self.body {
            Some(body) => {
                // Pingora tells that the length was not reached, and does not keep the connection.
                self.given = body.len();
                Ok(None)
            }
            None => Error::e_explain(ErrorType::ConnectionClosed, "answered before it was sent")
                .map_err(Error::into_down),
        }
    }

    /// Takes one task on its way to the client; what may go on is pushed to `out`.
    async fn pass(
        &mut self,
        task: HttpTask,
        out: &mut Vec<HttpTask>,
    ) -> std::result::Result<(), Refusal> {
        let result = match std::mem::replace(&mut self.gate, Gate::Interrupted) {
            Gate::Waiting => match task {
                HttpTask::Header(header, end) => self.pass_header(header, end, out).await,
                other => {
                    out.push(other);
                    Ok(())
                }
            },
            Gate::Holding { tasks, body } => self.hold(task, tasks, body, out).await,
            Gate::Open => {
                out.push(task);
                Ok(())
            }
            Gate::Refused => {
                self.gate = Gate::Refused;
                Ok(())
            }
            Gate::Interrupted => Err(Refusal::page(502, RefusalCode::Upstream)
                .because("the upstream failed while its response was inspected")),
        };
        if matches!(self.gate, Gate::Interrupted) {
            self.gate = Gate::Open;
        }
        result
    }

    /// Does a phase of the response: a short one here, a long one elsewhere.
    async fn inspect(
        &mut self,
        phase: impl FnOnce(&mut Inspector) -> std::result::Result<(), Refusal> + Send + 'static,
    ) -> std::result::Result<(), Refusal> {
        let Some(inspector) = self.inspector() else {
            return Ok(());
        };
        if !inspector.is_long() {
            return phase(inspector);
        }
        let bytes = inspector.bytes();
        let place = self.facts.inspections.place(bytes).await?;
        let parts = self.parts_mut();
        let Some(mutex) = parts.inspector.take() else {
            return Ok(());
        };
        let mut inspector = mutex.into_inner().unwrap_or_else(PoisonError::into_inner);
        let away = parts.away.insert(place.begin(move || {
            let result = phase(&mut inspector);
            (inspector, result)
        }));
        let back = away.back().await;
        parts.away = None;
        let (inspector, result) = back?;
        parts.inspector = Some(Mutex::new(inspector));
        result
    }

    async fn pass_header(
        &mut self,
        mut header: Box<ResponseHeader>,
        end: bool,
        out: &mut Vec<HttpTask>,
    ) -> std::result::Result<(), Refusal> {
        let status = header.status.as_u16();
        if status < 200 && status != 101 {
            // 100 was for us: nobody waits for it any more. 102 tells a client nothing that it may rely on.
            self.gate = Gate::Waiting;
            if status == 103
                && !self.facts.http10
                && let Some(hint) = early_hint(&header)
            {
                out.push(HttpTask::Header(Box::new(hint), false));
            }
            return Ok(());
        }
        if status != 101 {
            strip_response(&mut header, self.facts.head);
        }
        if self.facts.http10 {
            // HTTP/1.0 knows no chunks; the end of the connection is the end of the body.
            header.remove_header(&http::header::TRANSFER_ENCODING);
        }
        if *self.facts.closing.borrow() {
            self.inner_mut().set_keepalive(None);
        }
        let streamed = self.facts.streamed || status == 101;
        if let Some(inspector) = self.inspector() {
            if inspector.is_long() {
                let header = header.clone();
                self.inspect(move |inspector| inspector.response_head(&header))
                    .await?;
            } else {
                inspector.response_head(&header)?;
            }
        }
        let holds = self
            .inspector()
            .is_some_and(|inspector| !streamed && inspector.wants_response_body());
        if holds && !end {
            self.gate = Gate::Holding {
                tasks: vec![HttpTask::Header(header, end)],
                body: BytesMut::new(),
            };
            return Ok(());
        }
        if holds {
            self.inspect(|inspector| inspector.response_body(&[], true))
                .await?;
        }
        out.push(HttpTask::Header(header, end));
        Ok(())
    }

    async fn hold(
        &mut self,
        task: HttpTask,
        mut tasks: Vec<HttpTask>,
        mut body: BytesMut,
        out: &mut Vec<HttpTask>,
    ) -> std::result::Result<(), Refusal> {
        let mut end = task.is_end();
        match &task {
            HttpTask::Body(Some(data), _) => {
                // Once as it came, once for the rules.
                if self.reservation.grow(2 * data.len()).is_err() {
                    return Err(Refusal::out_of_memory());
                }
                body.extend_from_slice(data);
            }
            HttpTask::Trailer(_) | HttpTask::Done => end = true,
            HttpTask::Failed(_) => {
                // Nothing was sent yet, so the client can still be told.
                out.push(task);
                return Ok(());
            }
            _ => {}
        }
        tasks.push(task);
        let Some(inspector) = self.inspector() else {
            out.append(&mut tasks);
            return Ok(());
        };
        let limit = inspector.response_body_limit();
        if !end && body.len() < limit {
            self.gate = Gate::Holding { tasks, body };
            return Ok(());
        }
        let complete = end && body.len() <= limit;
        body.truncate(limit);
        let is_coded = tasks.first().is_some_and(|task| match task {
            HttpTask::Header(head, _) => head.headers.contains_key(http::header::CONTENT_ENCODING),
            _ => false,
        });
        inspector.expect_body(&body, is_coded);
        self.inspect(move |inspector| inspector.response_body(&body, complete))
            .await?;
        out.append(&mut tasks);
        Ok(())
    }

    async fn respond(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        if matches!(self.gate, Gate::Open) {
            return self.write(tasks).await;
        }
        let mut out = Vec::with_capacity(tasks.len());
        for task in tasks {
            if let Err(refusal) = self.pass(task, &mut out).await {
                return self.refuse(refusal).await;
            }
        }
        if out.is_empty() {
            return Ok(matches!(self.gate, Gate::Refused));
        }
        self.send(out).await
    }

    /// Sends a response's head, with the beginning of its body where that came with it.
    async fn send(&mut self, mut tasks: Vec<HttpTask>) -> Result<bool> {
        let writes = self.facts.writes.clone();
        let is_interim = |task: &&HttpTask| matches!(task, HttpTask::Header(head, _) if head.status.as_u16() == 103);
        let interim = tasks.iter().take_while(is_interim).count();
        if interim > 0 {
            let rest = tasks.split_off(interim);
            // Pingora flushes each.
            writes.until_flush();
            self.write(tasks).await?;
            if rest.is_empty() {
                return Ok(false);
            }
            tasks = rest;
        }
        let Some(HttpTask::Header(head, _)) = tasks.first() else {
            return self.write(tasks).await;
        };
        // Pingora flushes each part of a body whose length was not told, and no part of any other.
        let flushed = !head.headers.contains_key(http::header::CONTENT_LENGTH);
        let has_body =
            |task: &HttpTask| matches!(task, HttpTask::Body(Some(data), _) if !data.is_empty());
        let mut sent = Ok(false);
        if tasks.get(1).is_some_and(has_body) {
            writes.joined();
            let body = tasks.split_off(1);
            sent = self.write(tasks).await;
            tasks = body;
        }
        if flushed {
            writes.until_flush();
        } else {
            writes.at_once();
        }
        sent?;
        self.write(tasks).await
    }

    /// Each part of a body has the deadline of a write to itself, so that a client is cut that takes nothing,
    /// and not one that takes it slowly.
    async fn write(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let _writing = self.facts.activity.writing();
        let tasks = match self.facts.written_at_once {
            Some(most) => in_parts(tasks, most),
            None => tasks,
        };
        self.inner_mut().response_duplex_vec(tasks).await
    }

    /// The rules stopped the response: the client gets a page instead.
    async fn refuse(&mut self, refusal: Refusal) -> Result<bool> {
        self.gate = Gate::Refused;
        let facts = self.facts.clone();
        let style = PageStyle {
            request_id: &facts.request_id,
            accept: facts.accept.as_deref(),
            head: facts.head,
        };
        let parts = self.parts_mut();
        let dropped = refusal.kind == RefusalKind::Drop;
        facts.writes.until_flush();
        let answered = refusal::answer(&mut parts.session, &refusal, style).await;
        parts.finished = answered.is_ok() && !dropped;
        parts.refusal = Some(refusal);
        answered?;
        if dropped {
            return Error::e_explain(ErrorType::ConnectionClosed, "the rules drop the connection")
                .map_err(Error::into_down);
        }
        Ok(true)
    }
}

/// The same with no more than so many bytes of a body at once.
fn in_parts(tasks: Vec<HttpTask>, most: usize) -> Vec<HttpTask> {
    let is_large =
        |task: &HttpTask| matches!(task, HttpTask::Body(Some(data), _) if data.len() > most);
    if !tasks.iter().any(is_large) {
        return tasks;
    }
    let mut parts = Vec::new();
    for task in tasks {
        match task {
            HttpTask::Body(Some(mut data), end) => {
                while data.len() > most {
                    parts.push(HttpTask::Body(Some(data.split_to(most)), false));
                }
                parts.push(HttpTask::Body(Some(data), end));
            }
            other => parts.push(other),
        }
    }
    parts
}

impl Drop for Replay {
    fn drop(&mut self) {
        let parts = self.parts.take();
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = parts;
    }
}

/// The gateway does. Pingora takes what comes from here for the client's doing; the passage knows better.
fn takes_nothing() -> Box<Error> {
    if let Ok(passage) = PASSAGE.try_with(Arc::clone) {
        passage.takes_nothing();
    }
    Error::explain(ErrorType::WriteTimedout, "the gateway takes nothing")
}

#[async_trait]
impl Session for Replay {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        match self.body {
            Some(_) => Ok(None),
            None if !self.unread.is_empty() => Ok(Some(std::mem::take(&mut self.unread))),
            None => {
                let read = self.inner_mut().read_request_body().await;
                self.facts.activity.now();
                read
            }
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner_mut().drain_request_body().await
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, _: bool) -> Result<()> {
        self.gate = Gate::Open;
        self.inner_mut().write_response_header(resp).await
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(resp.clone()), end)
            .await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.inner_mut().write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner_mut().write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let ended = self.respond(tasks).await?;
        self.ended |= ended;
        Ok(ended)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner().get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner().get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner().get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.facts.request_id.clone()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.parts().answered()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.inner_mut().shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        match (&self.body, self.paced()) {
            (Some(_), Some(body)) => self.given >= body.len(),
            (Some(_), None) => true,
            (None, _) => self.unread.is_empty() && self.inner_mut().is_body_done(),
        }
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner_mut().finish_body().await?;
        let parts = self.parts_mut();
        parts.finished = parts.answered().is_some();
        self.facts.parting.here().await;
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.body {
            Some(body) => body.is_empty(),
            None => self.inner_mut().is_body_empty(),
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let read = match no_body_expected {
            true => {
                let _watching = self.facts.reads.watch(self.facts.streamed);
                self.inner_mut().read_body_or_idle(true).await
            }
            false if self.ended && !self.was_upgraded() => return self.stop_body(),
            false => self.next_piece().await,
        };
        self.facts.activity.now();
        read
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner().body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner().body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner().digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner_mut().digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner().client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner().server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    /// Pingora asks for it when a try begins.
    fn enable_retry_buffering(&mut self) {
        self.given = 0;
        // Outside of a passage nothing is proxied.
        if let Ok(passage) = PASSAGE.try_with(Arc::clone) {
            let patience = passage.pool.upstream.write_timeout;
            self.room = Room::on(passage.socket(), patience);
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        // What was streamed cannot be said again; what goes in pieces is not in the buffer.
        self.body.is_none() || self.paced().is_some()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let whole = self.body.clone().filter(|_| self.paced().is_none());
        whole.filter(|body| !body.is_empty())
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }

    fn is_upgrade_req(&self) -> bool {
        self.request.headers.contains_key(http::header::UPGRADE) && self.inner().is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.inner().was_upgraded()
    }
}
