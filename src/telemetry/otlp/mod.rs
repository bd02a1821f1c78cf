//! OpenTelemetry: traces of requests and lines of logs, to a collector over OTLP/HTTP.
//!
//! Invariants: a request never waits for the collector. What it has to say goes into a bounded queue; what does not fit, or
//! what the collector does not take, is dropped and counted. A span holds what the access line holds, masked alike.

mod context;
mod encode;
mod exporter;
mod health;
mod record;
mod settings;

pub use context::{Incoming, SpanId, TraceContext, TraceId};
pub use exporter::Otlp;
pub use health::{OtlpMetrics, Signal, SignalHealth, SignalMetrics, Trouble};
pub use record::{Attribute, LogRecord, SpanKind, SpanRecord, TraceLink};
pub use settings::{Authorization, Continue, OtlpSettings};
