//! The `[log]` section of the configuration. It lies here because `telemetry` is below `config` and cannot import it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::tls::TrustBundle;

/// Where logs go (`[log]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The access log.
    pub access: LogSink,
    /// How its lines look.
    pub format: AccessFormat,
    /// The audit log.
    pub audit: LogSink,
}

/// How access lines look, except on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object a line, with all that is known.
    Json,
    /// The "combined" format of Apache and nginx.
    Combined,
    /// The Elastic Common Schema, as JSON.
    Ecs,
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
    /// A syslog receiver.
    Syslog(Syslog),
    /// The collector of `[otlp]`.
    Otlp,
}

/// A syslog receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whom its certificate must come from; None is TCP without TLS.
    pub trust: Option<Arc<TrustBundle>>,
}
