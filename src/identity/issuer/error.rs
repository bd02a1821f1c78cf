//! Why what an issuer publishes cannot be used: a stable code, words, and what to do.

use std::fmt;

use identity::KeySetError;

use crate::outbound::{Fault, FetchError};

/// The most characters of a text of the issuer's that are shown.
const MOST_SHOWN: usize = 200;

/// Why what an issuer publishes cannot be used.
#[derive(Debug)]
pub enum IssuerError {
    /// There is no answer, or none that is taken.
    Fetch(FetchError),
    /// The discovery document is not one.
    Document {
        /// Where it came from.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The discovery document is another issuer's.
    OtherIssuer {
        /// Where it came from.
        url: String,
        /// The issuer that it names, as far as it is shown.
        found: String,
        /// The issuer that is configured.
        expected: String,
    },
    /// The discovery document leads to a place that is not asked.
    Endpoint {
        /// Its name in the document.
        member: &'static str,
        /// The place, as far as it is shown.
        found: String,
        /// What is wrong.
        why: String,
    },
    /// No key of the set can be used.
    Keys {
        /// Where the set came from.
        url: String,
        /// What is wrong.
        why: KeySetError,
    },
    /// The list of denied tokens is not one.
    Denied {
        /// Where it came from.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// What it says of a token is no answer.
    Introspection {
        /// Where it came from.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// It does not exchange tokens as it is asked to.
    Exchange {
        /// Where the answer came from.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It does not let us ask about tokens.
    Client {
        /// What was asked.
        url: String,
        /// Its status.
        status: u16,
    },
}

impl IssuerError {
    /// The codes besides those of [`Fault::CODES`].
    pub const CODES: [&'static str; 8] = [
        "document",
        "issuer",
        "endpoint",
        "keys",
        "denied",
        "introspection",
        "exchange",
        "client",
    ];

    /// The stable code, for metrics and machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.fault.code(),
            Self::Document { .. } => "document",
            Self::OtherIssuer { .. } => "issuer",
            Self::Endpoint { .. } => "endpoint",
            Self::Keys { .. } => "keys",
            Self::Denied { .. } => "denied",
            Self::Introspection { .. } => "introspection",
            Self::Exchange { .. } => "exchange",
            Self::Client { .. } => "client",
        }
    }

    /// All codes.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        Fault::CODES.into_iter().chain(Self::CODES)
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.fault.fix(),
            Self::Document { .. } => {
                "correct \"issuer\", or write \"jwks\" with the URL of its keys in place of \"discovery\""
            }
            Self::OtherIssuer { .. } => {
                "write \"issuer\" exactly as the document and the tokens have it"
            }
            Self::Endpoint { .. } => "have the issuer publish an https:// URL there",
            Self::Keys { .. } => {
                "have the issuer publish a key for signatures: RSA of 2048 bits at least, EC or Ed25519"
            }
            Self::Denied { .. } => "have it answer with text: a \"jti\" or \"sub\" on each line",
            Self::Introspection { .. } => {
                "correct \"introspect\": what answers there does not speak RFC 7662"
            }
            Self::Exchange { .. } => {
                "correct \"endpoint\", \"audience\", \"resource\" or \"scope\", or have the issuer exchange such tokens for this client (RFC 8693)"
            }
            Self::Client { .. } => {
                "correct the client's name and its secret in the table, or have the issuer let this client ask about tokens"
            }
        }
    }
}

/// As much of a text as is shown: without what could mislead whoever reads a log.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().take(MOST_SHOWN).collect()
}

impl fmt::Display for IssuerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::Document { url, why } => write!(f, "{url}: no discovery document: {why}"),
            Self::OtherIssuer {
                url,
                found,
                expected,
            } => write!(
                f,
                "{url}: the document is of issuer \"{found}\", not of \"{expected}\""
            ),
            Self::Endpoint { member, found, why } => {
                write!(
                    f,
                    "\"{member}\" of the discovery document is \"{found}\", which {why}"
                )
            }
            Self::Keys { url, why } => write!(f, "{url}: no usable key set: {why}"),
            Self::Denied { url, why } => write!(f, "{url}: no list of denied tokens: {why}"),
            Self::Introspection { url, why } => {
                write!(f, "{url}: no answer about a token: {why}")
            }
            Self::Exchange { url, why } => write!(f, "{url}: no exchanged token: {why}"),
            Self::Client { url, status } => {
                write!(
                    f,
                    "{url}: it does not let us ask about tokens: status {status}"
                )
            }
        }
    }
}

impl std::error::Error for IssuerError {}

impl From<FetchError> for IssuerError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}
