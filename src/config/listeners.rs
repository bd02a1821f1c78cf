//! `[listeners.*]`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::files::{Document, Named};
use super::model::{Listener, ListenerKind, ListenerLimits, SniPolicy, TlsPolicy, TlsSettings};
use super::reader::{At, Item, Placed, Report, Section};
use super::rotation;
use super::settings::Names;
use super::upstreams::{lost_trust, read_pair, tell};
use super::values::parse_network;
use crate::tls::{CertifiedKey, ClientCa, ClientCertificateMode, TrustBundle, now};
use seclang::diagnostic::Diagnostic;

/// The listeners, and how each of them answers.
#[derive(Debug)]
pub(super) struct Listeners<'s> {
    pub names: Names<'s, Listener>,
}

/// A `redirect_to_https` whose target is to be looked up when all listeners are known.
struct Redirect<'s, 'r> {
    name: &'s str,
    at: At<'s>,
    draft: Option<Draft>,
    target: Item<'s, 'r>,
}

/// What all kinds of listeners have.
struct Draft {
    bind: Vec<SocketAddr>,
    limits: ListenerLimits,
    trusted_proxies: Vec<super::model::IpNetwork>,
}

pub(super) fn read<'s>(
    document: &Document<'s, '_>,
    trust: &mut Names<'s, TrustBundle>,
) -> Listeners<'s> {
    let mut names = Names::new("listener");
    let mut redirects = Vec::new();
    let mut bound: Vec<Placed<'s, SocketAddr>> = Vec::new();
    for Named { name, at, section } in document.named("listeners", "listener") {
        let draft = read_draft(&section, &mut bound);
        let certificates = section.item("certificates");
        let target = section.item("redirect_to_https");
        let tls = TlsItems {
            sni: section.item("sni"),
            policy: section.item("tls_policy"),
            client_ca: section.item("client_ca"),
            allow_fewer_names: section.item("allow_fewer_names"),
        };
        section.finish();
        match (certificates, target) {
            (Some(certificates), None) => {
                let kind = read_tls(name, &certificates, &tls, trust);
                names.insert(name, at, assemble(name, draft, kind));
            }
            (None, Some(target)) => {
                for item in [
                    &tls.sni,
                    &tls.policy,
                    &tls.client_ca,
                    &tls.allow_fewer_names,
                ]
                .into_iter()
                .flatten()
                {
                    let message = format!("{} is for listeners with certificates", item.what());
                    section.report.error(item.at, message);
                }
                redirects.push(Redirect {
                    name,
                    at,
                    draft,
                    target,
                });
            }
            (Some(_), Some(target)) => {
                let message = "a listener has \"certificates\" or \"redirect_to_https\", not both";
                section.report.error(target.at, message);
                names.insert(name, at, None);
            }
            (None, None) => {
                let message = format!("listener \"{name}\" has no \"certificates\"");
                let help = "certificates = [{ chain = \"FILE\", key = \"FILE\" }], or redirect_to_https = \"LISTENER\"";
                section.report.error_with_help(at, message, Some(help));
                names.insert(name, at, None);
            }
        }
    }
    let none = names.iter().next().is_none() && redirects.is_empty();
    if none && !document.report.has_broken_files() {
        let at = document.start();
        document.report.error(at, "there is no listener");
    }
    resolve_redirects(redirects, &mut names);
    Listeners { names }
}

fn resolve_redirects<'s>(redirects: Vec<Redirect<'s, '_>>, names: &mut Names<'s, Listener>) {
    // A redirect to a redirect is told apart from one to nowhere.
    let others: Vec<&str> = redirects.iter().map(|redirect| redirect.name).collect();
    let mut found = Vec::new();
    for redirect in redirects {
        let report = redirect.target.report();
        let written = redirect.target.raw_string();
        if let Some(name) = written.filter(|name| others.contains(name)) {
            let message = format!("listener \"{name}\" is no TLS listener, it redirects itself");
            report.error(redirect.target.at, message);
            found.push((redirect.name, redirect.at, None));
            continue;
        }
        let target = names.lookup(&redirect.target, report);
        let kind = target.and_then(|target| {
            let port = target.bind.first()?.port();
            if port == 0 {
                return redirect
                    .target
                    .fail(format!("listener \"{}\" has no fixed port", target.name));
            }
            Some(ListenerKind::Redirect {
                listener: target.name.clone(),
                port,
            })
        });
        let listener = assemble(redirect.name, redirect.draft, kind);
        found.push((redirect.name, redirect.at, listener));
    }
    for (name, at, listener) in found {
        names.insert(name, at, listener);
        names.mark_used(name);
    }
}

