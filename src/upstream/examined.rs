//! What was found at each server of an upstream, as `drawbridge doctor` and the admin API say it: one cause for each server
//! that the proxy would not use.

use std::sync::Arc;

use openssl::x509::{X509, X509VerifyResult};
use serde_json::{Value, json};

use super::diagnose::{Examination, examine_all};
use super::{Cause, Failure, Pool, Upstream};
use crate::tls::CertificateFacts;

/// An upstream and what was found at each of its servers.
pub struct UpstreamReport {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// In the order of its configuration.
    pub servers: Vec<ServerReport>,
}

impl UpstreamReport {
    /// Whether the proxy would use every server.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        all_usable(&self.servers)
    }

    /// Dials each server now, as the proxy would.
    pub async fn of(upstream: &Arc<Upstream>) -> Self {
        // A pool of its own: what is found out here must not change whom the proxy dials.
        let servers = examine_servers(&Pool::new(upstream, Arc::default())).await;
        Self {
            upstream: Arc::clone(upstream),
            servers,
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        report(&self.upstream, &self.servers)
    }
}

/// Whether every server is usable; false if there is none, since then nobody answers a request.
fn all_usable(servers: &[ServerReport]) -> bool {
    !servers.is_empty() && servers.iter().all(|server| server.found.failure.is_none())
}

/// A server and what was found.
pub struct ServerReport {
    /// As logs name it.
    pub server: String,
    /// What it presented, and why the proxy would not use it.
    pub found: Examination,
}

async fn examine_servers(pool: &Pool) -> Vec<ServerReport> {
    let found = examine_all(pool).await.into_iter();
    let mut servers = found
        .map(|(server, found)| ServerReport { server, found })
        .collect::<Vec<_>>();
    find_missing_intermediates(&mut servers);
    servers
}

/// If a chain is incomplete, another server of the upstream may send the missing intermediate.
fn find_missing_intermediates(servers: &mut [ServerReport]) {
    let sent: Vec<X509> = servers
        .iter()
        .filter_map(|server| server.found.presented.as_ref())
        .flat_map(|presented| presented.chain.iter().skip(1).cloned())
        // A certificate that signed itself is a root, which servers need not send.
        .filter(|above| above.issued(above) != X509VerifyResult::OK)
        .collect();
    for server in servers {
        let found = &mut server.found;
        let (Some(failure), Some(presented)) = (&mut found.failure, &found.presented) else {
            continue;
        };
        // A server that sends more than its leaf has sent an intermediate.
        let ([leaf], Cause::Untrusted) = (presented.chain.as_slice(), failure.cause) else {
            continue;
        };
        // Names may agree by chance; a signature cannot.
        let missing = sent.iter().find(|above| {
            above.issued(leaf) == X509VerifyResult::OK
                && above
                    .public_key()
                    .is_ok_and(|key| leaf.verify(&key).unwrap_or(false))
        });
        if let Some(missing) = missing {
            *failure = Failure::new(
                Cause::MissingIntermediate,
                format!(
                    "chain is incomplete: the intermediate \"{}\" is missing, which another server of this upstream sends",
                    CertificateFacts::of(missing).subject
                ),
            );
        }
    }
}

fn report(upstream: &Upstream, servers: &[ServerReport]) -> Value {
    json!({
        "upstream": upstream.name,
        "server_name": upstream.tls.server_name,
        "trust": upstream.tls.trust.name,
        "client_certificate": upstream.tls.client_certificate.is_some(),
        "ok": all_usable(servers),
        "servers": servers.iter().map(|v| to_json(upstream, v)).collect::<Vec<_>>(),
    })
}

fn to_json(upstream: &Upstream, server: &ServerReport) -> Value {
    let found = &server.found;
    let presented = found.presented.as_ref();
    let chain: Vec<CertificateFacts> = presented
        .iter()
        .flat_map(|p| p.chain.iter().map(|c| CertificateFacts::of(c)))
        .collect();
    json!({
        "server": server.server,
        "ok": found.failure.is_none(),
        "address": found.address.map(|a| a.to_string()),
        "connected": found.connected,
        "tls": presented.map(|p| json!({
            "version": p.version,
            "cipher": p.cipher,
            "group": p.group,
        })),
        "chain": chain,
        "failure": found.failure.as_ref().map(|failure| json!({
            "code": failure.cause.code(),
            "reason": failure.words,
            "fix": failure.cause.fix(upstream),
        })),
    })
}
