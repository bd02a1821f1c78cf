//! How it goes: what was counted over a time, the gateways, what ends soon.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use askama::Template;

use super::super::history::{RouteSpan, RouteTotals, Span, Step, Totals};
use super::super::state::Asked;
use super::certificates::CertificateList;
use super::rules::{ExclusionList, Kept};
use super::status::{Reload, Status, Upstream};
use super::{Answered, Frame, shown};
use crate::admin::quantile_of;
use crate::exposure::api::ExposureStatus;
use crate::time::{parse_rfc3339, rfc3339, seconds};

/// Name in the query, words, and seconds.
const SPANS: [(&str, &str, u64); 4] = [
    ("5m", "5 minutes", 300),
    ("1h", "an hour", 3600),
    ("24h", "a day", 86_400),
    ("7d", "7 days", 7 * 86_400),
];
/// What ends within this time is shown.
const SOON: u64 = 30 * 86_400;
/// The size of the chart in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    spans: Vec<(&'static str, &'static str)>,
    here: &'static str,
    words: &'static str,
    rate: String,
    sum: Totals,
    chart: Chart,
    reload: Reload,
    listeners: Vec<(String, RouteTotals)>,
    routes: Vec<RouteRow>,
    upstreams: Vec<Upstream>,
    ending: Vec<Ending>,
}

struct RouteRow {
    listener: String,
    route: String,
    requests: u64,
    rate: String,
    errors: u64,
    total: String,
    waf: String,
    upstream: String,
}

struct Chart {
    width: f64,
    height: f64,
    most: String,
    requests: String,
    blocked: String,
}

struct Ending {
    timestamp: u64,
    at: String,
    what: &'static str,
    name: String,
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let wanted = asked.query.value("span");
    let [first, ..] = SPANS;
    let span = SPANS.into_iter().find(|(name, ..)| *name == wanted);
    let (here, words, seconds) = span.unwrap_or(first);
    let console = asked.console;
    let span = Duration::from_secs(seconds);
    let Span { steps, routes } = console.history.span(span, &console.metrics);
    let sum = steps.iter().map(|step| step.counts);
    let sum = sum.fold(Totals::default(), Totals::plus);
    let time: f64 = steps.iter().map(|step| step.seconds).sum();
    let status: Status = asked.api.get("/status", "").await?;
    Ok(shown(&Overview {
        frame: Frame::of("Overview", asked.identity.role, "/", "drawbridge status"),
        spans: SPANS
            .iter()
            .map(|(name, words, _)| (*name, *words))
            .collect(),
        here,
        words,
        // A front door that has just started has a span of next to nothing.
        rate: format!("{:.1}", sum.requests as f64 / time.max(1.0)),
        sum,
        chart: Chart::of(&steps),
        reload: status.reload,
        listeners: listener_rows(&routes),
        routes: rows(routes, time),
        upstreams: status.upstreams,
        ending: ending(asked).await?,
    }))
}

fn rows(routes: Vec<RouteSpan>, seconds: f64) -> Vec<RouteRow> {
    let text = |times: &[(&str, u64)]| {
        let quantiles = quantile_of(times, 0.5).zip(quantile_of(times, 0.99));
        quantiles.map_or_else(String::new, |(p50, p99)| format!("{p50} / {p99}"))
    };
    let rows = routes.into_iter().map(|row| {
        let [total, waf, upstream] = row.times.each_ref().map(|times| text(times));
        RouteRow {
            listener: row.listener,
            route: row.route,
            requests: row.counts.requests,
            rate: format!("{:.1}", row.counts.requests as f64 / seconds.max(1.0)),
            errors: row.counts.errors,
            total,
            waf,
            upstream,
        }
    });
    rows.collect()
}

fn listener_rows(routes: &[RouteSpan]) -> Vec<(String, RouteTotals)> {
    let mut listeners: BTreeMap<&str, RouteTotals> = BTreeMap::new();
    for row in routes {
        let counts = listeners.entry(&row.listener).or_default();
        counts.requests += row.counts.requests;
        counts.errors += row.counts.errors;
    }
    let rows = listeners.into_iter();
    rows.map(|(listener, counts)| (listener.to_owned(), counts))
        .collect()
}

impl Chart {
    fn of(steps: &[Step]) -> Self {
        let rate = |count: u64, step: &Step| count as f64 / step.seconds.max(1.0);
        let requests = steps.iter().map(|step| rate(step.counts.requests, step));
        let most = requests.clone().fold(0.0, f64::max);
        let blocked = steps.iter().map(|step| rate(step.counts.blocked, step));
        let line = |values: &mut dyn Iterator<Item = f64>, command: char| {
            let mut path = String::new();
            for (at, value) in values.enumerate() {
                // With one step there is no distance to divide by.
                let x = WIDTH * at as f64 / (steps.len().max(2) - 1) as f64;
                // A line at the very top would lose half its width. Without requests `most` is 0.
                let y = HEIGHT - HEIGHT * value / most.max(0.1) * 0.95;
                let command = if at == 0 { command } else { 'L' };
                // Writing to a string cannot fail.
                let _ = write!(path, "{command}{x:.1} {y:.1}");
            }
            path
        };
        let top = line(&mut requests.into_iter(), 'M');
        // The filled area begins at the lower left corner, so its first point is no move.
        let filled = line(&mut blocked.into_iter(), 'L');
        Self {
            width: WIDTH,
            height: HEIGHT,
            most: format!("{most:.1}"),
            requests: top,
            blocked: format!("M0 {HEIGHT}{filled}L{WIDTH} {HEIGHT}Z"),
        }
    }
}

/// Certificates and exclusions that end soon or have ended, and switches that revert.
async fn ending(asked: &Asked<'_>) -> Result<Vec<Ending>, super::ApiError> {
    let soon = seconds(SystemTime::now()) + SOON;
    let text = |timestamp: u64| rfc3339(UNIX_EPOCH + Duration::from_secs(timestamp));
    let list: CertificateList = asked.api.get("/certificates", "").await?;
    let certificates = list.certificates.into_iter().map(|entry| {
        // An end before 1970 is over as well.
        let timestamp = entry.not_after_timestamp.try_into().unwrap_or(0);
        let name = format!("{} of {}", entry.name, entry.owner);
        (timestamp, "certificate", name)
    });
    let list: ExclusionList = asked.api.get("/exclusions", "").await?;
    let exclusions = list.exclusions.into_iter().map(|kept: Kept| {
        let timestamp = kept.until_timestamp.try_into().unwrap_or(0);
        let name = format!("{} of {} in policy {}", kept.id, kept.owner, kept.policy);
        (timestamp, "exclusion", name)
    });
    let list: Vec<ExposureStatus> = asked.api.get("/exposures", "").await?;
    let switches = list.into_iter().filter_map(|exposure| {
        let end = parse_rfc3339(exposure.until.as_deref()?)?;
        let end = seconds(end);
        let name = format!("{} is {} until then", exposure.name, exposure.state);
        Some((end, "switch", name))
    });
    let ends = certificates
        .chain(exclusions)
        .chain(switches)
        .filter(|(timestamp, ..)| *timestamp <= soon);
    let ends = ends.map(|(timestamp, what, name)| Ending {
        timestamp,
        at: text(timestamp),
        what,
        name,
    });
    let mut ends: Vec<Ending> = ends.collect();
    // What ends first is most urgent, whatever it is.
    ends.sort_by_key(|end| end.timestamp);
    Ok(ends)
}
