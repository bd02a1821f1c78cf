//! `[listeners.*]`, as they are written.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::callers::{self, WrittenCallers};
use super::document::{Document, Named};
use super::limits;
use super::malformed::Malformed;
use super::reader::{Given, Item, Section};
use super::source::{At, Placed};
use super::transform::{self, FIELD_KEYS, WrittenFields};
use super::trust::{CertificateFiles, WrittenClientCa, parse_certificate_files, parse_client_ca};
use super::values::parse_network;
use crate::config::model::{IpNetwork, ListenerLimits, SniPolicy, TlsPolicy};
use crate::config::section_kind::SectionKind;

/// `[listeners.NAME]`
#[derive(Debug)]
pub(crate) struct WrittenListener<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// `None` if a part of it is faulty.
    pub(crate) common: Option<Common<'s>>,
    pub(crate) role: Role<'s>,
    /// What holds for its routes that say nothing of their callers.
    pub(crate) callers: WrittenCallers<'s>,
    /// Names of limits.
    pub(crate) rate_limits: Vec<Placed<'s, &'s str>>,
    pub(crate) fields: WrittenFields<'s>,
}

/// The keys that all kinds of listeners have.
#[derive(Debug)]
pub(crate) struct Common<'s> {
    pub(crate) bind: Vec<SocketAddr>,
    pub(crate) limits: ListenerLimits,
    pub(crate) trusted_proxies: Vec<IpNetwork>,
    pub(crate) jwks_path: Option<Placed<'s, String>>,
}

/// What a listener is for.
#[derive(Debug)]
pub(crate) enum Role<'s> {
    Tls(WrittenTls<'s>),
    /// The listener to which clients are redirected; `None` if it is not a string.
    Redirect(At<'s>, Option<Placed<'s, &'s str>>),
    /// It says neither, or both.
    Unclear,
}

/// A listener with certificates.
#[derive(Debug)]
pub(crate) struct WrittenTls<'s> {
    /// Where `certificates` is written.
    pub(crate) at: At<'s>,
    /// `None` for an entry that is not a table.
    pub(crate) certificates: Vec<Option<WrittenCertificate<'s>>>,
    pub(crate) sni: Option<SniPolicy>,
    pub(crate) policy: Option<TlsPolicy>,
    pub(crate) client_ca: Given<WrittenClientCa<'s>>,
    pub(crate) allow_fewer_names: bool,
    /// A part of it was reported as faulty.
    pub(crate) is_faulty: bool,
}

/// `{ chain = "FILE", key = "FILE", ocsp = "FILE", client_ca = { ... } }`
#[derive(Debug)]
pub(crate) struct WrittenCertificate<'s> {
    pub(crate) at: At<'s>,
    pub(crate) files: Option<CertificateFiles<'s>>,
    pub(crate) ocsp: Given<Placed<'s, &'s str>>,
    pub(crate) client_ca: Given<WrittenClientCa<'s>>,
}

/// Keys that only a listener with certificates has.
struct TlsItems<'s, 'r> {
    sni: Option<Item<'s, 'r>>,
    policy: Option<Item<'s, 'r>>,
    client_ca: Option<Item<'s, 'r>>,
    allow_fewer_names: Option<Item<'s, 'r>>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenListener<'s>> {
    // Of all listeners, since two of them must not bind one address.
    let mut bound = Vec::new();
    let named = document.named("listeners", SectionKind::Listener, "listener");
    let listeners = named.into_iter();
    let listeners: Vec<_> = listeners
        .map(|named| parse_listener(&named, &mut bound))
        .collect();
    // Where a file is not valid TOML, the listener may be in the part that was lost.
    if listeners.is_empty()
        && !document.diagnostics.has_broken_files()
        && let Some(at) = document.start()
    {
        document.diagnostics.error(at, "there is no listener");
    }
    listeners
}

