//! What the admin API shows of exposures, and how it switches them. Knows nothing of HTTP.
//!
//! The types that are serialized here are the format of the API: their JSON keys never change. Everything that a caller
//! sends is checked here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::setting::{Setting, position};
use super::store::StoreError;
use super::switchboard::{SetError, Switchboard};
use crate::config::{Config, Exposure, ListenerKind, OffAnswer, Route};
use crate::route::{HostPattern, MethodSet, PathPattern};
use crate::time::{parse_rfc3339, rfc3339};

/// The longest reason, in bytes: it is shown in one line of `status` and of the audit.
const MAX_REASON_BYTES: usize = 1024;
/// The longest time after which a switch reverts: a year. A later time is a typing error, and such a switch is
/// forgotten.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// One exposure as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposureStatus {
    /// The exposure's name.
    pub name: String,
    /// `on` or `off`.
    pub state: String,
    /// Who owns it, as the configuration writes it.
    pub owner: String,
    /// When it was switched (RFC 3339, as all times here). This and the next three are set only if somebody switched it.
    pub since: Option<String>,
    /// When the switch reverts.
    pub until: Option<String>,
    /// Who switched it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What clients get while it is off: `503`, `404` or `close`.
    pub off: String,
    /// Its routes on its listeners.
    pub pairs: Vec<ExposedRoute>,
    /// Whether the switch survives a restart, which needs a `state_dir`.
    #[serde(rename = "kept")]
    pub persistent: bool,
}

/// A route on a listener, and a request that reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedRoute {
    /// The route's name.
    pub route: String,
    /// The listener's name.
    pub listener: String,
    /// Where a client on this machine reaches the listener; None if it is not bound.
    pub address: Option<SocketAddr>,
    /// The request's host.
    pub host: String,
    /// The request's path.
    pub path: String,
    /// The request's method.
    pub method: String,
}

/// What a caller asks of a switch besides its position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchRequest {
    /// When the switch reverts (RFC 3339); not together with `duration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// After how long it reverts, such as `2h`; not together with `until`.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why, for `status` and the audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why an exposure was not switched as asked for.
#[derive(Debug)]
pub enum SwitchError {
    /// The caller named an exposure that the configuration does not have.
    NoSuchExposure {
        /// The name.
        name: String,
        /// The names that exist, in order.
        known: Vec<String>,
    },
    /// The caller's time or duration is invalid.
    Time(TimeError),
    /// The caller's reason is too long or has control characters.
    Reason,
    /// Another process takes over; nothing was switched.
    HandingOver,
    /// The exposure was to be switched on and is as it was, because that could not be saved.
    NotSwitchedOn(StoreError),
    /// The exposure is off, but that could not be saved.
    OffButNotSaved(StoreError),
}

impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchExposure { name, known } if known.is_empty() => write!(
                f,
                "there is no exposure \"{name}\"; the configuration names none"
            ),
            Self::NoSuchExposure { name, known } => write!(
                f,
                "there is no exposure \"{name}\"; there are: {}",
                known.join(", ")
            ),
            Self::Time(error) => error.fmt(f),
            Self::Reason => write!(
                f,
                "a reason is one line of at most {MAX_REASON_BYTES} bytes"
            ),
            Self::HandingOver => f.write_str(
                "another process takes over: nothing was switched, ask again in a moment",
            ),
            Self::NotSwitchedOn(error) => write!(
                f,
                "the exposure stays as it was, because the switch could not be saved: {error}"
            ),
            Self::OffButNotSaved(error) => write!(
                f,
                "the exposure is off until the front door ends, but the switch could not be saved: {error}"
            ),
        }
    }
}

impl std::error::Error for SwitchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Time(error) => Some(error),
            Self::NotSwitchedOn(error) | Self::OffButNotSaved(error) => Some(error),
            Self::NoSuchExposure { .. } | Self::Reason | Self::HandingOver => None,
        }
    }
}

