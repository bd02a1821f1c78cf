//! What a new trust bundle does to the servers of those upstreams that use the bundle, as `drawbridge certs rehearse` and the
//! admin API say it. Changes nothing and sends no request.

use std::sync::Arc;

use serde_json::{Value, json};

use super::diagnose::{dial, dial_trusting};
use super::{Cause, Failure, Pool, Upstream};
use crate::tls::TrustBundle;

/// Every server that was dialled with the old and with the new bundle.
pub struct RehearsedBundle {
    /// The name of the bundle.
    pub trust: String,
    /// In the order of their upstreams.
    pub servers: Vec<RehearsedServer>,
}

impl RehearsedBundle {
    /// Dials every server now.
    pub async fn of<'u>(
        upstreams: impl Iterator<Item = &'u Arc<Upstream>>,
        trust: &str,
        candidate: &TrustBundle,
    ) -> Self {
        Self {
            trust: trust.to_owned(),
            servers: dial_all(upstreams, trust, candidate).await,
        }
    }

    /// How many servers only the old bundle trusts.
    #[must_use]
    pub fn breaks(&self) -> usize {
        self.count(TrustedWith::OldOnly)
    }

    /// How many could not be reached far enough to say.
    #[must_use]
    pub fn unreachable(&self) -> usize {
        self.count(TrustedWith::Unreachable)
    }

    fn count(&self, wanted: TrustedWith) -> usize {
        let servers = self.servers.iter();
        servers
            .filter(|server| server.trusted_with() == wanted)
            .count()
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let failure_json = |failure: &Option<Failure>| {
            let failure = failure.as_ref();
            failure.map(|f| json!({ "code": f.cause.code(), "reason": f.words }))
        };
        let backends = self.servers.iter().map(|server| {
            json!({
                "upstream": server.upstream,
                "server": server.server,
                "verdict": server.trusted_with().text(),
                "old": failure_json(&server.old),
                "new": failure_json(&server.new),
            })
        });
        json!({
            "trust": self.trust,
            "would_break": self.breaks(),
            "unreachable": self.unreachable(),
            "backends": backends.collect::<Vec<_>>(),
        })
    }
}

/// A backend that was dialled with the old and with the new bundle; None if the dial succeeded.
pub struct RehearsedServer {
    /// The name of the upstream.
    pub upstream: String,
    /// As logs name it.
    pub server: String,
    /// Why it was not used with the old bundle.
    pub old: Option<Failure>,
    /// Why it was not used with the new bundle.
    pub new: Option<Failure>,
}

/// The bundles with which a backend is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedWith {
    /// The new bundle breaks it.
    OldOnly,
    /// It goes on.
    Both,
    /// The new bundle mends it.
    NewOnly,
    /// It fails with each.
    Neither,
    /// The dial failed before the certificate could be verified.
    Unreachable,
}

impl TrustedWith {
    /// In words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::OldOnly => "old only",
            Self::Both => "both",
            Self::NewOnly => "new only",
            Self::Neither => "neither",
            Self::Unreachable => "unreachable",
        }
    }
}

impl RehearsedServer {
    /// The verdict.
    #[must_use]
    pub fn trusted_with(&self) -> TrustedWith {
        match (&self.old, &self.new) {
            (None, None) => TrustedWith::Both,
            // Checked before the verdicts: a failure that says nothing of trust must not count as distrust.
            (Some(failure), _) | (_, Some(failure)) if is_unreachable(failure) => {
                TrustedWith::Unreachable
            }
            (None, Some(_)) => TrustedWith::OldOnly,
            (Some(_), None) => TrustedWith::NewOnly,
            (Some(_), Some(_)) => TrustedWith::Neither,
        }
    }
}

/// Whether the dial ended before the certificate was verified, or for another reason than trust.
fn is_unreachable(failure: &Failure) -> bool {
    // Every cause is named, so that a new one cannot count as a verdict about trust unnoticed.
    match failure.cause {
        Cause::Untrusted
        | Cause::MissingIntermediate
        | Cause::NameMismatch
        | Cause::CommonNameOnly
        | Cause::AddressOnly
        | Cause::Expired
        | Cause::NotYetValid
        | Cause::WeakCertificate
        | Cause::WrongUsage => false,
        Cause::Dns
        | Cause::Refused
        | Cause::Unreachable
        | Cause::Timeout
        | Cause::Handshake
        | Cause::TlsVersion
        | Cause::ClientCertificate
        | Cause::Protocol
        | Cause::Closed
        | Cause::Status
        | Cause::NoServer
        | Cause::Internal => true,
    }
}

async fn dial_all<'u>(
    upstreams: impl Iterator<Item = &'u Arc<Upstream>>,
    trust: &str,
    candidate: &TrustBundle,
) -> Vec<RehearsedServer> {
    let mut servers = Vec::new();
    for upstream in upstreams.filter(|upstream| upstream.tls.trust.name == trust) {
        // The pool of the proxy, so that the servers and their addresses are those that it would dial.
        let pool = Pool::new(upstream, Arc::default());
        for (server, address) in pool.locate().await {
            // The same address for both dials, because two lookups could lead to two different servers.
            let (old, new) = match address {
                Ok(address) => (
                    dial(upstream, address).await.err(),
                    dial_trusting(upstream, address, candidate).await.err(),
                ),
                Err(failure) => (Some(failure.clone()), Some(failure)),
            };
            servers.push(RehearsedServer {
                upstream: upstream.name.clone(),
                server,
                old,
                new,
            });
        }
    }
    servers
}
