//! Where audit records go: one JSON line each, through a writer like the access log's.

use std::fs::OpenOptions;
use std::io;
use std::sync::Arc;

use super::{AccessLog, Metrics};
use crate::config::LogSink;
use crate::waf::Record;

/// The audit log of one front door.
#[derive(Debug)]
pub struct AuditLog(AccessLog);

impl AuditLog {
    /// Opens the sink and starts its writer. A new file is its owner's alone: payloads are in it.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the writer cannot be started.
    pub fn open(sink: &LogSink, metrics: Arc<Metrics>) -> io::Result<Self> {
        if let LogSink::File(path) = sink {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path)?;
        }
        AccessLog::open(sink, metrics).map(Self)
    }

    /// Whether anybody reads the records.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_on()
    }

    pub fn write(&self, record: &Record) {
        self.0.append(&record.line());
    }
}
