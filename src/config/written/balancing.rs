//! What an `[upstreams.*]` table says of its servers: which servers there are, which one is next, how their health is
//! checked, and how many requests they get at once.
//!
//! Parses text only; names are not resolved and no server is dialled.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::document::Document;
use super::malformed::Malformed;
use super::reader::{Given, Item, Section};
use super::source::Placed;
use super::values::parse_server;
use crate::config::model::{Balance, Caps, Ejection, HealthCheck, Server};
use crate::config::section_kind::SectionKind;

const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
const HEALTHY: u32 = 2;
const UNHEALTHY: u32 = 3;
const EJECT_FAILURES: u32 = 5;
const EJECT_FOR: Duration = Duration::from_secs(30);
const PENDING_TIMEOUT: Duration = Duration::from_secs(1);
const DNS_REFRESH: Duration = Duration::from_secs(30);
/// Each server has its own health checks and metrics, so their number is bounded.
const MOST_SERVERS: usize = 256;
const MOST_WEIGHT: i64 = 1000;

/// How an upstream uses its servers. A part that is `None` is faulty, which was reported.
#[derive(Debug)]
pub(crate) struct WrittenBalancing<'s> {
    pub(crate) balance: Option<Balance>,
    pub(crate) affinity: Given<WrittenAffinity<'s>>,
    pub(crate) health: Given<WrittenHealth>,
    pub(crate) eject: Given<Ejection>,
    pub(crate) caps: Option<Caps>,
    pub(crate) dns_refresh: Option<Duration>,
}

/// `affinity = { cookie = "NAME", key_file = "FILE" }`
#[derive(Debug)]
pub(crate) struct WrittenAffinity<'s> {
    pub(crate) cookie: Option<String>,
    pub(crate) key_file: Given<Placed<'s, &'s str>>,
}

/// `health = { ... }`
#[derive(Debug)]
pub(crate) struct WrittenHealth {
    pub(crate) check: HealthCheck,
    /// If false, its `host` is empty and stands for the upstream's `server_name`.
    pub(crate) has_host: bool,
}

/// `[dns] servers = ["10.0.0.53", "10.0.1.53:5353"]`
pub(crate) fn parse_dns(document: &Document<'_, '_>) -> Option<Vec<SocketAddr>> {
    let Some(item) = document.item("dns") else {
        return Some(Vec::new());
    };
    let section = item.section(SectionKind::Dns, "[dns]")?;
    let servers = section.required(
        "servers",
        "servers = [\"10.0.0.53\"], the name servers to ask",
    );
    let servers = servers.map(|item| {
        let entries = item.list();
        let parsed = entries.iter().map(|entry| entry.parse(parse_name_server));
        parsed.collect::<Vec<_>>()
    });
    section.finish();
    servers?.into_iter().collect()
}

/// An address; the port is 53 if none is written.
fn parse_name_server(text: &str) -> Result<SocketAddr, Malformed> {
    // First as an address alone: the colons of an IPv6 address would be taken for that of a port.
    let bare = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    bare.or_else(|_| text.parse()).map_err(|_| {
        format!(
            "\"{}\" is no name server: write an address, with a port where that is not 53",
            text.escape_debug()
        )
        .into()
    })
}

/// `"host:port"`, or `{ address = "host:port", weight = 3 }`.
pub(crate) fn parse_servers(item: &Item<'_, '_>) -> Option<Vec<Server>> {
    let entries = item.list();
    if entries.len() > MOST_SERVERS {
        return item.fail(format!(
            "{} names more than {MOST_SERVERS} servers",
            item.what()
        ));
    }
    let mut known = HashSet::new();
    let mut servers = Vec::new();
    let mut whole = true;
    for entry in &entries {
        let Some(server) = parse_one_server(entry) else {
            whole = false;
            continue;
        };
        // A server that is named twice would get twice its share; `weight` is the way to say that.
        if !known.insert((server.host.clone(), server.port)) {
            let message = format!("server \"{}:{}\" is named twice", server.host, server.port);
            entry.diagnostics().error(entry.at, message);
        }
        servers.push(server);
    }
    (whole && !servers.is_empty()).then_some(servers)
}

fn parse_one_server(entry: &Item<'_, '_>) -> Option<Server> {
    if !entry.is_table() {
        return entry.parse(parse_server);
    }
    let section = entry.section(SectionKind::Server, "a server")?;
    let address = section.required("address", "address = \"host:port\"");
    let server = address.and_then(|item| item.parse(parse_server));
    let weight = number(&section, "weight", 1, 1..=MOST_WEIGHT);
    section.finish();
    Some(Server {
        weight: weight?,
        ..server?
    })
}

pub(crate) fn parse<'s>(upstream: &str, section: &Section<'s, '_>) -> WrittenBalancing<'s> {
    let inner = |key: &str| format!("\"{key}\" of upstream \"{upstream}\"");
    let balance = section.optional("balance", |item| {
        item.choice(&[
            ("round_robin", Balance::RoundRobin),
            ("least_connections", Balance::LeastConnections),
        ])
    });
    WrittenBalancing {
        balance: balance.or(Balance::RoundRobin),
        affinity: section.optional("affinity", |item| {
            let section = item.section(SectionKind::Affinity, inner("affinity"))?;
            Some(parse_affinity(&section))
        }),
        health: section.optional("health", |item| {
            parse_health(&item.section(SectionKind::Health, inner("health"))?)
        }),
        eject: section.optional("eject", |item| {
            parse_eject(&item.section(SectionKind::Eject, inner("eject"))?)
        }),
        caps: parse_caps(section),
        dns_refresh: duration(section, "dns_refresh", DNS_REFRESH),
    }
}

