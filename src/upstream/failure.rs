//! Why an upstream did not answer: a stable code for machines, words for an operator.

use std::{fmt, io};

use pingora::{Error, ErrorType};

use super::Upstream;
use crate::tls::reason::CertificateFault;
use crate::tls::{DialFault, Refusal};
use http_strict::explain_response_head;

/// The most fields that pingora accepts in an answer (its `MAX_HEADERS`); more are one of its parse errors.
const MOST_FIELDS: usize = 256;

/// Why an upstream failed. The codes are stable, the same in logs and metrics; a new one goes to the end, because
/// metrics are counted by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its name does not resolve.
    Dns,
    /// The connection was refused: nothing listens at its address.
    Refused,
    /// There is no route to its address.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// Another TLS failure.
    Handshake,
    /// No CA of the bundle signed its certificate.
    Untrusted,
    /// Its certificate is for other names.
    NameMismatch,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is not valid yet.
    NotYetValid,
    /// Its key or signature is too weak.
    WeakCertificate,
    /// It asks for a client certificate, or rejects ours.
    ClientCertificate,
    /// It supports no TLS version that we accept.
    TlsVersion,
    /// It violates HTTP.
    Protocol,
    /// It closed the connection before its answer was complete.
    Closed,
    /// The front door itself failed.
    Internal,
    /// It does not send the intermediate that signed its certificate.
    MissingIntermediate,
    /// Its certificate has a common name and no subjectAltName.
    CommonNameOnly,
    /// Its certificate names IP addresses only.
    AddressOnly,
    /// All servers are down.
    NoServer,
    /// A health check got another status.
    Status,
    /// Its certificate is not for servers.
    WrongUsage,
}

impl Cause {
    /// In the order of their indexes.
    pub const ALL: [Self; 21] = [
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
        Self::MissingIntermediate,
        Self::CommonNameOnly,
        Self::AddressOnly,
        Self::NoServer,
        Self::Status,
        Self::WrongUsage,
    ];

    /// The stable code, for logs, metrics and documents.
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
            Self::MissingIntermediate => "missing_intermediate",
            Self::CommonNameOnly => "common_name_only",
            Self::AddressOnly => "address_only",
            Self::NoServer => "no_server",
            Self::Status => "status",
            Self::WrongUsage => "wrong_usage",
        }
    }

    /// What to do about it, for this upstream.
    #[must_use]
    pub fn fix(self, upstream: &Upstream) -> String {
        let (name, bundle) = (&upstream.tls.server_name, &upstream.tls.trust.name);
        match self {
            Self::Dns => "correct the name in \"servers\", or have it put into the DNS".to_owned(),
            Self::Refused => "start the server, or correct the port in \"servers\"".to_owned(),
            Self::Unreachable | Self::Timeout => {
                "open the way to it (route, firewall), or correct its address in \"servers\""
                    .to_owned()
            }
            Self::Handshake => {
                "ask whoever runs it which TLS settings it takes; its own log has the reason"
                    .to_owned()
            }
            Self::Untrusted => format!(
                "have it present a certificate of a CA in trust bundle \"{bundle}\", or add its issuer's CA certificate to [trust.{bundle}] once you are sure of it"
            ),
            Self::MissingIntermediate => {
                "have it send its whole chain: its own certificate, then the intermediate that signed it"
                    .to_owned()
            }
            Self::NameMismatch => format!(
                "set server_name to a name that the certificate has, or have it issued for {name}"
            ),
            Self::CommonNameOnly | Self::AddressOnly => format!(
                "have its certificate issued anew with the subjectAltName DNS:{name}"
            ),
            Self::Expired => "replace its certificate with a current one".to_owned(),
            Self::NotYetValid => {
                "correct the clocks, or use that certificate only from its first day on".to_owned()
            }
            Self::WeakCertificate => {
                "have it issued anew with a key of EC P-256 or RSA 2048 at least, signed with SHA-256"
                    .to_owned()
            }
            Self::ClientCertificate => match upstream.tls.client_certificate {
                None => "give the upstream's tls a client_certificate = { chain = \"FILE\", key = \"FILE\" } that it takes".to_owned(),
                Some(_) => "have the client_certificate issued by a CA that it takes, or give it that CA".to_owned(),
            },
            Self::TlsVersion => "have it speak TLS 1.2 or 1.3".to_owned(),
            Self::Protocol => {
                "correct the port in \"servers\": what answers there speaks no TLS".to_owned()
            }
            Self::Closed => "look into its own log: it closed the connection".to_owned(),
            Self::Internal => "read the front door's own log".to_owned(),
            Self::NoServer => "bring one of its servers back; the log says why each is down".to_owned(),
            Self::Status => {
                "look into its own log: what it answered says that it is not well; or correct \"path\" and \"status\" of \"health\""
                    .to_owned()
            }
            Self::WrongUsage => {
                "have its certificate issued anew for a server: extendedKeyUsage serverAuth, keyUsage digitalSignature"
                    .to_owned()
            }
        }
    }
}

