//! What the admin API tells of exposures and how it switches them; knows no HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{SetError, Setting, Switchboard};
use crate::config::{Config, Exposure, ListenerKind, OffAnswer, Route};
use crate::route::{HostPattern, MethodSet, PathPattern};
use crate::time::{parse_rfc3339, rfc3339};

/// Longer is no reason but a report.
const LONGEST_REASON: usize = 1024;
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// One exposure as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub name: String,
    /// `on` or `off`.
    pub state: String,
    pub owner: String,
    /// RFC 3339, as all times here; these four only where somebody switched it.
    pub since: Option<String>,
    pub until: Option<String>,
    pub by: Option<String>,
    pub reason: Option<String>,
    /// What a client gets when it is off: `503`, `404` or `close`.
    pub off: String,
    pub pairs: Vec<Pair>,
    /// What is off is off again after a restart.
    pub kept: bool,
}

/// A route on a listener, and a request that would reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub route: String,
    pub listener: String,
    /// Where a client on this machine reaches the listener; None where it is not bound.
    pub address: Option<SocketAddr>,
    pub host: String,
    pub path: String,
    pub method: String,
}

/// What a switch is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Like `2h`; not beside `until`.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why something was not switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderError {
    NoSuchExposure(String),
    Faulty(String),
    /// Another process takes over; nothing was switched.
    NotNow,
    /// It may have taken effect nevertheless.
    NotKept(String),
}

