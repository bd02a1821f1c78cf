//! Why an exchange failed: who erred, in words, and what to do.
//!
//! Invariant: no text here holds a field that was sent, a query or a user of a URL.

use std::fmt;
use std::time::Duration;

use super::message::Response;
use crate::tls::reason::CertificateFault;
use crate::tls::{DialFault, Refusal};

/// An exchange that failed.
#[derive(Debug)]
pub struct FetchError {
    /// The URL without its query.
    pub url: String,
    /// What went wrong.
    pub fault: Fault,
}

/// What went wrong.
#[derive(Debug)]
pub enum Fault {
    /// A name has no address.
    Dns {
        /// Whose name.
        of: Hop,
        /// The name.
        host: String,
        /// Why not.
        why: String,
    },
    /// There is no TCP connection.
    Connect {
        /// To whom.
        to: Hop,
        /// The address that was tried last.
        address: String,
        /// Why not.
        why: String,
    },
    /// The proxy does not connect us.
    Proxy(String),
    /// We do not take the server's certificate.
    Certificate(Refusal),
    /// The handshake failed.
    Tls {
        /// As far as OpenSSL's codes say.
        fault: DialFault,
        /// In words.
        why: String,
    },
    /// A step took too long.
    Timeout {
        /// Which one.
        step: Step,
        /// How long it had, or what was left for it.
        limit: Duration,
    },
    /// It wants us to go elsewhere, which we never do.
    Redirect {
        /// The status.
        status: u16,
        /// Where, without query and user.
        to: String,
    },
    /// Its status says that it did not do what was asked.
    Status(Box<Response>),
    /// A part of its answer is larger than we take.
    TooLarge {
        /// Which part.
        part: Part,
        /// The most bytes that we take.
        limit: usize,
    },
    /// Its answer is not HTTP as we take it.
    Malformed(String),
    /// It closed the connection before its answer was complete.
    Closed(String),
    /// The front door itself failed.
    Internal(String),
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// The proxy.
    Proxy,
    /// The server.
    Server,
}

/// The steps of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Looking up a name.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The tunnel through the proxy.
    Tunnel,
    /// The TLS handshake.
    Handshake,
    /// Sending the request, until the head of the answer.
    Head,
    /// The body of the answer.
    Body,
}

/// The parts of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Status line and fields.
    Head,
    /// The body.
    Body,
}

/// Who has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// Whoever configured this front door: an address, a name, a bundle, a way that is closed.
    Configuration,
    /// Whoever runs the proxy.
    Proxy,
    /// Whoever runs the server.
    Server,
    /// The front door itself.
    FrontDoor,
}

impl Fault {
    /// All codes.
    pub const CODES: [&'static str; 12] = [
        "dns",
        "connect",
        "proxy",
        "certificate",
        "tls",
        "timeout",
        "redirect",
        "status",
        "too_large",
        "malformed",
        "closed",
        "internal",
    ];

