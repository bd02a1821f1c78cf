//! `[upstreams.*]`: with their trust bundles, client certificates and keys.

use std::net::SocketAddr;
use std::sync::Arc;

use super::context::{Broken, Context};
use super::materials::{refused_trust, resolve_affinity_key, resolve_certificate};
use super::names::Declared;
use crate::config::model::{Affinity, Balancing, HealthCheck, Unit, Upstream, UpstreamTls};
use crate::config::written::balancing::{WrittenAffinity, WrittenBalancing};
use crate::config::written::reader::Given;
use crate::config::written::upstreams::{WrittenUpstream, WrittenUpstreamTls};
use crate::tls::TrustBundle;

/// The TLS of an upstream, and whether it can be used.
struct ResolvedTls {
    tls: UpstreamTls,
    /// False if a file was refused: then the bundle trusts nobody, or there is no client certificate.
    live: bool,
}

pub(crate) fn resolve<'s>(
    written: &[WrittenUpstream<'s>],
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'s, TrustBundle>,
    context: &mut Context<'_>,
) -> Declared<'s, Upstream> {
    let mut upstreams = Declared::new("upstream");
    for upstream in written {
        let resolved = resolve_upstream(upstream, dns_servers, trust, context);
        upstreams.declare(upstream.name, upstream.at, resolved);
    }
    upstreams
}

fn resolve_upstream(
    written: &WrittenUpstream<'_>,
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Arc<Upstream>> {
    // All files are read before any `?`, so that every problem is found.
    let tls = written.tls.as_ref();
    let tls = tls.and_then(|tls| resolve_tls(written.name, tls, trust, context));
    let affinity = resolve_affinity(&written.balancing.affinity, context);
    let ResolvedTls { tls, live } = tls?;
    let balancing = assemble_balancing(&written.balancing, affinity, &tls.server_name, dns_servers);
    let upstream = Upstream {
        name: written.name.to_owned(),
        servers: written.servers.clone()?,
        tls,
        balancing: balancing?,
        connect_timeout: written.connect_timeout?,
        read_timeout: written.read_timeout?,
        write_timeout: written.write_timeout?,
        idle_timeout: written.idle_timeout?,
        attempts: written.attempts?,
        connection_auth: written.connection_auth?,
        live,
    };
    Some(context.last_good.choose_upstream(upstream))
}

fn resolve_tls(
    upstream: &str,
    written: &WrittenUpstreamTls<'_>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<ResolvedTls> {
    let unit = Unit::Upstream(upstream.to_owned());
    let mut live = true;
    let bundle =
        written
            .trust
            .as_ref()
            .and_then(|named| match trust.lookup(named, context.diagnostics) {
                Ok(bundle) => Some(bundle),
                Err(Broken::Faulty) => None,
                Err(Broken::Closed) => {
                    context.refuse(&unit, vec![refused_trust(named)]);
                    live = false;
                    // The type demands a bundle. This one trusts nobody: even a mistaken dial would fail closed.
                    Some(Arc::new(TrustBundle::of_nobody(named.value)))
                }
            });
    let certificate = match &written.client_certificate {
        Given::Absent => Ok(None),
        Given::Faulty => Err(Broken::Faulty),
        Given::Value(files) => resolve_certificate(files, &unit, context).map(Some),
    };
    live &= !matches!(certificate, Err(Broken::Closed));
    let client_certificate = match certificate {
        // A faulty certificate fails the configuration, whatever else is refused.
        Ok(certificate) => certificate.filter(|_| live),
        Err(Broken::Closed) => None,
        Err(Broken::Faulty) if !live => None,
        Err(Broken::Faulty) => return None,
    };
    let tls = UpstreamTls {
        server_name: written.server_name.clone()?,
        trust: bundle?,
        client_certificate,
    };
    Some(ResolvedTls { tls, live })
}

fn resolve_affinity(
    written: &Given<WrittenAffinity<'_>>,
    context: &mut Context<'_>,
) -> Given<Affinity> {
    written.as_ref().and_then(|written| {
        let key = match &written.key_file {
            Given::Absent => Some(None),
            Given::Faulty => None,
            Given::Value(file) => resolve_affinity_key(file, context).map(Some),
        };
        let affinity = || {
            Some(Affinity {
                cookie: written.cookie.clone()?,
                key: key?,
            })
        };
        affinity().into()
    })
}

fn assemble_balancing(
    written: &WrittenBalancing<'_>,
    affinity: Given<Affinity>,
    server_name: &str,
    dns_servers: &[SocketAddr],
) -> Option<Balancing> {
    let health = written.health.as_ref().map(|health| HealthCheck {
        host: match health.has_host {
            true => health.check.host.clone(),
            false => server_name.to_owned(),
        },
        ..health.check.clone()
    });
    Some(Balancing {
        balance: written.balance?,
        affinity: affinity.unless_faulty()?,
        health: health.unless_faulty()?,
        eject: written.eject.clone().unless_faulty()?,
        caps: written.caps.clone()?,
        dns_refresh: written.dns_refresh?,
        dns_servers: dns_servers.to_vec(),
    })
}
