//! Where the logs go, as the configuration decides.

use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct Log {
    pub access: LogSink,
    pub audit: LogSink,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSink {
    Off,
    Stdout,
    File(PathBuf),
}