fn assemble(name: &str, draft: Option<Draft>, kind: Option<ListenerKind>) -> Option<Listener> {
    let (draft, kind) = (draft?, kind?);
    Some(Listener {
        name: name.to_owned(),
        bind: draft.bind,
        kind,
        limits: draft.limits,
        trusted_proxies: draft.trusted_proxies,
    })
}

fn read_draft<'s>(
    section: &Section<'s, '_>,
    bound: &mut Vec<Placed<'s, SocketAddr>>,
) -> Option<Draft> {
    let bind = section.required("bind", "bind = [\"0.0.0.0:443\"]");
    let bind = bind.and_then(|item| read_bind(&item, bound));
    let limits = match section.item("limits") {
        Some(item) => read_limits(section, &item),
        None => Some(ListenerLimits::default()),
    };
    let proxies = section.item("trusted_proxies");
    let proxies = proxies.map_or_else(Vec::new, |item| item.array().unwrap_or_default());
    let trusted: Vec<_> = proxies
        .iter()
        .map(|item| item.parse(parse_network))
        .collect();
    Some(Draft {
        bind: bind?,
        limits: limits?,
        trusted_proxies: trusted.into_iter().collect::<Option<_>>()?,
    })
}

fn read_bind<'s>(
    item: &Item<'s, '_>,
    bound: &mut Vec<Placed<'s, SocketAddr>>,
) -> Option<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    let entries = item.list();
    for entry in &entries {
        let Some(address) = entry.parse(parse_bind) else {
            continue;
        };
        if address.port() == 0 {
            let message = format!("port 0 of \"{address}\" is another free port at every start");
            entry.report().warning(entry.at, message);
        }
        if let Some(rival) = bound.iter().find(|other| collide(other.value, address)) {
            let message = format!(
                "\"{address}\" is already bound by \"{}\" at {}",
                rival.value,
                rival.at.text()
            );
            entry.report().error(entry.at, message);
        }
        bound.push(Placed {
            value: address,
            at: entry.at,
        });
        addresses.push(address);
    }
    (!addresses.is_empty() && addresses.len() == entries.len()).then_some(addresses)
}

fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let help = match (text.rsplit_once(':'), text.parse::<IpAddr>()) {
            (_, Ok(IpAddr::V6(_))) => format!("write \"[{text}]:443\""),
            (_, Ok(IpAddr::V4(_))) => format!("write \"{text}:443\""),
            (Some(("" | "*", port)), _) => format!("write \"0.0.0.0:{port}\" or \"[::]:{port}\""),
            _ => "write an address of this machine and a port, like \"0.0.0.0:443\"".to_owned(),
        };
        format!("\"{text}\" cannot be bound: {help}")
    })
}

/// The same port on the same address, or on one of them and all of its family.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip()
        || (a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified()));
    a.port() == b.port() && a.port() != 0 && overlap
}

/// Keys of a listener that has certificates.
struct TlsItems<'s, 'r> {
    sni: Option<Item<'s, 'r>>,
    policy: Option<Item<'s, 'r>>,
    client_ca: Option<Item<'s, 'r>>,
    allow_fewer_names: Option<Item<'s, 'r>>,
}

/// An entry of `certificates`.
struct Certificate<'s> {
    at: At<'s>,
    certified: Arc<CertifiedKey>,
    client_ca: Option<Arc<ClientCa>>,
    allow_expired: bool,
}

