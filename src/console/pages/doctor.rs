//! Why the proxy would not use the servers of an upstream: each is dialled now.

use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::super::state::Asked;
use super::{Answered, Frame, shown};

#[derive(Debug, Deserialize)]
struct Report {
    upstream: String,
    server_name: String,
    trust: String,
    ok: bool,
    servers: Vec<Server>,
}

#[derive(Debug, Deserialize)]
struct Server {
    server: String,
    address: Option<String>,
    connected: bool,
    tls: Option<Tls>,
    chain: Vec<Link>,
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Tls {
    version: String,
    cipher: Option<String>,
    group: Option<String>,
}

/// A certificate of a chain.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) names: Vec<String>,
    pub(super) key: String,
    pub(super) not_before: String,
    pub(super) not_after: String,
}

#[derive(Debug, Deserialize)]
struct Failure {
    code: String,
    reason: String,
    fix: String,
}

#[derive(Template)]
#[template(path = "doctor.html")]
struct Doctor {
    frame: Frame,
    report: Report,
}

pub(in super::super) async fn examine(asked: &Asked<'_>) -> Answered {
    let name = asked.segment();
    let action = format!("dial the servers of upstream {name}");
    let path = format!("/doctor/{name}");
    let report = asked.api.post::<Report>(&path, &json!({})).await;
    let outcome = match &report {
        Ok(report) if report.ok => "the proxy would use each",
        Ok(_) => "the proxy would not use each",
        Err(error) => &error.words,
    };
    asked.console.record(asked.identity, &action, outcome);
    // After the audit, which also has what failed.
    let report = report?;
    let title = format!("Doctor: {}", report.upstream);
    Ok(shown(&Doctor {
        frame: Frame::of(
            &title,
            asked.identity.role,
            "/upstreams",
            "drawbridge doctor upstream NAME",
        ),
        report,
    }))
}
