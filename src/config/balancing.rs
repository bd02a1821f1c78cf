//! What an `[upstreams.*]` table says of its servers: which, whose turn, are they well, how many at once.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::files::Document;
use super::model::{
    Affinity, AffinityKey, Balance, Balancing, Caps, Ejection, HealthCheck, Server,
};
use super::reader::{Item, Section};
use super::upstreams::tell;
use super::values::parse_server;
use crate::tls::readable_by_others;

const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
const HEALTHY: u32 = 2;
const UNHEALTHY: u32 = 3;
const EJECT_FAILURES: u32 = 5;
const EJECT_FOR: Duration = Duration::from_secs(30);
const PENDING_TIMEOUT: Duration = Duration::from_secs(1);
const DNS_REFRESH: Duration = Duration::from_secs(30);
const MOST_SERVERS: usize = 256;
const MOST_WEIGHT: i64 = 1000;
const LEAST_KEY: usize = 16;

/// `[dns] servers = ["10.0.0.53", "10.0.1.53:5353"]`
pub(super) fn read_dns(document: &Document<'_, '_>) -> Option<Vec<SocketAddr>> {
    let Some(item) = document.item("dns") else {
        return Some(Vec::new());
    };
    let section = item.section("[dns]")?;
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

/// An address; the port is 53 where none is written.
fn parse_name_server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    bare.or_else(|_| text.parse()).map_err(|_| {
        format!(
            "\"{}\" is no name server: write an address, with a port where that is not 53",
            text.escape_debug()
        )
    })
}

/// `"host:port"`, or `{ address = "host:port", weight = 3 }`.
pub(super) fn read_servers(item: &Item<'_, '_>) -> Option<Vec<Server>> {
    let entries = item.list();
    if entries.len() > MOST_SERVERS {
        return item.fail(format!("{} names more than {MOST_SERVERS}", item.what()));
    }
    let mut known = HashSet::new();
    let mut servers = Vec::new();
    let mut whole = true;
    for entry in &entries {
        let Some(server) = read_server(entry) else {
            whole = false;
            continue;
        };
        if !known.insert((server.host.clone(), server.port)) {
            let message = format!("server \"{}:{}\" is named twice", server.host, server.port);
            entry.report().error(entry.at, message);
        }
        servers.push(server);
    }
    (whole && !servers.is_empty()).then_some(servers)
}

fn read_server(entry: &Item<'_, '_>) -> Option<Server> {
    if !entry.is_table() {
        return entry.parse(parse_server);
    }
    let section = entry.section("a server")?;
    let address = section.required("address", "address = \"host:port\"");
    let server = address.and_then(|item| item.parse(parse_server));
    let weight = number(&section, "weight", 1, 1..=MOST_WEIGHT);
    section.finish();
    Some(Server {
        weight: weight?,
        ..server?
    })
}

/// All keys are read before any `?`, so that every problem is found.
pub(super) fn read(
    upstream: &str,
    section: &Section<'_, '_>,
    server_name: &str,
    dns_servers: &[SocketAddr],
) -> Option<Balancing> {
    let inner = |key: &str| format!("\"{key}\" of upstream \"{upstream}\"");
    let balance = match section.item("balance") {
        Some(item) => item.choice(&[
            ("round_robin", Balance::RoundRobin),
            ("least_connections", Balance::LeastConnections),
        ]),
        None => Some(Balance::RoundRobin),
    };
    let affinity = optional(section, "affinity", |item| {
        read_affinity(&item.section(inner("affinity"))?)
    });
    let health = optional(section, "health", |item| {
        read_health(&item.section(inner("health"))?, server_name)
    });
    let eject = optional(section, "eject", |item| {
        read_eject(&item.section(inner("eject"))?)
    });
    let caps = read_caps(section);
    let dns_refresh = duration(section, "dns_refresh", DNS_REFRESH);
    Some(Balancing {
        balance: balance?,
        affinity: affinity?,
        health: health?,
        eject: eject?,
        caps: caps?,
        dns_refresh: dns_refresh?,
        dns_servers: dns_servers.to_vec(),
    })
}

fn read_affinity(section: &Section<'_, '_>) -> Option<Affinity> {
    let cookie = section.required(
        "cookie",
        "cookie = \"NAME\"; it holds an id that only we can read",
    );
    let cookie = cookie.and_then(|item| item.parse(parse_cookie_name));
    let key = optional(section, "key_file", read_key);
    section.finish();
    Some(Affinity {
        cookie: cookie?,
        key: key?,
    })
}

/// A token (RFC 6265, 4.1.1).
fn parse_cookie_name(text: &str) -> Result<String, String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return Err(format!(
            "\"{text}\" is no cookie name: letters, digits, \"-\" and \"_\", 64 at most"
        ));
    }
    Ok(text.to_owned())
}

fn read_key(item: &Item<'_, '_>) -> Option<AffinityKey> {
    let path = item.string()?;
    let path = path.at.resolve(path.value);
    item.report().inputs.borrow_mut().file(&path);
    if let Some(finding) = readable_by_others(&path).filter(|_| path.exists()) {
        tell(item.report(), item.at, finding);
    }
    let key = match seclang::files::read(&path) {
        Ok(key) => key.trim_ascii().to_vec(),
        Err(error) => return item.fail(format!("cannot read {}: {error}", path.display())),
    };
    if key.len() < LEAST_KEY {
        return item.fail(format!(
            "{} holds {} bytes; a key has {LEAST_KEY} at least: openssl rand -hex 32",
            path.display(),
            key.len()
        ));
    }
    Some(AffinityKey(key))
}