fn parse_listener<'s>(
    Named { name, at, section }: &Named<'s, '_>,
    bound: &mut Vec<Placed<'s, SocketAddr>>,
) -> WrittenListener<'s> {
    let common = parse_common(section, bound);
    let certificates = section.item("certificates");
    let target = section.item("redirect_to_https");
    // Looked up for every listener, so that a redirect with one of these keys gets the better message below.
    let items = TlsItems {
        sni: section.item("sni"),
        policy: section.item("tls_policy"),
        client_ca: section.item("client_ca"),
        allow_fewer_names: section.item("allow_fewer_names"),
    };
    let callers = callers::parse(section);
    let rate_limits = limits::parse_names(section);
    let fields = transform::parse_fields(section);
    transform::check_listener_fields(&fields, section);
    section.finish();
    let diagnostics = section.diagnostics;
    let role = match (certificates, target) {
        (Some(certificates), None) => {
            let (tls, is_faulty) = diagnostics.watch(|| parse_tls(&certificates, &items));
            Role::Tls(WrittenTls { is_faulty, ..tls })
        }
        (None, Some(target)) => {
            for item in items.all() {
                let message = format!("{} is for listeners with certificates", item.what());
                diagnostics.error(item.at, message);
            }
            if let Some(path) = common.as_ref().and_then(|c| c.jwks_path.as_ref()) {
                let message = "\"jwks_path\" is for listeners with certificates";
                diagnostics.error(path.at, message);
            }
            for key in ["rate_limits"].into_iter().chain(FIELD_KEYS) {
                if let Some(at) = section.key_at(key) {
                    let message = format!("\"{key}\" is for listeners with certificates");
                    diagnostics.error(at, message);
                }
            }
            for key in &callers.keys {
                let message = format!("\"{}\" is for listeners with certificates", key.value);
                diagnostics.error(key.at, message);
            }
            Role::Redirect(target.at, target.string())
        }
        (Some(_), Some(target)) => {
            let message = "a listener has \"certificates\" or \"redirect_to_https\", not both";
            diagnostics.error(target.at, message);
            Role::Unclear
        }
        (None, None) => {
            let message = format!("listener \"{name}\" has no \"certificates\"");
            let help = "certificates = [{ chain = \"FILE\", key = \"FILE\" }], or redirect_to_https = \"LISTENER\"";
            diagnostics.error_with_help(*at, message, Some(help));
            Role::Unclear
        }
    };
    WrittenListener {
        name,
        at: *at,
        common,
        role,
        callers,
        rate_limits,
        fields,
    }
}

impl<'s, 'r> TlsItems<'s, 'r> {
    fn all(&self) -> impl Iterator<Item = &Item<'s, 'r>> {
        let all = [
            &self.sni,
            &self.policy,
            &self.client_ca,
            &self.allow_fewer_names,
        ];
        all.into_iter().flatten()
    }
}

fn parse_common<'s>(
    section: &Section<'s, '_>,
    bound: &mut Vec<Placed<'s, SocketAddr>>,
) -> Option<Common<'s>> {
    let bind = section.required("bind", "bind = [\"0.0.0.0:443\"]");
    let bind = bind.and_then(|item| parse_bind(&item, bound));
    let limits = section.optional("limits", |item| parse_limits(section, item));
    let proxies = section.optional("trusted_proxies", |item| {
        let entries = item.array().unwrap_or_default().into_iter();
        // All entries are read before a faulty one ends this, so that one run reports every problem.
        let read: Vec<_> = entries.map(|entry| entry.parse(parse_network)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let jwks_path = section.optional("jwks_path", |item| {
        let value = item.parse(parse_plain_path)?;
        Some(Some(Placed { value, at: item.at }))
    });
    Some(Common {
        jwks_path: jwks_path.or(None)?,
        bind: bind?,
        limits: limits.or(ListenerLimits::default())?,
        trusted_proxies: proxies.or(Vec::new())?,
    })
}

/// A path that is asked for in one spelling only.
fn parse_plain_path(text: &str) -> Result<String, Malformed> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    let whole = text.starts_with('/') && text.len() > 1 && text.bytes().all(|byte| plain(&byte));
    let odd = |segment: &str| matches!(segment, "" | "." | "..");
    if !whole || text.split('/').skip(1).any(odd) {
        let help = "write a path of letters, digits, \"-\", \".\", \"_\" and \"~\", like \"/.well-known/drawbridge/jwks.json\"";
        return Err(format!("\"{text}\" is no plain path: {help}").into());
    }
    Ok(text.to_owned())
}

fn parse_bind<'s>(
    item: &Item<'s, '_>,
    bound: &mut Vec<Placed<'s, SocketAddr>>,
) -> Option<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    let entries = item.list();
    let diagnostics = item.diagnostics();
    for entry in &entries {
        let Some(address) = entry.parse(parse_address) else {
            continue;
        };
        if address.port() == 0 {
            let message =
                format!("with port 0, \"{address}\" gets another free port at every start");
            diagnostics.warning(entry.at, message);
        }
        if let Some(rival) = bound.iter().find(|other| collide(other.value, address)) {
            let message = format!(
                "\"{address}\" is already bound by \"{}\" at {}",
                rival.value,
                rival.at.text()
            );
            diagnostics.error(entry.at, message);
        }
        // Recorded even if it collides: a third address may collide with this one alone.
        bound.push(Placed {
            value: address,
            at: entry.at,
        });
        addresses.push(address);
    }
    (!addresses.is_empty() && addresses.len() == entries.len()).then_some(addresses)
}

