//! `[trust.*]` and `[upstreams.*]`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::balancing;
use super::files::{Document, Named};
use super::model::{Upstream, UpstreamTls};
use super::reader::{At, Item, Report, Section};
use super::settings::Names;
use crate::diagnostic::{Diagnostic, Severity};
use crate::tls::{CertifiedKey, Finding, Part, TrustBundle};

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
        let bundle = match bundle {
            Some(bundle) => Some(Arc::new(bundle)),
            // What is written is right, but a file is not.
            None if !files.is_empty() => report.kept.trust(name).inspect(|_| {
                report.refuse(format!("trust {name}"), report.take_errors_since(mark));
            }),
            None => None,
        };
        names.insert_shared(name, at, bundle);
    }
    names
}

pub(super) fn read_upstreams<'s>(
    document: &Document<'s, '_>,
    trust: &mut Names<'s, TrustBundle>,
) -> Names<'s, Upstream> {
    let mut names = Names::new("upstream");
    for Named { name, at, section } in document.named("upstreams", "upstream") {
        let upstream = read_upstream(name, &section, trust);
        section.finish();
        names.insert(name, at, upstream);
    }
    names
}

fn read_upstream(
    name: &str,
    section: &Section<'_, '_>,
    trust: &mut Names<'_, TrustBundle>,
) -> Option<Upstream> {
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
    let server_name = tls.as_ref().map_or("", |tls| &tls.server_name);
    let balancing = balancing::read(name, section, server_name);
    let (servers, tls, balancing) = (servers?, tls?, balancing?);
    Some(Upstream {
        name: name.to_owned(),
        servers,
        tls,
        balancing,
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
        write_timeout: write_timeout?,
        idle_timeout: idle_timeout?,
        attempts: attempts?,
    })
}

fn read_tls(
    upstream: &str,
    item: &Item<'_, '_>,
    trust: &mut Names<'_, TrustBundle>,
) -> Option<UpstreamTls> {
    let section = item.section(format!("\"tls\" of upstream \"{upstream}\""))?;
    let help = "server_name = the name in the gateway's certificate; it is sent as SNI and always verified";
    let server_name = section.required("server_name", help);
    let server_name = server_name.and_then(|item| item.parse(parse_server_name));
    let bundle = section.required("trust", "trust = the name of a [trust.NAME] table");
    let bundle = bundle.and_then(|item| trust.lookup(&item, section.report));
    let certificate = section.item("client_certificate");
    let client_certificate =
        certificate.map(|item| read_certified_key(&item, &format!("upstream {upstream}")));
    section.finish();
    Some(UpstreamTls {
        server_name: server_name?,
        trust: bundle?,
        client_certificate: match client_certificate {
            Some(certificate) => Some(certificate?),
            None => None,
        },
    })
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
    let certified = read_pair(&section, unit);
    section.finish();
    certified
}

/// Leaves the section's other keys to the caller.
pub(super) fn read_pair(section: &Section<'_, '_>, unit: &str) -> Option<Arc<CertifiedKey>> {
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
    let certified = match certified {
        Some(certified) => Arc::new(certified),
        None => {
            let last_good = report.kept.certificate(&files.0, &files.1);
            // A listener goes on without it, or does not come up; the rest goes live.
            let alone = report.kept.runs && unit.starts_with("listener ");
            if last_good.is_some() || alone {
                report.refuse(unit, report.take_errors_since(mark));
            }
            last_good?
        }
    };
    let mut certificates = report.certificates.borrow_mut();
    certificates.insert(files, Arc::clone(&certified));
    Some(certified)
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
