//! Where the logs go, as the configuration decides.

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
    /// A file, opened anew on SIGUSR1.
    File(PathBuf),
}
