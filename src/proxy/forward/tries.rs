//! When each try of a request reached which point, for the spans of its trace. Noted only if the request has a trace.

use std::sync::Arc;
use std::time::Instant;

use pingora::Result;
use pingora::http::RequestHeader;

use crate::telemetry::otlp::{SpanId, TraceContext};
use crate::upstream::ServerState;

/// The tries of one request, in order.
#[derive(Debug)]
pub(crate) struct Tries {
    context: TraceContext,
    tries: Vec<Try>,
}

/// One connection to one server.
#[derive(Debug)]
pub(crate) struct Try {
    pub span: SpanId,
    pub server: Arc<ServerState>,
    pub begun: Instant,
    /// When there was a connection, and whether it was a kept one.
    pub connected: Option<(Instant, bool)>,
    /// When the head of the answer came, and its status.
    pub answered: Option<(Instant, u16)>,
    /// None while it goes on.
    pub ended: Option<Instant>,
    /// The code of its failure.
    pub failure: Option<&'static str>,
}

impl Tries {
    pub(crate) fn new(context: TraceContext) -> Self {
        Self {
            context,
            tries: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, server: &Arc<ServerState>) {
        self.end();
        self.tries.push(Try {
            span: SpanId::random(),
            server: Arc::clone(server),
            begun: Instant::now(),
            connected: None,
            answered: None,
            ended: None,
            failure: None,
        });
    }

    pub(super) fn connected(&mut self, is_kept: bool) {
        if let Some(last) = self.tries.last_mut() {
            last.connected = Some((Instant::now(), is_kept));
        }
    }

    pub(super) fn answered(&mut self, status: u16) {
        if let Some(last) = self.tries.last_mut() {
            last.answered = Some((Instant::now(), status));
        }
    }

    pub(super) fn failed(&mut self, code: &'static str) {
        // The first failure of a try is the cause.
        if let Some(last) = self.tries.last_mut().filter(|last| last.failure.is_none()) {
            last.failure = Some(code);
            last.ended = Some(Instant::now());
        }
    }

    /// The last one is over.
    pub(super) fn end(&mut self) {
        if let Some(last) = self.tries.last_mut() {
            last.ended.get_or_insert_with(Instant::now);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Try> {
        self.tries.iter()
    }

    /// Says to the gateway that it is a part of this try. What the client sent as its context is replaced.
    ///
    /// # Errors
    /// None: both values are made of what a field may have.
    pub(super) fn introduce(&self, request: &mut RequestHeader) -> Result<()> {
        let span = self
            .tries
            .last()
            .map_or(self.context.span, |last| last.span);
        request.insert_header("traceparent", self.context.traceparent(span))?;
        match self.context.state.as_str() {
            "" => {
                request.remove_header("tracestate");
                Ok(())
            }
            state => request.insert_header("tracestate", state),
        }
    }
}
