//! `/certificates`, `/exclusions` and `/exposures/audit`: what has an owner and an end, and who switched what.

use serde_json::{Value, json};

use super::router::{Request, Response, Router};
use super::sources::StatusSources;
use crate::exposure::recent_audit;
use crate::telemetry::Counter;

/// Lines of the audit in an answer.
const MOST_AUDITED: usize = 100;

/// Adds the lists of certificates and exclusions, and the audit of the switches.
pub fn add_record_routes(router: &mut Router, sources: &StatusSources) {
    let from = sources.clone();
    router.get("/certificates", move |_: Request| {
        let answer = Response::json(200, &certificates(&from));
        async move { answer }
    });
    let from = sources.clone();
    router.get("/exclusions", move |_: Request| {
        let answer = Response::json(200, &exclusions(&from));
        async move { answer }
    });
    let from = sources.clone();
    // Names of users stand in it.
    router.get_secret("/exposures/audit", move |_: Request| {
        let folder = from.live.pin().config.state_dir.clone();
        async move {
            // The disk may be slow, and this thread serves others.
            let read = tokio::task::spawn_blocking(move || {
                folder.map_or_else(
                    || Ok(Vec::new()),
                    |folder| recent_audit(&folder, MOST_AUDITED),
                )
            });
            match read.await {
                Ok(Ok(lines)) => Response::json(200, &json!({ "lines": lines })),
                Ok(Err(error)) => Response::error(500, &format!("cannot read the audit: {error}")),
                Err(error) => Response::error(500, &error.to_string()),
            }
        }
    });
}

/// Our own certificates and those that gateways presented, the one that ends first at the top.
fn certificates(sources: &StatusSources) -> Value {
    let mut entries = sources.certificates();
    entries.sort_by_key(|entry| entry.certificate.not_after_timestamp);
    json!({ "certificates": entries })
}

/// The exclusions that the program keeps, with how often each was used.
fn exclusions(sources: &StatusSources) -> Value {
    let snapshot = sources.live.pin();
    let hits = &sources.metrics.exclusion_hits;
    let policies = snapshot.config.policies.values();
    let entries = policies.flat_map(|policy| {
        policy.exclusion_entries().map(|entry| {
            json!({
                "policy": policy.name,
                "id": entry.id,
                "owner": entry.purpose.owner,
                "reason": entry.purpose.reason,
                "until": entry.purpose.until.to_string(),
                "until_timestamp": entry.purpose.until.end_timestamp(),
                "file": entry.at.path.to_string_lossy(),
                "line": entry.at.line,
                "hits": hits.see(&policy.name, &entry.id, Counter::value).unwrap_or(0),
            })
        })
    });
    json!({ "exclusions": entries.collect::<Vec<_>>() })
}
