//! The `[log]` section of the configuration. It lies here because `telemetry` is below `config` and cannot import it.

use std::path::PathBuf;

/// Where logs go (`[log]`).
#[derive(Debug, Clone)]
pub struct Log {
    /// The access log.
    pub access: LogSink,
    /// The audit log.
    pub audit: LogSink,
}

/// The target of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSink {
    /// Nothing is written.
    Off,
    /// Standard output.
    Stdout,
    /// A file, opened again on SIGUSR1 after log rotation renamed it.
    File(PathBuf),
}
