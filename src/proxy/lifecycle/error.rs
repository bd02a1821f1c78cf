//! The reasons why a front door does not start.

use std::fmt;
use std::io;

use crate::exposure::StoreError;
use crate::handover::TakeoverError;
use crate::live::SnapshotError;
use crate::proxy::listener::BindError;

/// Why a front door does not open.
#[derive(Debug)]
pub enum ServeError {
    /// Something that the configuration names cannot be used (TLS, upstreams).
    Snapshot(SnapshotError),
    /// A listener's address cannot be bound.
    Bind(BindError),
    /// The access log cannot be opened.
    AccessLog(io::Error),
    /// The audit log cannot be opened.
    AuditLog(io::Error),
    /// The admin address cannot be opened.
    Admin(io::Error),
    /// The threads that serve cannot be started.
    Workers(io::Error),
    /// The key that signs tokens for gateways cannot be made.
    SigningKey(io::Error),
    /// It is not known which exposures are off, so nothing is opened.
    Exposures(StoreError),
    /// The running process did not hand over.
    TakeOver(TakeoverError),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Exposures(error) => write!(f, "exposures: {error}"),
            Self::TakeOver(error) => error.fmt(f),
            Self::AccessLog(error) => write!(f, "cannot open the access log: {error}"),
            Self::AuditLog(error) => write!(f, "cannot open the audit log: {error}"),
            Self::Admin(error) => write!(f, "cannot open the admin address: {error}"),
            Self::SigningKey(error) => write!(f, "cannot make the key of [signing]: {error}"),
            Self::Workers(error) => write!(f, "cannot start the threads that serve: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Snapshot(error) => Some(error),
            Self::Exposures(error) => Some(error),
            Self::TakeOver(error) => Some(error),
            Self::Bind(error) => Some(error),
            Self::AccessLog(source)
            | Self::AuditLog(source)
            | Self::Admin(source)
            | Self::SigningKey(source)
            | Self::Workers(source) => Some(source),
        }
    }
}
