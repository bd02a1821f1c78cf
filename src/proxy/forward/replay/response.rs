//! Passes the response through phases 3 and 4 of the rules; its body is held only if they want it.

use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, ErrorType, Result};

use super::{Replay, ResponseGate};
use crate::proxy::forward::answer::early_hint;
use crate::proxy::forward::outgoing::strip_response;
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::field_edits::edit_answer;
use crate::proxy::shared::page::PageStyle;
use crate::proxy::shared::refusal::{self, Refusal, RefusalKind};
use crate::proxy::shared::refusal_code::RefusalCode;

impl Replay {
    /// Takes one task on its way to the client. What may go on is added to `out`.
    async fn pass(
        &mut self,
        task: HttpTask,
        out: &mut Vec<HttpTask>,
    ) -> std::result::Result<(), Refusal> {
        // If pingora drops this future in the middle, the gate stays `Interrupted`, so nothing passes uninspected.
        let result = match std::mem::replace(&mut self.gate, ResponseGate::Interrupted) {
            ResponseGate::Waiting => match task {
                HttpTask::Header(header, end) => self.pass_header(header, end, out).await,
                other => {
                    out.push(other);
                    Ok(())
                }
            },
            ResponseGate::Holding { tasks, body } => self.hold(task, tasks, body, out).await,
            ResponseGate::Open => {
                out.push(task);
                Ok(())
            }
            ResponseGate::Refused => {
                self.gate = ResponseGate::Refused;
                Ok(())
            }
            ResponseGate::Interrupted => Err(Refusal::page(502, RefusalCode::Upstream)
                .because("the upstream failed while its response was inspected")),
        };
        if matches!(self.gate, ResponseGate::Interrupted) {
            self.gate = ResponseGate::Open;
        }
        result
    }

    /// Runs a phase of the response: a short one here, a long one on a thread for inspections.
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
        let place = self.settings.inspection_threads.place(bytes).await?;
        // Waits for a thread before it takes the inspector, which a cancelled wait would lose.
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
            // 100 answers our request, and the client got its own. 102 says nothing that a client can rely on.
            self.gate = ResponseGate::Waiting;
            if status == 103
                && !self.settings.http10
                && let Some(hint) = early_hint(&header)
            {
                out.push(HttpTask::Header(Box::new(hint), false));
            }
            return Ok(());
        }
        if status != 101 {
            strip_response(&mut header, self.settings.head);
        }
        if self.settings.http10 {
            // HTTP/1.0 has no chunked coding; the end of the connection ends the body.
            header.remove_header(&http::header::TRANSFER_ENCODING);
        }
        if *self.settings.closing.borrow() {
            self.inner_mut().set_keepalive(None);
        }
        let streamed = self.settings.streamed || status == 101;
        if let Some(inspector) = self.inspector() {
            if inspector.is_long() {
                // Only a long phase needs a copy, because it runs on another thread.
                let header = header.clone();
                self.inspect(move |inspector| inspector.response_head(&header))
                    .await?;
            } else {
                inspector.response_head(&header)?;
            }
        }
        // After the rules, which look at what the gateway said.
        edit_answer(&self.settings.edits, &mut header).map_err(|error| {
            Refusal::page(500, RefusalCode::Internal).because(error.to_string())
        })?;
        if let Some(fields) = &self.settings.limit_fields {
            refusal::add_limit_fields(&mut header, fields).map_err(|error| {
                Refusal::page(500, RefusalCode::Internal).because(error.to_string())
            })?;
        }
        let holds = self
            .inspector()
            .is_some_and(|inspector| !streamed && inspector.wants_response_body());
        // Phase 4 may still refuse, so the head waits for it too.
        if holds && !end {
            self.gate = ResponseGate::Holding {
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
                // Twice: the tasks hold it as it came, `body` in one piece for the rules.
                if self.reservation.grow(2 * data.len()).is_err() {
                    return Err(Refusal::out_of_memory());
                }
                body.extend_from_slice(data);
            }
            HttpTask::Trailer(_) | HttpTask::Done => end = true,
            HttpTask::Failed(_) => {
                // Nothing was sent yet, so the client can still get an error page.
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
        // A body that just fills the limit may end with the next task, and is then within the limit.
        if !end && body.len() <= limit {
            self.gate = ResponseGate::Holding { tasks, body };
            return Ok(());
        }
        // The rest of a larger body goes on uninspected or is refused, as the policy says (SecResponseBodyLimitAction).
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

    pub(super) async fn respond(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        // Most tasks come after the head; they need no second list.
        if matches!(self.gate, ResponseGate::Open) {
            return self.write(tasks).await;
        }
        let mut out = Vec::with_capacity(tasks.len());
        for task in tasks {
            if let Err(refusal) = self.pass(task, &mut out).await {
                return self.refuse(refusal).await;
            }
        }
        if out.is_empty() {
            return Ok(matches!(self.gate, ResponseGate::Refused));
        }
        self.send(out).await
    }

    /// Sends the head of a response together with the beginning of its body, if that is there: one TLS record and one
    /// system call instead of two.
    async fn send(&mut self, mut tasks: Vec<HttpTask>) -> Result<bool> {
        let writes = self.settings.writes.clone();
        let is_interim = |task: &&HttpTask| matches!(task, HttpTask::Header(head, _) if head.status.as_u16() == 103);
        let interim = tasks.iter().take_while(is_interim).count();
        if interim > 0 {
            let rest = tasks.split_off(interim);
            // Pingora flushes each interim answer.
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
        // Pingora flushes each part of a body without Content-Length, and none of a body with it. Held back, the latter
        // would wait for a flush that never comes.
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

    /// Each part of a body has a write deadline of its own, so that a client that takes nothing is disconnected, but
    /// not one that is slow.
    async fn write(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let _writing = self.settings.activity.writing();
        let tasks = match self.settings.written_at_once {
            Some(most) => in_parts(tasks, most),
            None => tasks,
        };
        self.inner_mut().response_duplex_vec(tasks).await
    }

    /// The rules stopped the response: the client gets a page instead. Nothing of the response was sent before, so this
    /// is always possible.
    async fn refuse(&mut self, refusal: Refusal) -> Result<bool> {
        self.gate = ResponseGate::Refused;
        let settings = self.settings.clone();
        let style = PageStyle {
            request_id: &settings.request_id,
            accept: settings.accept.as_deref(),
            head: settings.head,
            look: &settings.refusal_look,
        };
        let parts = self.parts_mut();
        let dropped = refusal.kind == RefusalKind::Drop;
        settings.writes.until_flush();
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

/// The same tasks with at most `most` bytes of body in each.
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