fn read_tls<'s>(
    listener: &str,
    certificates: &Item<'s, '_>,
    items: &TlsItems<'s, '_>,
    trust: &mut Names<'_, TrustBundle>,
) -> Option<ListenerKind> {
    let mark = certificates.report().mark();
    // All is read before any `?`, so that every problem is found.
    let sni = match &items.sni {
        Some(item) => item.choice(&[("strict", SniPolicy::Strict), ("any", SniPolicy::Any)]),
        None => Some(SniPolicy::Strict),
    };
    let policy = match &items.policy {
        Some(item) => item.choice(&[
            ("modern", TlsPolicy::Modern),
            ("intermediate", TlsPolicy::Intermediate),
        ]),
        None => Some(TlsPolicy::default()),
    };
    let client_ca = items
        .client_ca
        .as_ref()
        .map(|item| read_client_ca(listener, item, trust));
    let fewer = items.allow_fewer_names.as_ref();
    let fewer = fewer.and_then(Item::boolean).unwrap_or(false);
    let mut own = Vec::new();
    let read: Vec<_> = certificates
        .list()
        .iter()
        .map(|entry| read_certificate(listener, entry, trust, &mut own))
        .collect();
    let read = read.into_iter().collect::<Option<Vec<Certificate<'_>>>>();
    let (Some(read), None | Some(Some(_))) = (read, &client_ca) else {
        let asked = TlsSettings {
            policy: policy?,
            client_ca: client_ca.flatten(),
            certificate_client_ca: own,
        };
        return without_new(listener, certificates, mark, asked);
    };
    if read.is_empty() {
        return None;
    }
    let sni = sni?;
    let report = certificates.report();
    for certificate in &read {
        if certificate.certified.names.is_empty() && sni == SniPolicy::Strict {
            let message =
                "this certificate has no DNS name, so under sni = \"strict\" no client gets it";
            report.warning(certificate.at, message);
        }
        if certificate.client_ca.is_some() && sni == SniPolicy::Any {
            let message = "a certificate with a \"client_ca\" of its own needs sni = \"strict\": else its host could be asked for under another name";
            report.error(certificate.at, message);
        }
    }
    check_agreement(&read, report);
    let first = read.first().map(|certificate| certificate.at);
    let allowed: Vec<bool> = read.iter().map(|c| c.allow_expired).collect();
    let certificates: Vec<_> = read.into_iter().map(|c| c.certified).collect();
    let (certificates, own) = match first {
        Some(at) => {
            let old = report.kept.listener(listener).map(|running| &running.kind);
            let problem = match old {
                Some(ListenerKind::Tls {
                    certificates: old, ..
                }) => {
                    let lost = lost_names(&certificates, old).filter(|_| !fewer);
                    let worse = || rotation::worse_of(&certificates, &allowed, old);
                    lost.or_else(|| Some((worse()?, rotation::HELP)))
                }
                _ => None,
            };
            match problem {
                Some(problem) => keep(listener, certificates, own, at, report, problem),
                None => (certificates, own),
            }
        }
        None => (certificates, own),
    };
    let settings = TlsSettings {
        policy: policy?,
        client_ca: client_ca.flatten(),
        certificate_client_ca: own,
    };
    Some(ListenerKind::Tls {
        certificates,
        sni,
        settings,
    })
}

/// What a listener is that was refused for what is in a file: with the certificates that it runs with,
/// or nothing that can run. None where something else is wrong with it, or where it would go on
/// without asking for the clients that it shall ask for.
fn without_new(
    listener: &str,
    certificates: &Item<'_, '_>,
    mark: usize,
    asked: TlsSettings,
) -> Option<ListenerKind> {
    let report = certificates.report();
    if !report.kept.runs || report.has_errors_since(mark) {
        return None;
    }
    let running = report.kept.listener(listener).map(|running| &running.kind);
    Some(match running {
        Some(ListenerKind::Tls {
            certificates: old,
            sni,
            settings,
        }) => {
            let settings = TlsSettings {
                policy: settings.policy,
                client_ca: asked.client_ca.clone(),
                certificate_client_ca: settings.certificate_client_ca.clone(),
            };
            if !asked.is_kept_by(&settings) {
                must_not_go_on(listener, certificates.at, report);
                return None;
            }
            ListenerKind::Tls {
                certificates: old.clone(),
                sni: *sni,
                settings,
            }
        }
        _ => ListenerKind::Tls {
            certificates: Vec::new(),
            sni: SniPolicy::Strict,
            settings: TlsSettings::default(),
        },
    })
}

fn must_not_go_on(listener: &str, at: At<'_>, report: &Report) {
    let message = format!(
        "listener \"{listener}\" is to ask for other clients than it does, and what it needs for that cannot be used; it neither goes on as it is nor closes, so all stays as it is"
    );
    report.error(at, message);
}

