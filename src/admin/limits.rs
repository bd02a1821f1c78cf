//! `/limits/top`: which keys are near their limit. What limits said is a part of `/status`, and `/metrics` counts it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::exposition::Exposition;
use super::fields::{Fields, WrongQuery};
use super::router::{Request, Response, Router};
use crate::limits::{BucketReport, Limit, now};
use crate::live::Live;
use crate::telemetry::families;

/// Keys of each limit that are shown where nothing else is asked for, and at most.
const SHOWN: usize = 20;
const MOST_SHOWN: usize = 1000;

/// Adds `/limits/top`, and the parts of `/status` and `/metrics` about limits.
pub fn add_limit_routes(router: &mut Router, live: &Arc<Live>) {
    let seen = Arc::clone(live);
    router.section("limits", move || {
        let snapshot = seen.pin();
        let limits = snapshot.config.limits.values();
        Value::Array(limits.map(|limit| Value::Object(summary(limit))).collect())
    });
    let seen = Arc::clone(live);
    // Addresses of clients are what clients sent.
    router.get_secret("/limits/top", move |request: Request| {
        let answer = top(&seen, &request);
        async move { answer }
    });
    let seen = Arc::clone(live);
    router.collect(move |text| collect(&seen, text));
}

struct Wanted {
    limit: Option<String>,
    most: usize,
}

impl Wanted {
    fn parse(mut query: Fields<'_>) -> Result<Self, WrongQuery> {
        let most = query.number("most")?.unwrap_or(SHOWN);
        let wanted = Self {
            limit: query.text("limit"),
            most: MOST_SHOWN.min(most),
        };
        query.end()?;
        Ok(wanted)
    }
}

fn top(live: &Live, request: &Request) -> Response {
    let wanted = match Wanted::parse(Fields::of(request)) {
        Ok(wanted) => wanted,
        Err(wrong) => return wrong.into(),
    };
    let named = wanted.limit.as_ref();
    let snapshot = live.pin();
    let limits = &snapshot.config.limits;
    if let Some(name) = named.filter(|name| !limits.contains_key(*name)) {
        return Response::error(404, &format!("there is no limit \"{name}\""));
    }
    let shown = limits.values();
    let shown = shown.filter(|limit| named.is_none_or(|name| limit.name == *name));
    let reports = shown.map(|limit| report(limit, wanted.most));
    Response::json(200, &json!({ "limits": reports.collect::<Vec<_>>() }))
}

/// What does not name a client.
fn summary(limit: &Limit) -> Map<String, Value> {
    let (settings, counts) = (&limit.settings, limit.counts());
    let key = settings.key.iter().map(ToString::to_string);
    [
        ("name", json!(limit.name)),
        ("rate", json!(settings.rate.to_string())),
        ("burst", json!(settings.burst)),
        ("key", json!(key.collect::<Vec<_>>())),
        ("count", json!(settings.count.to_string())),
        ("action", json!(settings.action.name())),
        ("passed", json!(counts.passed.value())),
        ("refused", json!(counts.refused.value())),
        ("would_refuse", json!(counts.would_refuse.value())),
        ("evicted", json!(limit.evicted())),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect()
}

fn report(limit: &Limit, most: usize) -> Value {
    let (rows, known) = limit.report(most, now());
    let rows = rows.iter().map(|row: &BucketReport| {
        json!({
            "key": row.key,
            "used_percent": row.used_percent,
            "remaining": row.remaining,
            "full_in_seconds": row.full_in_seconds,
        })
    });
    let mut report = summary(limit);
    report.insert("keys_in_use".to_owned(), json!(known));
    report.insert("top".to_owned(), rows.collect());
    Value::Object(report)
}

fn collect(live: &Live, text: &mut Exposition) {
    let snapshot = live.pin();
    text.family(&families::LIMIT_REQUESTS);
    for (name, limit) in &snapshot.config.limits {
        let counts = limit.counts();
        for (outcome, counter) in [
            ("passed", &counts.passed),
            ("refused", &counts.refused),
            ("would_refuse", &counts.would_refuse),
        ] {
            text.sample(&[name, outcome], counter.value());
        }
    }
    text.family(&families::LIMIT_KEYS_EVICTED);
    for (name, limit) in &snapshot.config.limits {
        text.sample(&[name], limit.evicted());
    }
}
