//! Spans and lines as plain data: what a request leaves behind. They are encoded on the exporter's thread.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::context::{SpanId, TraceContext, TraceId};

/// A span that is over.
#[derive(Debug)]
pub struct SpanRecord {
    /// Its trace.
    pub trace: TraceId,
    /// Its own name in the trace.
    pub id: SpanId,
    /// What it is a part of.
    pub parent: Option<SpanId>,
    /// The `tracestate` that it came with.
    pub state: String,
    /// Whether the trace is sampled; some spans are kept all the same.
    pub sampled: bool,
    /// What it is about; of few values.
    pub name: Cow<'static, str>,
    /// Which side of a call it is.
    pub kind: SpanKind,
    /// Nanoseconds since 1970.
    pub begun: u64,
    /// Nanoseconds since 1970.
    pub ended: u64,
    /// What is known about it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether it counts as failed.
    pub failed: bool,
}

/// The side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Neither.
    Internal,
    /// The one that is asked.
    Server,
    /// The one that asks.
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// Whole numbers.
    Numbers(Vec<i64>),
}

/// A line of a log.
#[derive(Debug)]
pub struct LogRecord {
    /// Which log: `access` or `audit`.
    pub log: &'static str,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// The line, without its line feed.
    pub line: Vec<u8>,
    /// The request's span, if it has one.
    pub trace: Option<TraceLink>,
    /// Something went wrong or was stopped.
    pub is_warning: bool,
}

/// Which span a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceLink {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether the trace is sampled.
    pub sampled: bool,
}

impl From<&TraceContext> for TraceLink {
    fn from(context: &TraceContext) -> Self {
        Self {
            trace: context.trace,
            span: context.span,
            sampled: context.sampled,
        }
    }
}

impl Serialize for TraceLink {
    /// The id of the trace, as tools search for it.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.trace)
    }
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<bool> for Attribute {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        // OTLP has no unsigned numbers.
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u16> for Attribute {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl SpanRecord {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(_, value)| match value {
            Attribute::Text(text) => text.len(),
            Attribute::Numbers(numbers) => numbers.len() * size_of::<i64>(),
            Attribute::Number(_) | Attribute::Flag(_) => 0,
        });
        let each = size_of::<(&str, Attribute)>();
        size_of::<Self>() + attributes.map(|own| own + each).sum::<usize>() + self.state.len()
    }
}
