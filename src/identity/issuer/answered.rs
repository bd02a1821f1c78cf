//! What an answer says about itself: the time of the issuer's clock, and how long it is fresh.

use std::time::{Duration, SystemTime};

use http::header::{AGE, CACHE_CONTROL, DATE};

use crate::outbound::Response;
use crate::time::parse_http_date;

/// What an answer says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answered {
    /// The time of the issuer's clock.
    pub date: Option<SystemTime>,
    /// How long it is fresh.
    pub fresh: Option<Duration>,
}

impl Answered {
    pub(super) fn of(answer: &Response) -> Self {
        let date = answer.field(&DATE).and_then(parse_http_date);
        let control = answer.field(&CACHE_CONTROL);
        // A cache on the way had it for a while already (RFC 9111, 4.2.3).
        let age = answer.field(&AGE).and_then(|age| age.trim().parse().ok());
        let age = Duration::from_secs(age.unwrap_or(0));
        Self {
            date,
            fresh: control
                .and_then(freshness)
                .map(|fresh| fresh.saturating_sub(age)),
        }
    }
}

/// What `Cache-Control` says (RFC 9111, 5.2.2).
pub(super) fn freshness(control: &str) -> Option<Duration> {
    let directives = || control.split(',').map(str::trim);
    let is = |name: &str| directives().any(|directive| directive.eq_ignore_ascii_case(name));
    if is("no-store") || is("no-cache") {
        return Some(Duration::ZERO);
    }
    let mut ages = directives().filter_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let is = name.trim().eq_ignore_ascii_case("max-age");
        is.then(|| value.trim().trim_matches('"').parse().ok())?
    });
    ages.next().map(Duration::from_secs)
}
