//! What the front door tells about itself: the access log, counters, times and text for both.

mod access;
mod audit;
mod clock;
pub mod metrics;
mod queue;
mod sink;
mod stderr;

pub use access::{
    AccessRecord, BodyFacts, Timing, TlsFacts, UpstreamFacts, WafFacts, masked_text, text,
};
pub use audit::AuditLog;
pub use clock::{parse_rfc3339, rfc3339};
pub use metrics::{Answers, Counter, InFlight, Metrics, NO_ROUTE, Table, UpstreamMetrics};
pub use queue::LogMetrics;
pub use sink::{AccessLog, Format};
pub use stderr::{Stderr, Together, together};