/// Why the time at which a switch reverts is invalid. The caller erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeError {
    /// Both `until` and `for` were given.
    Both,
    /// A time is not in the form of RFC 3339.
    NotATime(String),
    /// A duration is not a number with a unit, or is zero.
    NotADuration(String),
    /// The time has passed.
    Past(SystemTime),
    /// The time is more than a year away.
    TooFar,
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both => f.write_str("give either \"until\" or \"for\", not both"),
            Self::NotATime(text) => write!(
                f,
                "\"{text}\" is not a time: write it like \"2026-11-21T18:00:00Z\" or with +01:00"
            ),
            Self::NotADuration(text) => write!(
                f,
                "\"{text}\" is not a duration: write it like \"30m\", \"2h\" or \"7d\""
            ),
            Self::Past(time) => write!(f, "{} is in the past", rfc3339(*time)),
            Self::TooFar => f.write_str("a switch can revert after a year at most"),
        }
    }
}

impl std::error::Error for TimeError {}

/// All exposures, by name. `address` says where a listener is bound.
pub fn list(
    config: &Config,
    board: &Switchboard,
    address: impl Fn(&str) -> Option<SocketAddr>,
) -> Vec<ExposureStatus> {
    let mut all: Vec<ExposureStatus> = config
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
) -> ExposureStatus {
    let setting = board.setting(&exposure.name);
    let setting = setting.as_deref();
    let routes: BTreeMap<&str, &Route> = config
        .routes
        .iter()
        .map(|(_, route)| (route.name.as_str(), route.as_ref()))
        .collect();
    let pairs = exposure.pairs.iter().filter_map(|(route, listener)| {
        let route = routes.get(route.as_str())?;
        Some(exposed_route(config, route, listener, address(listener)))
    });
    ExposureStatus {
        name: exposure.name.clone(),
        state: position(setting.is_none_or(|s| s.on)).to_owned(),
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
        persistent: config.state_dir.is_some(),
    }
}

fn exposed_route(
    config: &Config,
    route: &Route,
    listener: &str,
    bound: Option<SocketAddr>,
) -> ExposedRoute {
    let claim = &route.claim;
    let method = match &claim.methods {
        MethodSet::Only(methods) | MethodSet::Exactly(methods) => {
            methods.first().map_or("GET", String::as_str)
        }
        MethodSet::Default => "GET",
    };
    // A prefix ends with a slash and matches itself, so it is a path that a request can have.
    let path = match claim.paths.first() {
        Some(PathPattern::Exact(path) | PathPattern::Prefix(path)) => path.as_str(),
        None => "/",
    };
    ExposedRoute {
        route: route.name.clone(),
        listener: listener.to_owned(),
        address: bound.map(reachable),
        host: host(config, claim.hosts.first(), listener),
        path: path.to_owned(),
        method: method.to_owned(),
    }
}