    /// The stable code, for metrics and machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dns { .. } => "dns",
            Self::Connect { .. } => "connect",
            Self::Proxy(_) => "proxy",
            Self::Certificate(_) => "certificate",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Redirect { .. } => "redirect",
            Self::Status(_) => "status",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Closed(_) => "closed",
            Self::Internal(_) => "internal",
        }
    }

    /// Who has to do something.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Dns { .. } | Self::Connect { .. } | Self::Redirect { .. } => {
                Culprit::Configuration
            }
            Self::Certificate(refusal) => match refusal.fault {
                // The bundle or the name that was written here does not fit what is there.
                CertificateFault::Untrusted | CertificateFault::NameMismatch => {
                    Culprit::Configuration
                }
                _ => Culprit::Server,
            },
            Self::Timeout { step, .. } => match step {
                // Silence is what a closed firewall and a wrong address have in common.
                Step::Resolve | Step::Connect => Culprit::Configuration,
                Step::Tunnel => Culprit::Proxy,
                Step::Handshake | Step::Head | Step::Body => Culprit::Server,
            },
            Self::Proxy(_) => Culprit::Proxy,
            Self::Tls { .. }
            | Self::Status(_)
            | Self::TooLarge { .. }
            | Self::Malformed(_)
            | Self::Closed(_) => Culprit::Server,
            Self::Internal(_) => Culprit::FrontDoor,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Dns { .. } => "correct the name in the URL, or have it put into the DNS",
            Self::Connect { .. } => {
                "start it, open the way to it (route, firewall), or correct the URL"
            }
            Self::Proxy(_) => {
                "correct \"proxy\" and its credentials, or have the proxy let us through"
            }
            Self::Certificate(refusal) => fix_of_certificate(refusal.fault),
            Self::Tls { fault, .. } => match fault {
                DialFault::NotTls => "correct the URL: what answers there speaks no TLS",
                DialFault::Version => "have it speak TLS 1.2 or 1.3",
                _ => "ask whoever runs it which TLS settings it takes; its own log has the reason",
            },
            Self::Timeout { step, .. } => match step {
                Step::Resolve => "look at the name servers",
                Step::Connect => "open the way to it (route, firewall), or correct the URL",
                Step::Tunnel => "look at the proxy",
                Step::Handshake | Step::Head | Step::Body => "look into its own log: it is slow",
            },
            Self::Redirect { .. } => "write the URL that it points to, if that is right",
            Self::Status(_) => "look into its own log: its answer says what it did not take",
            Self::TooLarge { .. } => {
                "correct the URL: the answer is larger than what belongs there"
            }
            Self::Malformed(_) => "correct the URL: what answers there is not what belongs there",
            Self::Closed(_) => "look into its own log: it closed the connection",
            Self::Internal(_) => "read the front door's own log",
        }
    }

    /// Whether the same request may succeed later, without anybody having done anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // These find no fault with the request itself.
            Self::Status(response) => matches!(response.status.as_u16(), 429 | 502 | 503 | 504),
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Proxy(_)
            | Self::Timeout { .. }
            | Self::Closed(_) => true,
            // Before these can change, somebody has to do something.
            Self::Certificate(_)
            | Self::Tls { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::Malformed(_)
            | Self::Internal(_) => false,
        }
    }
}

fn fix_of_certificate(fault: CertificateFault) -> &'static str {
    match fault {
        CertificateFault::Untrusted => {
            "name the trust bundle of the CA that signed it in \"trust\", once you are sure of it"
        }
        CertificateFault::MissingIntermediate => "have it send its whole chain",
        CertificateFault::NameMismatch => {
            "write a name of its certificate in the URL, or have it issued for that name"
        }
        CertificateFault::CommonNameOnly | CertificateFault::AddressOnly => {
            "have its certificate issued anew with that name as subjectAltName"
        }
        CertificateFault::Expired => "have its certificate replaced by a current one",
        CertificateFault::NotYetValid => "correct the clocks",
        CertificateFault::Weak => {
            "have it issued anew with a key of EC P-256 or RSA 2048 at least, signed with SHA-256"
        }
        CertificateFault::WrongUsage => "have it issued anew for a server",
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proxy => "the proxy",
            Self::Server => "the server",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { of, host, why } => {
                write!(f, "the name {host} of {of} does not resolve: {why}")
            }
            Self::Connect { to, address, why } => {
                write!(f, "no connection to {to} at {address}: {why}")
            }
            Self::Proxy(why) => write!(f, "the proxy: {why}"),
            Self::Certificate(refusal) => f.write_str(&refusal.words),
            Self::Tls { fault, why } => write!(f, "{}: {why}", fault.words()),
            Self::Timeout { step, limit } => {
                let what = match step {
                    Step::Resolve => "no address of its name",
                    Step::Connect => "no connection",
                    Step::Tunnel => "no tunnel through the proxy",
                    Step::Handshake => "no TLS handshake",
                    Step::Head => "no answer",
                    Step::Body => "not all of its answer's body",
                };
                write!(f, "{what} within {} ms", limit.as_millis())
            }
            Self::Redirect { status, to } => {
                write!(
                    f,
                    "it points elsewhere ({status}), which is not followed: {to}"
                )
            }
            Self::Status(response) => write!(f, "it answered {}", response.status.as_u16()),
            Self::TooLarge { part, limit } => {
                let part = match part {
                    Part::Head => "head",
                    Part::Body => "body",
                };
                write!(f, "the {part} of its answer is larger than {limit} bytes")
            }
            Self::Malformed(why) => write!(f, "its answer is not as it must be: {why}"),
            Self::Closed(why) => {
                write!(
                    f,
                    "it closed the connection before its answer was complete: {why}"
                )
            }
            Self::Internal(why) => write!(f, "the front door failed: {why}"),
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.fault)
    }
}

impl std::error::Error for FetchError {}
