//! `[trust.*]` and `[upstreams.*]`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::files::{Document, Named};
use super::model::{ConnectionAuth, Upstream, UpstreamTls};
use super::reader::{At, Item, Report, Section};
use super::settings::Names;
use super::{balancing, rotation};
use crate::tls::{CertifiedKey, Finding, Part, TrustBundle};
use seclang::diagnostic::{Diagnostic, Severity};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 3;

pub(super) fn read_trust<'s>(document: &Document<'s, '_>) -> Names<'s, TrustBundle> {
    let mut names = Names::new("trust");
    for Named { name, at, section } in document.named("trust", "trust") {
        let files = section.required(
            "ca",
            "ca = [\"ca.pem\"], the CAs that sign the servers' certificates",
        );
        let files = files.map(|item| item.strings()).unwrap_or_default();
        let allowed = section.item("allow_expired");
        let allowed = allowed.and_then(|item| item.boolean()).unwrap_or(false);
        section.finish();
        let paths: Vec<_> = files.iter().map(|f| f.at.resolve(f.value)).collect();
        let mut findings = Vec::new();
        let bundle = TrustBundle::load(name, &paths, &mut findings);
        let report = section.report;
        report.inputs.borrow_mut().files.extend(paths);
        let mark = report.mark();
        for (index, finding) in findings {
            let at = files.get(index).map_or(at, |file| file.at);
            tell(report, at, finding);
        }
        let running = report.kept.trust(name).filter(|_| !allowed);
        let worse = match (&bundle, running) {
            (Some(new), Some(old)) => rotation::worse_bundle(new, &old),
            _ => None,
        };
        let bundle = bundle.filter(|_| worse.is_none());
        if let Some(why) = worse {
            report.error_with_help(at, why, Some(rotation::HELP));
        }
        // What is written is right, but a file is not.
        let refused = bundle.is_none() && !files.is_empty() && report.kept.runs;
        if refused {
            report.refuse(format!("trust {name}"), report.take_errors_since(mark));
        }
        let bundle = bundle.map(Arc::new);
        match bundle.or_else(|| report.kept.trust(name).filter(|_| refused)) {
            None if refused => names.insert_refused(name, at),
            bundle => names.insert_shared(name, at, bundle),
        }
    }
    names
}

pub(super) fn read_upstreams<'s>(
    document: &Document<'s, '_>,
    trust: &mut Names<'s, TrustBundle>,
) -> Names<'s, Upstream> {
    let mut names = Names::new("upstream");
    let dns_servers = balancing::read_dns(document).unwrap_or_default();
    for Named { name, at, section } in document.named("upstreams", "upstream") {
        let upstream = read_upstream(name, &section, trust, &dns_servers);
        section.finish();
        names.insert_shared(name, at, upstream);
    }
    names
}

fn read_upstream(
    name: &str,
    section: &Section<'_, '_>,
    trust: &mut Names<'_, TrustBundle>,
    dns_servers: &[SocketAddr],
) -> Option<Arc<Upstream>> {
    let timeout = |key, default| match section.item(key) {
        Some(item) => item.duration(),
        None => Some(default),
    };
    // All keys are read before any `?`, so that every problem is found.
    let servers = section.required("servers", "servers = [\"host:port\"]");
    let servers = servers.and_then(|item| balancing::read_servers(&item));
    let help = "tls = { server_name = \"gw.corp.example\", trust = \"NAME\" }; upstreams are always dialled with verified TLS";
    let tls = section.required("tls", help);
    let tls = tls.and_then(|item| read_tls(name, &item, trust));
    let connect_timeout = timeout("connect_timeout", CONNECT_TIMEOUT);
    let read_timeout = timeout("read_timeout", READ_TIMEOUT);
    let write_timeout = timeout("write_timeout", WRITE_TIMEOUT);
    let idle_timeout = timeout("idle_timeout", IDLE_TIMEOUT);
    let attempts = match section.item("attempts") {
        Some(item) => item.integer(1..=16).and_then(|n| usize::try_from(n).ok()),
        None => Some(ATTEMPTS),
    };
    let connection_auth = match section.item("connection_auth") {
        Some(item) => item.choice(&[
            ("pin", ConnectionAuth::Pin),
            ("refuse", ConnectionAuth::Refuse),
        ]),
        None => Some(ConnectionAuth::Pin),
    };
    let server_name = tls.as_ref().map_or("", |(tls, _)| &tls.server_name);
    let balancing = balancing::read(name, section, server_name, dns_servers);
    let (servers, (tls, live), balancing) = (servers?, tls?, balancing?);
    let upstream = Upstream {
        name: name.to_owned(),
        servers,
        tls,
        balancing,
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
        write_timeout: write_timeout?,
        idle_timeout: idle_timeout?,
        attempts: attempts?,
        connection_auth: connection_auth?,
        live,
    };
    let kept = &section.report.kept;
    let last_good = kept.upstream(name).filter(|_| !live);
    Some(last_good.unwrap_or_else(|| Arc::new(upstream)))
}

