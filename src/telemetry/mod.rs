//! What the front door reports about itself: the access log, the audit log, diagnostics on stderr, and counters.
//!
//! Invariant: a stalled log target stops no request. Lines go through bounded queues; those that do not fit are
//! counted. Only the end of a [`LineBatch`] waits, and briefly.

mod access;
mod audit;
pub mod families;
pub mod metrics;
pub mod otlp;
mod output;
mod queue;
mod settings;
mod sink;
mod stderr;
mod syslog;

pub use access::{
    AccessRecord, BodyFacts, Timing, TlsFacts, UpstreamFacts, Verdict, WafFacts, masked_text, text,
};
pub use audit::AuditLog;
pub use metrics::{
    Answers, Counter, DEAREST, EventMetrics, Histogram, HistogramReport, InFlight,
    LatencyHistogram, Metrics, NO_ROUTE, PolicyOnRoute, ReportedRule, RouteHistograms,
    RuleDifference, RuleFindings, RuleReport, RuleTable, ShadowFindings, ShadowJudgement,
    ShadowMetrics, ShadowOutcome, ShadowPair, Table, UpstreamMetrics,
};
pub use queue::LogMetrics;
pub use settings::{AccessFormat, Log, LogSink, Syslog};
pub use sink::AccessLog;
pub use stderr::{LineBatch, Stderr, batch_lines};