/// Certificates that stand side by side for a name ask for the same clients.
fn check_agreement(read: &[Certificate<'_>], report: &Report) {
    let digest = |certificate: &Certificate<'_>| certificate.client_ca.as_ref().map(|ca| ca.digest);
    let mut known: HashMap<&str, &Certificate<'_>> = HashMap::new();
    for certificate in read {
        for name in &certificate.certified.names {
            let first = *known.entry(name).or_insert(certificate);
            if digest(first) != digest(certificate) {
                let message = format!(
                    "\"{name}\" has another \"client_ca\" in the certificate at {}",
                    first.at.text()
                );
                report.error(certificate.at, message);
                break;
            }
        }
    }
}

/// `{ chain = "...", key = "...", ocsp = "...", client_ca = { ... } }`; whom it asks for goes to `asked`
/// also where its certificate cannot be used.
fn read_certificate<'s>(
    listener: &str,
    item: &Item<'s, '_>,
    trust: &mut Names<'_, TrustBundle>,
    asked: &mut Vec<Option<Arc<ClientCa>>>,
) -> Option<Certificate<'s>> {
    let section = item.section("a certificate")?;
    let unit = format!("listener {listener}");
    let pair = read_pair(&section, &unit);
    let ocsp = section.item("ocsp").map(|item| item.string());
    let client_ca = section.item("client_ca");
    let client_ca = client_ca.map(|item| read_client_ca(listener, &item, trust));
    asked.push(client_ca.clone().flatten());
    section.finish();
    let (mut certified, allow_expired) = pair?;
    if let Some(file) = ocsp {
        let file = file?;
        let path = file.at.resolve(file.value);
        let report = section.report;
        let mark = report.mark();
        let mut findings = Vec::new();
        let stapled = certified.with_ocsp(&path, &mut findings);
        report.inputs.borrow_mut().files.insert(path);
        for finding in findings {
            tell(report, file.at, finding);
        }
        match stapled {
            Some(stapled) => certified = Arc::new(stapled),
            // What runs goes on, with its last good staple if it has one; a staple is a favour, no need.
            None if report.kept.runs => {
                report.refuse(unit, report.take_errors_since(mark));
                if let Some(running) = running_like(listener, &certified, report) {
                    certified = running;
                }
            }
            None => return None,
        }
    }
    Some(Certificate {
        at: item.at,
        certified,
        allow_expired,
        client_ca: match client_ca {
            Some(client_ca) => Some(client_ca?),
            None => None,
        },
    })
}

/// The same chain and key as it serves now.
fn running_like(
    listener: &str,
    certified: &CertifiedKey,
    report: &Report,
) -> Option<Arc<CertifiedKey>> {
    let running = report.kept.listener(listener)?;
    let ListenerKind::Tls { certificates, .. } = &running.kind else {
        return None;
    };
    let same = |running: &&Arc<CertifiedKey>| {
        running.chain == certified.chain && running.key.public_eq(&certified.key)
    };
    certificates.iter().find(same).cloned()
}

/// `{ trust = "NAME", mode = "optional" | "required", crl = ["FILE"] }`
fn read_client_ca(
    listener: &str,
    item: &Item<'_, '_>,
    trust: &mut Names<'_, TrustBundle>,
) -> Option<Arc<ClientCa>> {
    let section = item.section("\"client_ca\"")?;
    let report = section.report;
    let running = report.kept.listener(listener);
    let unit = format!("listener {listener}");
    let named = section.required("trust", "trust = the name of a [trust.NAME] table");
    let bundle = named.as_ref().and_then(|item| trust.lookup(item, report));
    if let Some(item) = named.filter(|item| trust.names_refused(item)) {
        match running {
            Some(_) => must_not_go_on(listener, item.at, report),
            None => report.refuse(&unit, vec![lost_trust(&item)]),
        }
    }
    let mode = match section.item("mode") {
        Some(item) => item.choice(&[
            ("optional", ClientCertificateMode::Optional),
            ("required", ClientCertificateMode::Required),
        ]),
        None => Some(ClientCertificateMode::Required),
    };
    let lists = section.item("crl").map(|item| item.strings());
    let lists = lists.unwrap_or_default();
    section.finish();
    let (bundle, mode) = (bundle?, mode?);
    let files: Vec<_> = lists.iter().map(|f| f.at.resolve(f.value)).collect();
    report
        .inputs
        .borrow_mut()
        .files
        .extend(files.iter().cloned());
    let mark = report.mark();
    let mut findings = Vec::new();
    let client_ca = ClientCa::load(Arc::clone(&bundle), mode, files.clone(), &mut findings);
    for (index, finding) in findings {
        let at = lists.get(index).map_or(item.at, |file| file.at);
        tell(report, at, finding);
    }
    let outdated = |ca: &ClientCa| ca.lists_until.is_some_and(|until| until <= now());
    if let Some(client_ca) = client_ca {
        let last_good = running.and_then(|running| match &running.kind {
            ListenerKind::Tls { settings, .. } => settings
                .client_cas()
                .find(|ca| client_ca.asks_like(ca) && !outdated(ca)),
            ListenerKind::Redirect { .. } => None,
        });
        return Some(match last_good {
            Some(last_good) if outdated(&client_ca) => {
                let message = "a new revocation list is outdated, and the one that serves is not";
                let help = "fetch a current list; with an outdated one all clients are refused";
                let problem = Diagnostic::error(item.at.location(), message).with_help(help);
                report.refuse(unit, vec![problem]);
                Arc::clone(last_good)
            }
            _ => Arc::new(client_ca),
        });
    }
    let Some(running) = running else {
        // It stays shut; the rest goes live.
        if report.kept.runs {
            report.refuse(unit, report.take_errors_since(mark));
        }
        return None;
    };
    let ListenerKind::Tls { settings, .. } = &running.kind else {
        return None;
    };
    let last_good = settings
        .client_cas()
        .find(|ca| ca.mode == mode && ca.crl == files && ca.trust.digest == bundle.digest)?;
    report.refuse(unit, report.take_errors_since(mark));
    Some(Arc::clone(last_good))
}