fn parse_affinity<'s>(section: &Section<'s, '_>) -> WrittenAffinity<'s> {
    let cookie = section.required(
        "cookie",
        "cookie = \"NAME\"; it holds an id that only we can read",
    );
    let affinity = WrittenAffinity {
        cookie: cookie.and_then(|item| item.parse(parse_cookie_name)),
        key_file: section.optional("key_file", Item::string),
    };
    section.finish();
    affinity
}

/// A token (RFC 6265, 4.1.1).
fn parse_cookie_name(text: &str) -> Result<String, Malformed> {
    // RFC 9110, 5.6.2. Another character could end the cookie's name or add an attribute to it.
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return Err(format!(
            "\"{text}\" is no cookie name: letters, digits, \"-\" and \"_\", 64 at most"
        )
        .into());
    }
    Ok(text.to_owned())
}

fn parse_health(section: &Section<'_, '_>) -> Option<WrittenHealth> {
    let path = section.required("path", "path = \"/healthz\"");
    let path = path.and_then(|item| item.parse(parse_path));
    let host = section.optional("host", |item| item.parse(parse_host));
    let statuses = section.optional("status", parse_statuses);
    let interval = duration(section, "interval", HEALTH_INTERVAL);
    let written = section.item("timeout");
    let timeout = match &written {
        Some(item) => item.duration(),
        // The default must not exceed a shorter interval that is written.
        None => Some(interval.map_or(HEALTH_TIMEOUT, |interval| interval.min(HEALTH_TIMEOUT))),
    };
    if let (Some(item), Some(interval), Some(timeout)) = (&written, interval, timeout)
        // Only a written timeout can be too long: the default follows the interval.
        && timeout > interval
    {
        item.fail::<()>("\"timeout\" must not be longer than \"interval\": a check would begin before the last has ended");
    }
    let healthy = number(section, "healthy", HEALTHY, 1..=100);
    let unhealthy = number(section, "unhealthy", UNHEALTHY, 1..=100);
    section.finish();
    let host = host.unless_faulty()?;
    Some(WrittenHealth {
        has_host: host.is_some(),
        check: HealthCheck {
            path: path?,
            host: host.unwrap_or_default(),
            statuses: statuses.or(vec![200])?,
            interval: interval?,
            timeout: timeout?,
            healthy: healthy?,
            unhealthy: unhealthy?,
        },
    })
}

fn parse_statuses(item: &Item<'_, '_>) -> Option<Vec<u16>> {
    let statuses = item.list();
    let statuses = statuses.iter().map(|status| status.integer(200..=599));
    let statuses = statuses.map(|status| u16::try_from(status?).ok());
    // All entries are read before a faulty one ends this, so that one run reports every problem.
    let statuses: Vec<Option<u16>> = statuses.collect();
    let statuses: Option<Vec<u16>> = statuses.into_iter().collect();
    statuses.filter(|statuses| !statuses.is_empty())
}

fn parse_path(text: &str) -> Result<String, Malformed> {
    // The path goes into a request line as it is: a space or a control character would forge one.
    if !text.starts_with('/') || text.len() > 2048 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!(
            "\"{}\" is no path: it begins with a slash and has no spaces",
            text.escape_debug()
        )
        .into());
    }
    Ok(text.to_owned())
}

fn parse_host(text: &str) -> Result<String, Malformed> {
    match crate::route::normalize_host(text.as_bytes()) {
        Some(host) => Ok(host),
        None => Err(format!("\"host\" is no host name: \"{}\"", text.escape_debug()).into()),
    }
}

fn parse_eject(section: &Section<'_, '_>) -> Option<Ejection> {
    let failures = number(section, "failures", EJECT_FAILURES, 1..=1000);
    let length = duration(section, "for", EJECT_FOR);
    let server_errors = section.optional("server_errors", Item::boolean);
    section.finish();
    Some(Ejection {
        failures: failures?,
        duration: length?,
        server_errors: server_errors.or(false)?,
    })
}

fn parse_caps(section: &Section<'_, '_>) -> Option<Caps> {
    const MOST: i64 = 1_000_000;
    let count = |item: &Item<'_, '_>, least| {
        let number = item.integer(least..=MOST);
        number.and_then(|number| usize::try_from(number).ok())
    };
    let connections = section.optional("max_connections", |item| count(item, 1));
    let pending = section.item("max_pending");
    // Without a limit on connections nothing ever waits, so the key would have no effect.
    if let (Some(item), Given::Absent) = (&pending, &connections) {
        item.fail::<()>("\"max_pending\" needs \"max_connections\" beside it");
    }
    let waits = pending.is_some();
    let pending = match pending {
        Some(item) => count(&item, 0),
        None => Some(0),
    };
    let timeout = section.item("pending_timeout");
    // Where nobody may wait, the key would have no effect.
    if let (Some(item), false) = (&timeout, waits) {
        item.fail::<()>("\"pending_timeout\" needs \"max_pending\" beside it");
    }
    let pending_timeout = match timeout {
        Some(item) => item.duration(),
        None => Some(PENDING_TIMEOUT),
    };
    Some(Caps {
        connections: connections.unless_faulty()?,
        pending: pending?,
        pending_timeout: pending_timeout?,
    })
}

fn duration(section: &Section<'_, '_>, key: &'static str, default: Duration) -> Option<Duration> {
    section.optional(key, Item::duration).or(default)
}

fn number(
    section: &Section<'_, '_>,
    key: &'static str,
    default: u32,
    range: std::ops::RangeInclusive<i64>,
) -> Option<u32> {
    let number = section.optional(key, |item| u32::try_from(item.integer(range)?).ok());
    number.or(default)
}
