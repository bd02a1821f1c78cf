//! Why an upstream did not answer: a stable code for machines, words for an operator.

use std::fmt;

use pingora::{Error, ErrorType};

use crate::tls::reason::CertificateFault;

/// Stable codes, the same in logs and metrics. New ones go to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    Dns,
    Refused,
    Unreachable,
    Timeout,
    Handshake,
    Untrusted,
    NameMismatch,
    Expired,
    NotYetValid,
    WeakCertificate,
    ClientCertificate,
    TlsVersion,
    Protocol,
    Closed,
    Internal,
}

impl Cause {
    /// In the order of their indexes.
    pub const ALL: [Self; 15] = [
        Self::Dns,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::Handshake,
        Self::Untrusted,
        Self::NameMismatch,
        Self::Expired,
        Self::NotYetValid,
        Self::WeakCertificate,
        Self::ClientCertificate,
        Self::TlsVersion,
        Self::Protocol,
        Self::Closed,
        Self::Internal,
    ];

    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Handshake => "handshake",
            Self::Untrusted => "untrusted",
            Self::NameMismatch => "name_mismatch",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WeakCertificate => "weak_certificate",
            Self::ClientCertificate => "client_certificate",
            Self::TlsVersion => "tls_version",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }
}

impl From<CertificateFault> for Cause {
    fn from(fault: CertificateFault) -> Self {
        match fault {
            CertificateFault::Untrusted => Self::Untrusted,
            CertificateFault::NameMismatch => Self::NameMismatch,
            CertificateFault::Expired => Self::Expired,
            CertificateFault::NotYetValid => Self::NotYetValid,
            CertificateFault::Weak => Self::WeakCertificate,
        }
    }
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub cause: Cause,
    /// Without the upstream and server, which whoever tells it puts before it.
    pub words: String,
    /// Whether a dial of our own may tell more.
    pub unclear: bool,
}

impl Failure {
    #[must_use]
    pub fn new(cause: Cause, words: impl Into<String>) -> Self {
        Self {
            cause,
            words: words.into(),
            unclear: false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// What pingora's error says of the cause.
#[must_use]
pub fn classify(error: &Error) -> Failure {
    let (cause, words) = match error.etype() {
        ErrorType::ConnectRefused => (Cause::Refused, "connection refused"),
        ErrorType::ConnectNoRoute => (Cause::Unreachable, "no route to it"),
        ErrorType::ConnectTimedout => (Cause::Timeout, "no connection in time"),
        ErrorType::ConnectError | ErrorType::SocketError | ErrorType::BindError => {
            (Cause::Unreachable, "cannot connect")
        }
        ErrorType::TLSHandshakeTimedout => (Cause::Timeout, "no TLS handshake in time"),
        ErrorType::InvalidCert => (Cause::Untrusted, "certificate not trusted"),
        ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError => {
            (Cause::Handshake, "TLS handshake failed")
        }
        ErrorType::ReadTimedout => (Cause::Timeout, "no answer in time"),
        ErrorType::WriteTimedout => (Cause::Timeout, "it did not take the request in time"),
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
            if asks_for_client_certificate(error) {
                (Cause::ClientCertificate, "it asks for a client certificate")
            } else {
                (
                    Cause::Closed,
                    "connection closed before the answer was complete",
                )
            }
        }
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
        | ErrorType::H2Error
        | ErrorType::H2Downgrade
        | ErrorType::InvalidH2 => (Cause::Protocol, "its answer is not HTTP as agreed"),
        _ => (Cause::Internal, "could not be asked"),
    };
    let unclear = matches!(
        cause,
        Cause::Untrusted | Cause::Handshake | Cause::ClientCertificate
    );
    Failure {
        unclear,
        ..Failure::new(cause, words)
    }
}

/// TLS 1.3 tells a missing client certificate only after the handshake: alert 116.
fn asks_for_client_certificate(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("certificate required") || text.contains("alert number 116")
}
