//! The `[otlp]` section of the configuration.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;

use super::context::{Incoming, TraceContext};
use super::health::Signal;
use crate::outbound::{Client, Destination, FetchError, Request};

/// What is sent to a collector, and where to.
#[derive(Debug, PartialEq)]
pub struct OtlpSettings {
    /// Where spans go; None if no traces are made.
    pub traces: Option<Arc<Destination>>,
    /// Where lines of logs go.
    pub logs: Arc<Destination>,
    /// What the collector wants to see in each request.
    pub authorization: Option<Authorization>,
    /// The part of the traces that is sampled, from 0 to 1.
    pub sample: f64,
    /// Whose traces go on here.
    pub continues: Continue,
    /// `service.name`
    pub service: String,
    /// `host.name`, and the beginning of `service.instance.id`
    pub host: String,
}

/// Whose traces go on here. All others begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continue {
    /// Nobody's.
    Never,
    /// Those of trusted proxies.
    Trusted,
    /// Everybody's. Only a trusted proxy decides whether a trace is sampled.
    Always,
}

/// The value of Authorization. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization(pub String);

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(..)")
    }
}

impl OtlpSettings {
    /// Where a signal goes, if it goes anywhere.
    #[must_use]
    pub fn destination(&self, signal: Signal) -> Option<&Arc<Destination>> {
        match signal {
            Signal::Traces => self.traces.as_ref(),
            Signal::Logs => Some(&self.logs),
        }
    }

    /// Sends a batch with nothing in it, to see whether the collector takes it. None if the signal goes nowhere.
    pub async fn probe(&self, client: &Client, signal: Signal) -> Option<Result<(), FetchError>> {
        let to = self.destination(signal)?;
        let answer = client.send(to, self.request(Bytes::new())).await;
        Some(answer.map(|_| ()))
    }

    /// A request with this batch.
    pub(super) fn request(&self, batch: Bytes) -> Request {
        let request = Request::post("application/x-protobuf", batch);
        let Some(authorization) = &self.authorization else {
            return request;
        };
        // The configuration checked that it may be a field's value.
        let with = request.clone().with_field(AUTHORIZATION, &authorization.0);
        with.unwrap_or(request)
    }

    /// The context of a request; None if no traces are made. `incoming` is asked only if it counts.
    pub fn context(
        &self,
        trusted: bool,
        incoming: impl FnOnce() -> Option<Incoming>,
    ) -> Option<TraceContext> {
        self.traces.as_ref()?;
        let heard = match self.continues {
            Continue::Never => None,
            // Else strangers could put their requests into traces of ours.
            Continue::Trusted if !trusted => None,
            Continue::Trusted | Continue::Always => incoming(),
        };
        Some(match heard {
            Some(incoming) => TraceContext::go_on(incoming, trusted, self.sample),
            None => TraceContext::begin(self.sample),
        })
    }
}