fn parse_address(text: &str) -> Result<SocketAddr, Malformed> {
    text.parse().map_err(|_| {
        let help = match (text.rsplit_once(':'), text.parse::<IpAddr>()) {
            (_, Ok(IpAddr::V6(_))) => format!("write \"[{text}]:443\""),
            (_, Ok(IpAddr::V4(_))) => format!("write \"{text}:443\""),
            // `:443` and `*:443`, as other servers have it, do not say of which version of IP.
            (Some(("" | "*", port)), _) => format!("write \"0.0.0.0:{port}\" or \"[::]:{port}\""),
            _ => "write an address of this machine and a port, like \"0.0.0.0:443\"".to_owned(),
        };
        format!("\"{text}\" cannot be bound: {help}").into()
    })
}

/// Whether both name the same port, and one address contains the other.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    // IPv6 listeners are bound with `IPV6_V6ONLY`, so `[::]` leaves `0.0.0.0` free. The system picks another port for
    // each 0.
    let overlap = a.ip() == b.ip()
        || (a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified()));
    a.port() == b.port() && a.port() != 0 && overlap
}

fn parse_tls<'s>(certificates: &Item<'s, '_>, items: &TlsItems<'s, '_>) -> WrittenTls<'s> {
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
    let client_ca = match &items.client_ca {
        Some(item) => parse_client_ca(item).into(),
        None => Given::Absent,
    };
    let fewer = items.allow_fewer_names.as_ref();
    let entries = certificates.list();
    WrittenTls {
        at: certificates.at,
        sni,
        policy,
        client_ca,
        allow_fewer_names: fewer.and_then(Item::boolean).unwrap_or(false),
        certificates: entries.iter().map(parse_certificate).collect(),
        // The caller sets it, once it knows whether anything above was reported.
        is_faulty: false,
    }
}

fn parse_certificate<'s>(item: &Item<'s, '_>) -> Option<WrittenCertificate<'s>> {
    let section = item.section(SectionKind::ListenerCertificate, "a certificate")?;
    let certificate = WrittenCertificate {
        at: item.at,
        files: parse_certificate_files(&section),
        ocsp: section.optional("ocsp", Item::string),
        client_ca: section.optional("client_ca", parse_client_ca),
    };
    section.finish();
    Some(certificate)
}

fn parse_limits(listener: &Section<'_, '_>, item: &Item<'_, '_>) -> Option<ListenerLimits> {
    let what = format!("\"limits\" of {}", listener.what);
    let section = item.section(SectionKind::ListenerLimits, what)?;
    let mut limits = ListenerLimits::default();
    let mut whole = true;
    let mut duration = |key, target: &mut Duration| match section.optional(key, Item::duration) {
        Given::Value(value) => *target = value,
        Given::Faulty => whole = false,
        Given::Absent => {}
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
    match section.optional("head_bytes", parse_head_bytes) {
        Given::Value(size) => limits.head_bytes = size,
        Given::Faulty => whole = false,
        Given::Absent => {}
    }
    // 0 is allowed: then only `body_timeout` limits a body.
    match section.optional("body_min_rate", |item| item.size(0)) {
        Given::Value(rate) => limits.body_min_rate = rate as u64,
        Given::Faulty => whole = false,
        Given::Absent => {}
    }
    section.finish();
    whole.then_some(limits)
}

fn parse_head_bytes(item: &Item<'_, '_>) -> Option<usize> {
    match item.size(1024)? {
        size if size <= 1 << 20 => Some(size),
        _ => item.fail("\"head_bytes\" must be at most 1MiB"),
    }
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