/// And whether it can be used: where a file was refused there is a bundle that trusts nobody, or no
/// client certificate.
fn read_tls(
    upstream: &str,
    item: &Item<'_, '_>,
    trust: &mut Names<'_, TrustBundle>,
) -> Option<(UpstreamTls, bool)> {
    let section = item.section(format!("\"tls\" of upstream \"{upstream}\""))?;
    let help = "server_name = the name in the gateway's certificate; it is sent as SNI and always verified";
    let server_name = section.required("server_name", help);
    let server_name = server_name.and_then(|item| item.parse(parse_server_name));
    let report = section.report;
    let unit = format!("upstream {upstream}");
    let named = section.required("trust", "trust = the name of a [trust.NAME] table");
    let mut bundle = named.as_ref().and_then(|item| trust.lookup(item, report));
    let mut live = true;
    if let Some(item) = named.filter(|item| trust.names_refused(item)) {
        let name = item.raw_string().unwrap_or_default();
        report.refuse(&unit, vec![lost_trust(&item)]);
        bundle = Some(Arc::new(TrustBundle::of_nobody(name)));
        live = false;
    }
    let certificate = section.item("client_certificate");
    let mark = report.mark();
    let client_certificate = certificate.map(|item| read_certified_key(&item, &unit));
    if matches!(client_certificate, Some(None)) && !report.has_errors_since(mark) {
        live = false;
    }
    section.finish();
    let tls = UpstreamTls {
        server_name: server_name?,
        trust: bundle?,
        client_certificate: match client_certificate {
            Some(certificate) if live => Some(certificate?),
            _ => None,
        },
    };
    Some((tls, live))
}

/// That this names a bundle which was refused.
pub(super) fn lost_trust(item: &Item<'_, '_>) -> Diagnostic {
    let name = item.raw_string().unwrap_or_default();
    let message = format!("trust bundle \"{name}\" cannot be used");
    Diagnostic::error(item.at.location(), message)
}

fn parse_server_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(
            "\"server_name\" must not be empty: without a name nothing could be verified".into(),
        );
    }
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(format!(
            "\"server_name\" is an address, \"{text}\": give the gateway's certificate a DNS name and write that name; \"servers\" may be addresses"
        ));
    }
    match crate::route::normalize_host(text.as_bytes()) {
        Some(name) if !text.contains(':') => Ok(name),
        _ => Err(format!("\"server_name\" is no host name: \"{text}\"")),
    }
}

/// `{ chain = "...", key = "..." }`; `unit` is who keeps the last good one if it cannot be used.
pub(super) fn read_certified_key(item: &Item<'_, '_>, unit: &str) -> Option<Arc<CertifiedKey>> {
    let section = item.section("a certificate")?;
    let pair = read_pair(&section, unit);
    section.finish();
    pair.map(|(certified, _)| certified)
}

/// And whether it may be worse than the one that serves. Leaves the section's other keys to the caller.
pub(super) fn read_pair(
    section: &Section<'_, '_>,
    unit: &str,
) -> Option<(Arc<CertifiedKey>, bool)> {
    let allowed = section.item("allow_expired");
    let allowed = allowed.and_then(|item| item.boolean()).unwrap_or(false);
    let chain = section.required("chain", "chain = \"FILE\", PEM, the leaf first");
    let key = section.required("key", "key = \"FILE\", PEM");
    let (chain, key) = (chain.and_then(|i| i.string()), key.and_then(|i| i.string()));
    let (chain, key) = (chain?, key?);
    let mut findings = Vec::new();
    let files = (chain.at.resolve(chain.value), key.at.resolve(key.value));
    let certified = CertifiedKey::load(&files.0, &files.1, &mut findings);
    let report = section.report;
    let read = [files.0.clone(), files.1.clone()];
    report.inputs.borrow_mut().files.extend(read);
    let mark = report.mark();
    for finding in findings {
        let at = match finding.part {
            Part::Chain | Part::Ocsp => chain.at,
            Part::Key => key.at,
        };
        tell(report, at, finding);
    }
    let running = report.kept.certificate(&files.0, &files.1);
    let worse = match (&certified, &running) {
        (Some(new), Some(old)) if !allowed => rotation::worse(new, old),
        _ => None,
    };
    let certified = certified.filter(|_| worse.is_none());
    if let Some(why) = worse {
        report.error_with_help(chain.at, why, Some(rotation::HELP));
    }
    let certified = match certified {
        Some(certified) => Arc::new(certified),
        None => {
            // Whose it is goes on without it, or does not come up; the rest goes live.
            if report.kept.runs {
                report.refuse(unit, report.take_errors_since(mark));
            }
            running?
        }
    };
    let mut certificates = report.certificates.borrow_mut();
    certificates.insert(files, Arc::clone(&certified));
    Some((certified, allowed))
}

pub(super) fn tell(report: &Report, at: At<'_>, finding: Finding) {
    let diagnostic = match finding.severity {
        Severity::Error => Diagnostic::error(at.location(), finding.message),
        Severity::Warning => Diagnostic::warning(at.location(), finding.message),
    };
    report.add(
        at,
        match finding.help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        },
    );
}