/// Which name of those that serve now would be lost. An entry that was taken out of the list was meant
/// to be.
fn lost_names(
    certificates: &[Arc<CertifiedKey>],
    old: &[Arc<CertifiedKey>],
) -> Option<(String, &'static str)> {
    let covered = |name: &String| certificates.iter().any(|c| c.covers(name));
    let names = old.iter().flat_map(|c| &c.names);
    let mut lost = names.filter(|name| !covered(name));
    let name = lost.next().filter(|_| certificates.len() >= old.len())?;
    let more = match lost.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("the new certificate no longer covers \"{name}\"{more}");
    let help = "issue it with all names, or write allow_fewer_names = true in the listener";
    Some((message, help))
}

/// The certificates that serve now, for what is wrong with these; these where they cannot be kept.
fn keep(
    listener: &str,
    certificates: Vec<Arc<CertifiedKey>>,
    own: Vec<Option<Arc<ClientCa>>>,
    first: At<'_>,
    report: &Report,
    (message, help): (String, &'static str),
) -> (Vec<Arc<CertifiedKey>>, Vec<Option<Arc<ClientCa>>>) {
    let running = report.kept.listener(listener).map(|running| &running.kind);
    let Some(ListenerKind::Tls {
        certificates: old,
        settings,
        ..
    }) = running
    else {
        return (certificates, own);
    };
    let problem = Diagnostic::error(first.location(), message).with_help(help);
    let asked = TlsSettings {
        certificate_client_ca: own.clone(),
        ..TlsSettings::default()
    };
    if !asked.is_kept_by(settings) {
        report.add(first, problem);
        return (certificates, own);
    }
    report.refuse(format!("listener {listener}"), vec![problem]);
    (old.clone(), settings.certificate_client_ca.clone())
}

fn read_limits(listener: &Section<'_, '_>, item: &Item<'_, '_>) -> Option<ListenerLimits> {
    let section = item.section(format!("\"limits\" of {}", listener.what))?;
    let mut limits = ListenerLimits::default();
    let mut whole = true;
    let mut duration = |key, target: &mut Duration| {
        if let Some(item) = section.item(key) {
            match item.duration() {
                Some(value) => *target = value,
                None => whole = false,
            }
        }
    };
    duration("head_timeout", &mut limits.head_timeout);
    duration("body_timeout", &mut limits.body_timeout);
    duration("body_rate_grace", &mut limits.body_rate_grace);
    duration("handshake_timeout", &mut limits.handshake_timeout);
    duration("idle_timeout", &mut limits.idle_timeout);
    duration("stream_idle_timeout", &mut limits.stream_idle_timeout);
    let mut count = |key, high: i64, target: &mut usize| {
        if let Some(item) = section.item(key) {
            match item.integer(1..=high).map(usize::try_from) {
                Some(Ok(value)) => *target = value,
                _ => whole = false,
            }
        }
    };
    count("connections", 10_000_000, &mut limits.connections);
    count(
        "connections_per_address",
        10_000_000,
        &mut limits.connections_per_address,
    );
    let mut streams = limits.h2_streams as usize;
    count("h2_streams", 10_000, &mut streams);
    limits.h2_streams = u32::try_from(streams).unwrap_or(u32::MAX);
    if let Some(item) = section.item("head_bytes") {
        match item.size(1024) {
            Some(size) if size <= 1 << 20 => limits.head_bytes = size,
            Some(_) => {
                whole = false;
                item.report()
                    .error(item.at, "\"head_bytes\" must be at most 1MiB");
            }
            None => whole = false,
        }
    }
    if let Some(item) = section.item("body_min_rate") {
        match item.size(0) {
            Some(rate) => limits.body_min_rate = rate as u64,
            None => whole = false,
        }
    }
    section.finish();
    whole.then_some(limits)
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            head_bytes: 64 << 10,
            body_timeout: Duration::from_secs(300),
            body_min_rate: 1 << 10,
            body_rate_grace: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stream_idle_timeout: Duration::from_secs(600),
            connections: 16_384,
            connections_per_address: 1024,
            h2_streams: 100,
        }
    }
}
