//! `[listeners.*]`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::files::{Document, Named};
use super::model::{Listener, ListenerKind, ListenerLimits, SniPolicy};
use super::reader::{At, Item, Placed, Section};
use super::settings::Names;
use super::upstreams::read_certified_key;
use super::values::parse_network;
use crate::diagnostic::Diagnostic;
use crate::tls::CertifiedKey;

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

pub(super) fn read<'s>(document: &Document<'s, '_>) -> Listeners<'s> {
    let mut names = Names::new("listener");
    let mut redirects = Vec::new();
    let mut bound: Vec<Placed<'s, SocketAddr>> = Vec::new();
    for Named { name, at, section } in document.named("listeners", "listener") {
        let draft = read_draft(&section, &mut bound);
        let certificates = section.item("certificates");
        let target = section.item("redirect_to_https");
        let sni = section.item("sni");
        let fewer = section.item("allow_fewer_names").and_then(|i| i.boolean());
        section.finish();
        match (certificates, target) {
            (Some(certificates), None) => {
                let kind = read_tls(name, &certificates, sni.as_ref(), fewer.unwrap_or(false));
                names.insert(name, at, assemble(name, draft, kind));
            }
            (None, Some(target)) => {
                if let Some(sni) = sni {
                    section
                        .report
                        .error(sni.at, "\"sni\" is for listeners with certificates");
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

fn read_tls(
    listener: &str,
    certificates: &Item<'_, '_>,
    sni: Option<&Item<'_, '_>>,
    allow_fewer_names: bool,
) -> Option<ListenerKind> {
    let sni = match sni {
        Some(item) => item.choice(&[("strict", SniPolicy::Strict), ("any", SniPolicy::Any)]),
        None => Some(SniPolicy::Strict),
    };
    let entries = certificates.list();
    let loaded: Vec<_> = entries
        .iter()
        .map(|entry| read_certified_key(entry, &format!("listener {listener}")))
        .collect();
    let certificates: Vec<_> = loaded.into_iter().collect::<Option<_>>()?;
    if certificates.is_empty() {
        return None;
    }
    let sni = sni?;
    let certificates = match allow_fewer_names {
        true => certificates,
        false => keep_names(listener, certificates, &entries),
    };
    for (entry, certificate) in entries.iter().zip(&certificates) {
        if certificate.names.is_empty() && sni == SniPolicy::Strict {
            let message =
                "this certificate has no DNS name, so under sni = \"strict\" no client gets it";
            entry.report().warning(entry.at, message);
        }
    }
    Some(ListenerKind::Tls { certificates, sni })
}

/// The certificates, or those that serve now where a name of theirs would be lost. An entry that
/// was taken out of the list was meant to be.
fn keep_names(
    listener: &str,
    certificates: Vec<Arc<CertifiedKey>>,
    entries: &[Item<'_, '_>],
) -> Vec<Arc<CertifiedKey>> {
    let Some(first) = entries.first() else {
        return certificates;
    };
    let report = first.report();
    let Some(running) = report.kept.listener(listener) else {
        return certificates;
    };
    let ListenerKind::Tls {
        certificates: old, ..
    } = &running.kind
    else {
        return certificates;
    };
    let covered = |name: &String| certificates.iter().any(|c| c.covers(name));
    let mut lost = old
        .iter()
        .flat_map(|c| &c.names)
        .filter(|name| !covered(name));
    let Some(name) = lost.next().filter(|_| certificates.len() >= old.len()) else {
        return certificates;
    };
    let more = match lost.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("the new certificate no longer covers \"{name}\"{more}");
    let help = "issue it with all names, or write allow_fewer_names = true in the listener";
    let problem = Diagnostic::error(first.at.location(), message).with_help(help);
    report.refuse(format!("listener {listener}"), vec![problem]);
    old.clone()
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
            connections: 16_384,
            connections_per_address: 1024,
            h2_streams: 100,
        }
    }
}