/// A host that selects the route, and if possible a certificate of the listener.
fn host(config: &Config, pattern: Option<&HostPattern>, listener: &str) -> String {
    let below = |domain: &str| format!("drawbridge.{domain}");
    match pattern {
        Some(HostPattern::Exact(host)) => return host.clone(),
        Some(HostPattern::Wildcard(domain)) => return below(domain),
        // Any host selects the route, but under `sni = "strict"` only a name of a certificate gets through the
        // handshake.
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

/// The address at which a client on this machine reaches the listener: loopback if it is bound to all addresses.
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

/// Switches one exposure. `by` says who asks. Blocks on the disk.
///
/// # Errors
/// The exposure does not exist, the request is invalid, or the switch could not be saved.
pub fn switch(
    config: &Config,
    board: &Switchboard,
    name: &str,
    on: bool,
    request: &SwitchRequest,
    by: &str,
) -> Result<(), SwitchError> {
    // A setting for an unknown name would be saved and switch nothing: a typing error in an emergency would look like
    // success.
    if !config.exposures.iter().any(|e| e.name == name) {
        let mut known: Vec<String> = config.exposures.iter().map(|e| e.name.clone()).collect();
        known.sort_unstable();
        let name = name.to_owned();
        return Err(SwitchError::NoSuchExposure { name, known });
    }
    let now = SystemTime::now();
    let until = until(request, now).map_err(SwitchError::Time)?;
    let reason = request.reason.as_deref().map(str::trim);
    let reason = reason.filter(|reason| !reason.is_empty());
    // Control characters could forge lines of the log and steer the terminal that shows `status`.
    if reason.is_some_and(|r| r.len() > MAX_REASON_BYTES || r.chars().any(char::is_control)) {
        return Err(SwitchError::Reason);
    }
    let setting = Setting {
        on,
        since: now,
        until,
        by: by.to_owned(),
        reason: reason.map(str::to_owned),
    };
    board.set(name, setting).map_err(|error| match (error, on) {
        (SetError::HandingOver, _) => SwitchError::HandingOver,
        (SetError::NotSaved(error), true) => SwitchError::NotSwitchedOn(error),
        (SetError::NotSaved(error), false) => SwitchError::OffButNotSaved(error),
    })
}

fn until(request: &SwitchRequest, now: SystemTime) -> Result<Option<SystemTime>, TimeError> {
    let until = match (&request.until, &request.duration) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(TimeError::Both),
        (Some(text), None) => {
            parse_rfc3339(text).ok_or_else(|| TimeError::NotATime(text.clone()))?
        }
        (None, Some(text)) => now + parse_duration(text)?,
    };
    match until {
        _ if until <= now => Err(TimeError::Past(until)),
        _ if until > now + MAX_DURATION => Err(TimeError::TooFar),
        _ => Ok(Some(until)),
    }
}

/// Parses a duration such as `90s`, `30m`, `2h` or `7d`.
///
/// # Errors
/// It is not such a duration, or longer than a year.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let invalid = || TimeError::NotADuration(text.to_owned());
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    // Only ASCII letters were cut off, so this is a character boundary.
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(invalid()),
    };
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    // An overflow saturates and is then too long.
    let duration = Duration::from_secs(number.saturating_mul(unit));
    match duration {
        Duration::ZERO => Err(invalid()),
        _ if duration > MAX_DURATION => Err(TimeError::TooFar),
        _ => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_when_the_switch_reverts() {
        let now = parse_rfc3339("2026-11-21T12:00:00Z").unwrap();
        let request = |until: Option<&str>, duration: Option<&str>| SwitchRequest {
            until: until.map(str::to_owned),
            duration: duration.map(str::to_owned),
            reason: None,
        };
        for (given, expected) in [
            (request(None, None), Ok(None)),
            (
                request(None, Some("2h")),
                Ok(Some("2026-11-21T14:00:00.000Z")),
            ),
            (
                request(None, Some("7d")),
                Ok(Some("2026-11-28T12:00:00.000Z")),
            ),
            (
                request(Some("2026-11-21T14:00+01:00"), None),
                Ok(Some("2026-11-21T13:00:00.000Z")),
            ),
            (
                request(Some("2026-11-21T12:00:00Z"), None),
                Err("in the past"),
            ),
            (request(Some("tomorrow"), None), Err("is not a time")),
            (request(Some("2126-11-21T12:00:00Z"), None), Err("a year")),
            (request(None, Some("2 hours")), Err("is not a duration")),
            (request(None, Some("0h")), Err("is not a duration")),
            (request(None, Some("é")), Err("is not a duration")),
            (
                request(None, Some("99999999999999999999d")),
                Err("is not a duration"),
            ),
            (request(None, Some("999999999999999d")), Err("a year")),
            (request(Some("x"), Some("2h")), Err("either")),
        ] {
            match (until(&given, now), expected) {
                (Ok(got), Ok(expected)) => {
                    assert_eq!(got.map(rfc3339).as_deref(), expected, "{given:?}");
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{given:?}: {error}");
                }
                (got, _) => panic!("{given:?}: {got:?}"),
            }
        }
    }
}