/// All exposures, in the order of their names. `address` tells where a listener is bound.
pub fn list(
    config: &Config,
    board: &Switchboard,
    address: impl Fn(&str) -> Option<SocketAddr>,
) -> Vec<Status> {
    let mut all: Vec<Status> = config
        .exposures
        .iter()
        .map(|exposure| status(config, board, exposure, &address))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn status(
    config: &Config,
    board: &Switchboard,
    exposure: &Exposure,
    address: impl Fn(&str) -> Option<SocketAddr>,
) -> Status {
    let setting = board.setting(&exposure.name);
    let setting = setting.as_deref();
    let routes: BTreeMap<&str, &Route> = config
        .routes
        .iter()
        .map(|(_, route)| (route.name.as_str(), route.as_ref()))
        .collect();
    let pairs = exposure.pairs.iter().filter_map(|(route, listener)| {
        let route = routes.get(route.as_str())?;
        Some(pair(config, route, listener, address(listener)))
    });
    Status {
        name: exposure.name.clone(),
        state: if setting.is_none_or(|s| s.on) {
            "on"
        } else {
            "off"
        }
        .to_owned(),
        owner: exposure.owner.clone(),
        since: setting.map(|s| rfc3339(s.since)),
        until: setting.and_then(|s| s.until).map(rfc3339),
        by: setting.map(|s| s.by.clone()),
        reason: setting.and_then(|s| s.reason.clone()),
        off: match exposure.off {
            OffAnswer::Unavailable => "503",
            OffAnswer::NotFound => "404",
            OffAnswer::Close => "close",
        }
        .to_owned(),
        pairs: pairs.collect(),
        kept: config.state_dir.is_some(),
    }
}

fn pair(config: &Config, route: &Route, listener: &str, bound: Option<SocketAddr>) -> Pair {
    let claim = &route.claim;
    let method = match &claim.methods {
        MethodSet::Only(methods) | MethodSet::Exactly(methods) => {
            methods.first().map_or("GET", String::as_str)
        }
        MethodSet::Default => "GET",
    };
    let path = match claim.paths.first() {
        Some(PathPattern::Exact(path) | PathPattern::Prefix(path)) => path.as_str(),
        None => "/",
    };
    Pair {
        route: route.name.clone(),
        listener: listener.to_owned(),
        address: bound.map(reachable),
        host: host(config, claim.hosts.first(), listener),
        path: path.to_owned(),
        method: method.to_owned(),
    }
}

/// A name that selects the route, and a certificate of the listener where it can.
fn host(config: &Config, pattern: Option<&HostPattern>, listener: &str) -> String {
    let below = |domain: &str| format!("drawbridge.{domain}");
    match pattern {
        Some(HostPattern::Exact(host)) => return host.clone(),
        Some(HostPattern::Wildcard(domain)) => return below(domain),
        Some(HostPattern::Any) | None => {}
    }
    let mut listeners = config.listeners.iter();
    let found = listeners.find(|known| known.name == listener);
    let name = found.and_then(|found| match &found.kind {
        ListenerKind::Tls { certificates, .. } => certificates.first()?.names.first(),
        ListenerKind::Redirect { .. } => None,
    });
    match name.map(|name| (name, name.strip_prefix("*."))) {
        Some((_, Some(domain))) => below(domain),
        Some((name, None)) => name.clone(),
        None => "localhost".to_owned(),
    }
}

/// What listens everywhere is reached on loopback.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let mut address = bound;
    if bound.ip().is_unspecified() {
        address.set_ip(match bound {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Switches one exposure. Writes to the disk.
///
/// # Errors
/// It does not exist, the order makes no sense, or it could not be kept.
pub fn switch(
    config: &Config,
    board: &Switchboard,
    name: &str,
    on: bool,
    order: &Order,
    by: &str,
) -> Result<(), OrderError> {
    if !config.exposures.iter().any(|e| e.name == name) {
        let mut known: Vec<&str> = config.exposures.iter().map(|e| e.name.as_str()).collect();
        known.sort_unstable();
        let known = match known.is_empty() {
            true => "the configuration names none".to_owned(),
            false => format!("there are: {}", known.join(", ")),
        };
        let words = format!("there is no exposure \"{name}\"; {known}");
        return Err(OrderError::NoSuchExposure(words));
    }
    let now = SystemTime::now();
    let until = until(order, now).map_err(OrderError::Faulty)?;
    let reason = order.reason.as_deref().map(str::trim);
    let reason = reason.filter(|reason| !reason.is_empty());
    if reason.is_some_and(|r| r.len() > LONGEST_REASON || r.chars().any(char::is_control)) {
        let words = format!("a reason is one line of at most {LONGEST_REASON} bytes");
        return Err(OrderError::Faulty(words));
    }
    let setting = Setting {
        on,
        since: now,
        until,
        by: by.to_owned(),
        reason: reason.map(str::to_owned),
    };
    board.set(name, setting).map_err(|error| match (error, on) {
        (SetError::HandingOver, _) => OrderError::NotNow,
        (SetError::NotKept(error), true) => {
            let words = format!("it is as it was, but this could not be kept: {error}");
            OrderError::NotKept(words)
        }
        (SetError::NotKept(error), false) => {
            let words = "it is off until the front door ends, but this could not be kept";
            OrderError::NotKept(format!("{words}: {error}"))
        }
    })
}

fn until(order: &Order, now: SystemTime) -> Result<Option<SystemTime>, String> {
    let until = match (&order.until, &order.duration) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err("either \"until\" or \"for\"".to_owned()),
        (Some(text), None) => parse_rfc3339(text).ok_or_else(|| {
            format!("\"{text}\" is no time: write it like \"2026-11-21T18:00:00Z\" or with +01:00")
        })?,
        (None, Some(text)) => now + parse_duration(text)?,
    };
    match until {
        _ if until <= now => Err(format!("{} is over already", rfc3339(until))),
        _ if until > now + YEAR => Err("a year is the longest".to_owned()),
        _ => Ok(Some(until)),
    }
}

/// `90s`, `30m`, `2h`, `7d`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no duration: write it like \"30m\", \"2h\" or \"7d\"");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let duration = Duration::from_secs(number.saturating_mul(unit));
    match duration {
        Duration::ZERO => Err(wrong()),
        _ if duration > YEAR => Err("a year is the longest".to_owned()),
        _ => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_say_when_it_ends() {
        let now = parse_rfc3339("2026-11-21T12:00:00Z").unwrap();
        let order = |until: Option<&str>, duration: Option<&str>| Order {
            until: until.map(str::to_owned),
            duration: duration.map(str::to_owned),
            reason: None,
        };
        for (given, expected) in [
            (order(None, None), Ok(None)),
            (
                order(None, Some("2h")),
                Ok(Some("2026-11-21T14:00:00.000Z")),
            ),
            (
                order(None, Some("7d")),
                Ok(Some("2026-11-28T12:00:00.000Z")),
            ),
            (
                order(Some("2026-11-21T14:00+01:00"), None),
                Ok(Some("2026-11-21T13:00:00.000Z")),
            ),
            (
                order(Some("2026-11-21T12:00:00Z"), None),
                Err("over already"),
            ),
            (order(Some("tomorrow"), None), Err("is no time")),
            (order(Some("2126-11-21T12:00:00Z"), None), Err("a year")),
            (order(None, Some("2 hours")), Err("is no duration")),
            (order(None, Some("0h")), Err("is no duration")),
            (order(None, Some("é")), Err("is no duration")),
            (
                order(None, Some("99999999999999999999d")),
                Err("is no duration"),
            ),
            (order(None, Some("999999999999999d")), Err("a year")),
            (order(Some("x"), Some("2h")), Err("either")),
        ] {
            match (until(&given, now), expected) {
                (Ok(got), Ok(expected)) => {
                    assert_eq!(got.map(rfc3339).as_deref(), expected, "{given:?}");
                }
                (Err(why), Err(part)) => assert!(why.contains(part), "{given:?}: {why}"),
                (got, _) => panic!("{given:?}: {got:?}"),
            }
        }
    }
}
