//! The audit log: one JSON line for each record, through a queue and a writer of its own.
//!
//! Records hold payloads of requests, so a new file is readable by its owner alone.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::access::one_line;
use super::otlp::{Otlp, TraceLink};
use super::queue::LogMetrics;
use super::{AccessFormat, AccessLog, LogSink};
use waf::Record;

/// The audit log of one front door.
#[derive(Debug)]
pub struct AuditLog(AccessLog);

impl AuditLog {
    /// Opens the sink and starts its writer. A new file gets mode 0600, because records hold payloads of requests.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the writer cannot be started.
    pub fn open(sink: &LogSink, metrics: Arc<LogMetrics>) -> io::Result<Self> {
        let format = AccessFormat::Json;
        AccessLog::open_as(sink, format, metrics, ("audit log", 0o600)).map(Self)
    }

    /// Whether anybody reads the records.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_on()
    }

    /// As [`AccessLog::to_collector`].
    #[must_use]
    pub fn to_collector(self, otlp: &Arc<Otlp>) -> Self {
        Self(self.0.collecting(otlp, "audit"))
    }

    /// As [`AccessLog::reopen`].
    pub fn reopen(&self) {
        self.0.reopen();
    }

    /// As [`AccessLog::close`].
    pub fn close(&self, deadline: Instant) {
        self.0.close(deadline);
    }

    /// Queues the record of a request with this span; drops and counts it if the queue is full.
    pub fn write(&self, record: &Record, trace: Option<TraceLink>) {
        let line = one_line(record.line());
        self.0.append(&line);
        self.0.collect(line, trace, true);
    }
}
