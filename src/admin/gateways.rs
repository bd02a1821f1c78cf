//! `/doctor/NAME` and `/certs/rehearse`: what `drawbridge doctor upstream` and `drawbridge certs rehearse` say, of the
//! configuration that is live. They dial gateways, so they are POSTs, and one at a time.

use std::future::Future;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::router::{Request, Response, Router};
use crate::live::Live;
use crate::tls::{Finding, TrustBundle};
use crate::upstream::examined::UpstreamReport;
use crate::upstream::rehearsed::RehearsedBundle;
use seclang::diagnostic::Severity;

/// A bundle or a certificate that would replace the present one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RehearsalBody {
    /// The name of the bundle that would change.
    trust: Option<String>,
    /// The listener whose certificate would change.
    listener: Option<String>,
    pem: String,
}

/// Adds the routes.
pub fn add_gateway_routes(router: &mut Router, live: &Arc<Live>) {
    // One for both routes, since both dial the same gateways.
    let free = Arc::new(Semaphore::new(1));
    let (seen, place) = (Arc::clone(live), Arc::clone(&free));
    router.post("/doctor/*", move |request: Request| {
        let (live, place) = (Arc::clone(&seen), Arc::clone(&place));
        async move { alone(&place, examine(&live, &request.rest)).await }
    });
    let seen = Arc::clone(live);
    router.post("/certs/rehearse", move |request: Request| {
        let (live, place) = (Arc::clone(&seen), Arc::clone(&free));
        async move { alone(&place, rehearse(&live, &request)).await }
    });
}

/// Whoever could ask for many dials at once could make a gateway believe in an attack.
async fn alone(
    free: &Semaphore,
    answer: impl Future<Output = Result<Response, Response>>,
) -> Response {
    // Refused and not queued: a queue would dial for callers who have left.
    let Ok(_place) = free.try_acquire() else {
        let words = "gateways are being dialled already: ask again in a moment";
        return Response::error(503, words);
    };
    answer.await.unwrap_or_else(|refused| refused)
}

async fn examine(live: &Live, name: &str) -> Result<Response, Response> {
    let upstream = live.pin().config.upstreams.get(name).map(Arc::clone);
    let upstream = upstream.ok_or_else(|| unknown("upstream", name))?;
    let report = UpstreamReport::of(&upstream).await;
    Ok(Response::json(200, &report.to_json()))
}

async fn rehearse(live: &Live, request: &Request) -> Result<Response, Response> {
    let body: RehearsalBody = serde_json::from_slice(&request.body)
        .map_err(|error| Response::error(400, &format!("the body: {error}")))?;
    match (&body.trust, &body.listener) {
        (Some(trust), None) => rehearse_bundle(live, trust, &body.pem).await,
        (None, Some(listener)) => rehearse_chain(live, listener, &body.pem),
        _ => {
            let words = "name a \"trust\" bundle or a \"listener\"";
            Err(Response::error(400, words))
        }
    }
}

async fn rehearse_bundle(live: &Live, trust: &str, pem: &str) -> Result<Response, Response> {
    let snapshot = live.pin();
    let config = &snapshot.config;
    if !config.trust.contains_key(trust) {
        return Err(unknown("trust bundle", trust));
    }
    let mut findings = Vec::new();
    let candidate = TrustBundle::from_pem(trust, pem.as_bytes(), &mut findings);
    let candidate = candidate.ok_or_else(|| unusable(&findings))?;
    let rehearsed = RehearsedBundle::of(config.upstreams.values(), trust, &candidate).await;
    Ok(Response::json(200, &noted(rehearsed.to_json(), &findings)))
}

fn rehearse_chain(live: &Live, listener: &str, pem: &str) -> Result<Response, Response> {
    let snapshot = live.pin();
    let mut findings = Vec::new();
    let rehearsed = snapshot
        .config
        .rehearse_chain(listener, pem.as_bytes(), &mut findings);
    match rehearsed {
        None => Err(unknown("listener with certificates", listener)),
        Some(None) => Err(unusable(&findings)),
        Some(Some(rehearsed)) => Ok(Response::json(200, &noted(json!(rehearsed), &findings))),
    }
}

fn unknown(what: &str, name: &str) -> Response {
    Response::error(404, &format!("there is no {what} {name:?}"))
}

/// 422, with what makes it unusable.
fn unusable(findings: &[Finding]) -> Response {
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    let errors: Vec<&str> = errors.map(|finding| finding.message.as_str()).collect();
    Response::error(422, &errors.join("; "))
}

/// The report, with what is worth a warning.
fn noted(mut report: Value, findings: &[Finding]) -> Value {
    let notes = findings.iter().map(|finding| finding.message.as_str());
    if let Some(fields) = report.as_object_mut() {
        fields.insert("notes".to_owned(), notes.collect());
    }
    report
}