impl From<CertificateFault> for Cause {
    fn from(fault: CertificateFault) -> Self {
        match fault {
            CertificateFault::Untrusted => Self::Untrusted,
            CertificateFault::MissingIntermediate => Self::MissingIntermediate,
            CertificateFault::NameMismatch => Self::NameMismatch,
            CertificateFault::CommonNameOnly => Self::CommonNameOnly,
            CertificateFault::AddressOnly => Self::AddressOnly,
            CertificateFault::Expired => Self::Expired,
            CertificateFault::NotYetValid => Self::NotYetValid,
            CertificateFault::Weak => Self::WeakCertificate,
            CertificateFault::WrongUsage => Self::WrongUsage,
        }
    }
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub cause: Cause,
    /// The reason in words, without the names of upstream and server, which the log puts before it.
    pub words: String,
    /// Whether a dial of our own may find out more.
    pub unclear: bool,
}

impl Failure {
    /// A failure, with words that an operator can act on.
    #[must_use]
    pub fn new(cause: Cause, words: impl Into<String>) -> Self {
        Self {
            cause,
            words: words.into(),
            unclear: false,
        }
    }

    /// What it sent is not HTTP, or not clearly so.
    #[must_use]
    pub fn not_http(why: &str) -> Self {
        Self::new(
            Cause::Protocol,
            format!("its answer is not HTTP as agreed: {why}"),
        )
    }

    /// It reported this after the handshake.
    pub(super) fn wants_client_certificate() -> Self {
        Self::new(
            Cause::ClientCertificate,
            "it asks for a client certificate and did not get one that it takes",
        )
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.fault.into(), refusal.words)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// The failure behind an error of pingora.
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
        // Why it is not trusted pingora does not report; a dial of our own finds it out.
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
        | ErrorType::InvalidH2
        // Pingora's own types of error for a malformed chunked body.
        | ErrorType::Custom("InvalidChunk" | "InvalidTrailerEnd") => {
            return Failure::not_http(&protocol_fault(error));
        }
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

/// What is malformed in an answer. Pingora's parser reports either words of its own, or the raw head, escaped, and a
/// kind of error. The raw head shows the fault and its place.
fn protocol_fault(error: &Error) -> String {
    const RAW_HEAD: &str = "buf: ";
    /// Bytes of a message.
    const MOST: usize = 200;
    let context = error.context.as_ref().map_or("", |text| text.as_str());
    if let Some(head) = context.strip_prefix(RAW_HEAD).and_then(unescaped) {
        return explain_response_head(&head, MOST_FIELDS);
    }
    let said = match (context, &error.cause) {
        ("", Some(cause)) => cause.to_string(),
        ("", None) => error.etype().as_str().to_owned(),
        (context, _) => context.to_owned(),
    };
    // Bounded, because the words may quote what the gateway sent.
    said.chars().take(MOST).collect()
}

/// The bytes that [`<[u8]>::escape_ascii`] turned into this text.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next()? {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            b'x' => {
                // Two digits follow, and nothing else: what is written otherwise did not come from `escape_ascii`.
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            // A backslash or a quote.
            quoted => quoted,
        });
    }
    Some(out)
}

/// A server of TLS 1.3 reports a missing client certificate only after the handshake, when the request is on its way.
fn asks_for_client_certificate(error: &Error) -> bool {
    let cause = error.root_cause();
    let io = match cause.downcast_ref::<h2::Error>() {
        Some(error) => error.get_io(),
        None => cause.downcast_ref::<io::Error>(),
    };
    io.is_some_and(|error| DialFault::of_io(error) == DialFault::CertificateRequired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_their_indexes_and_codes_of_their_own() {
        let mut codes = std::collections::HashSet::new();
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index, "{cause:?}");
            assert!(codes.insert(cause.code()), "{cause:?}");
        }
        assert_eq!(Cause::ALL.last(), Some(&Cause::WrongUsage));
    }

    #[test]
    fn a_raw_head_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescaped(&all.escape_ascii().to_string()), Some(all));
        for broken in ["\\", "\\x0", "\\xzz"] {
            assert_eq!(unescaped(broken), None, "{broken}");
        }
    }
}