fn read_health(section: &Section<'_, '_>, server_name: &str) -> Option<HealthCheck> {
    let path = section.required("path", "path = \"/healthz\"");
    let path = path.and_then(|item| item.parse(parse_path));
    let host = match section.item("host") {
        Some(item) => item.parse(parse_host),
        None => Some(server_name.to_owned()),
    };
    let statuses = match section.item("status") {
        Some(item) => {
            let statuses = item.list();
            let statuses = statuses.iter().map(|status| status.integer(200..=599));
            let statuses = statuses.map(|status| u16::try_from(status?).ok());
            // One that is faulty does not hide the next.
            let statuses: Vec<Option<u16>> = statuses.collect();
            let statuses: Option<Vec<u16>> = statuses.into_iter().collect();
            statuses.filter(|statuses| !statuses.is_empty())
        }
        None => Some(vec![200]),
    };
    let interval = duration(section, "interval", HEALTH_INTERVAL);
    let written = section.item("timeout");
    let timeout = match &written {
        Some(item) => item.duration(),
        // What was not written fits what was.
        None => Some(interval.map_or(HEALTH_TIMEOUT, |interval| interval.min(HEALTH_TIMEOUT))),
    };
    if let (Some(item), Some(interval), Some(timeout)) = (&written, interval, timeout)
        && timeout > interval
    {
        item.fail::<()>("\"timeout\" must not be longer than \"interval\": a check would begin before the last has ended");
    }
    let healthy = number(section, "healthy", HEALTHY, 1..=100);
    let unhealthy = number(section, "unhealthy", UNHEALTHY, 1..=100);
    section.finish();
    Some(HealthCheck {
        path: path?,
        host: host?,
        statuses: statuses?,
        interval: interval?,
        timeout: timeout?,
        healthy: healthy?,
        unhealthy: unhealthy?,
    })
}

fn parse_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') || text.len() > 2048 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!(
            "\"{}\" is no path: it begins with a slash and has no spaces",
            text.escape_debug()
        ));
    }
    Ok(text.to_owned())
}

fn parse_host(text: &str) -> Result<String, String> {
    match crate::route::normalize_host(text.as_bytes()) {
        Some(host) => Ok(host),
        None => Err(format!(
            "\"host\" is no host name: \"{}\"",
            text.escape_debug()
        )),
    }
}

fn read_eject(section: &Section<'_, '_>) -> Option<Ejection> {
    let failures = number(section, "failures", EJECT_FAILURES, 1..=1000);
    let length = duration(section, "for", EJECT_FOR);
    let server_errors = match section.item("server_errors") {
        Some(item) => item.boolean(),
        None => Some(false),
    };
    section.finish();
    Some(Ejection {
        failures: failures?,
        duration: length?,
        server_errors: server_errors?,
    })
}

fn read_caps(section: &Section<'_, '_>) -> Option<Caps> {
    const MOST: i64 = 1_000_000;
    let count = |item: &Item<'_, '_>, least| {
        let number = item.integer(least..=MOST);
        number.and_then(|number| usize::try_from(number).ok())
    };
    let connections = optional(section, "max_connections", |item| count(item, 1));
    let pending = section.item("max_pending");
    if let (Some(item), Some(None)) = (&pending, &connections) {
        item.fail::<()>(
            "\"max_pending\" says how many wait for \"max_connections\", which is not there",
        );
    }
    let waits = pending.is_some();
    let pending = match pending {
        Some(item) => count(&item, 0),
        None => Some(0),
    };
    let timeout = section.item("pending_timeout");
    if let (Some(item), false) = (&timeout, waits) {
        item.fail::<()>(
            "\"pending_timeout\" says how long \"max_pending\" wait, which is not there",
        );
    }
    let pending_timeout = match timeout {
        Some(item) => item.duration(),
        None => Some(PENDING_TIMEOUT),
    };
    Some(Caps {
        connections: connections?,
        pending: pending?,
        pending_timeout: pending_timeout?,
    })
}

/// None where it is there and faulty.
fn optional<'s, 'r, T>(
    section: &Section<'s, 'r>,
    key: &'static str,
    read: impl FnOnce(&Item<'s, 'r>) -> Option<T>,
) -> Option<Option<T>> {
    match section.item(key) {
        Some(item) => read(&item).map(Some),
        None => Some(None),
    }
}

fn duration(section: &Section<'_, '_>, key: &'static str, default: Duration) -> Option<Duration> {
    match section.item(key) {
        Some(item) => item.duration(),
        None => Some(default),
    }
}

fn number(
    section: &Section<'_, '_>,
    key: &'static str,
    default: u32,
    range: std::ops::RangeInclusive<i64>,
) -> Option<u32> {
    match section.item(key) {
        Some(item) => item.integer(range).and_then(|n| u32::try_from(n).ok()),
        None => Some(default),
    }
}
