//! `/traffic`: how much each route had since the start, and how slow it was, in the rules and at its gateways.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::router::{Request, Response, Router};
use super::sources::StatusSources;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::HistogramReport;

/// Adds `/traffic`.
pub fn add_traffic_routes(router: &mut Router, sources: &StatusSources) {
    let from = sources.clone();
    router.get("/traffic", move |_: Request| {
        let answer = Response::json(200, &traffic(&from.metrics));
        async move { answer }
    });
}

fn traffic(metrics: &Metrics) -> Value {
    let mut routes: BTreeMap<(String, String), Value> = BTreeMap::new();
    metrics.requests.each(|listener, route, answers| {
        let counts: BTreeMap<&str, u64> = answers.each().collect();
        let row = json!({
            "listener": listener,
            "route": route,
            "requests": counts.values().sum::<u64>(),
            "answers": counts,
        });
        routes.insert((listener.to_owned(), route.to_owned()), row);
    });
    metrics.histograms.each(|listener, route, histograms| {
        let key = (listener.to_owned(), route.to_owned());
        let Some(row) = routes.get_mut(&key).and_then(Value::as_object_mut) else {
            return;
        };
        for (name, report) in [
            ("total_ms", histograms.total.report()),
            ("waf_ms", histograms.waf.report()),
            ("upstream_ms", histograms.upstream.report()),
        ] {
            row.insert(
                name.to_owned(),
                report.as_ref().map_or(Value::Null, quantiles),
            );
        }
    });
    json!({ "routes": routes.into_values().collect::<Vec<_>>() })
}

/// Milliseconds.
fn quantiles(report: &HistogramReport) -> Value {
    json!({ "p50": quantile(report, 0.5), "p95": quantile(report, 0.95), "p99": quantile(report, 0.99) })
}

/// The same of counts that are not those of a report: the bound, and how many values were at most as large.
pub(crate) fn quantile_of(buckets: &[(&str, u64)], share: f64) -> Option<f64> {
    let count = buckets.last().map_or(0, |(_, count)| *count);
    (count > 0).then(|| guess(buckets.iter().copied(), count, share))
}

/// In milliseconds, as Prometheus's `histogram_quantile` guesses it: requests are spread evenly over their bucket, and the
/// last bucket has no end, so its beginning is shown.
fn quantile(report: &HistogramReport, share: f64) -> f64 {
    let count = report.buckets.last().map_or(0, |(_, count, _)| *count);
    let buckets = report
        .buckets
        .iter()
        .map(|(bound, upto, _)| (*bound, *upto));
    guess(buckets, count, share)
}

fn guess<'b>(buckets: impl Iterator<Item = (&'b str, u64)>, count: u64, share: f64) -> f64 {
    let rank = share * count as f64;
    let (mut start, mut below) = (0.0, 0);
    for (bound, upto) in buckets {
        let end = bound.parse().ok().filter(|end: &f64| end.is_finite());
        if upto as f64 >= rank {
            let within = (rank - below as f64) / upto.saturating_sub(below).max(1) as f64;
            let seconds = end.map_or(start, |end| start + (end - start) * within);
            // More digits would make a guess look exact.
            return (seconds * 1e5).round() / 100.0;
        }
        (start, below) = (end.unwrap_or(start), upto);
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_guessed_within_its_bucket() {
        let report = |counts: [u64; 3]| HistogramReport {
            buckets: vec![
                ("0.1", counts[0], None),
                ("0.2", counts[1], None),
                ("+Inf", counts[2], None),
            ],
            sum: 0,
        };
        for (counts, share, expected) in [
            ([100, 100, 100], 0.5, 50.0),
            ([0, 100, 100], 0.5, 150.0),
            ([50, 100, 100], 0.99, 198.0),
            ([0, 0, 10], 0.5, 200.0),
        ] {
            assert_eq!(quantile(&report(counts), share), expected, "{counts:?}");
        }
    }
}
