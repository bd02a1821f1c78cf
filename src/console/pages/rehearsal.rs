//! A rehearsal: what the front door would say of a trust bundle or a certificate in the place of the present one. Nothing is
//! written.

use std::collections::BTreeSet;

use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::super::state::Asked;
use super::certificates::CertificateList;
use super::doctor::Link;
use super::{Answered, ApiError, Frame, shown};

/// What a bundle does to the gateways.
#[derive(Debug, Deserialize)]
struct Bundle {
    would_break: u64,
    unreachable: u64,
    backends: Vec<Backend>,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Backend {
    upstream: String,
    server: String,
    verdict: String,
    old: Option<Failure>,
    new: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    code: String,
    reason: String,
}

/// What a listener would do with a chain.
#[derive(Debug, Deserialize)]
struct Chain {
    replaces: Vec<String>,
    taken: bool,
    refused_for: Option<String>,
    fits_present_key: bool,
    gained: Vec<String>,
    chain: Vec<Link>,
    notes: Vec<String>,
}

enum Outcome {
    Bundle(Bundle),
    Chain(Chain),
    /// It cannot be used at all.
    Unusable(String),
}

/// What can be replaced.
struct Target {
    /// `trust NAME` or `listener NAME`.
    value: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "rehearsal.html")]
struct Rehearsal<'q> {
    frame: Frame,
    targets: Vec<Target>,
    pem: &'q str,
    outcome: Option<Outcome>,
}

pub(in super::super) async fn ask(asked: &Asked<'_>) -> Answered {
    page(asked, asked.query.value("target"), None).await
}

pub(in super::super) async fn rehearse(asked: &Asked<'_>) -> Answered {
    let target = asked.form.value("target");
    let pem = asked.form.value("pem");
    let outcome = match target.split_once(' ') {
        Some(("trust", name)) => {
            let body = json!({ "trust": name, "pem": pem });
            let answer = asked.api.post("/certs/rehearse", &body).await;
            answer.map(Outcome::Bundle)
        }
        Some(("listener", name)) => {
            let body = json!({ "listener": name, "pem": pem });
            let answer = asked.api.post("/certs/rehearse", &body).await;
            answer.map(Outcome::Chain)
        }
        _ => Err(ApiError {
            status: 400,
            words: "Choose what it would replace.".to_owned(),
        }),
    };
    let outcome = match outcome {
        // The page keeps what was pasted, so that it can be corrected.
        Err(ApiError { status: 422, words }) => Ok(Outcome::Unusable(words)),
        outcome => outcome,
    };
    let action = format!("rehearse {target}");
    let said = match &outcome {
        Ok(outcome) => outcome.words(),
        Err(error) => &error.words,
    };
    asked.console.record(asked.identity, &action, said);
    page(asked, target, Some(outcome?)).await
}

async fn page(asked: &Asked<'_>, chosen: &str, outcome: Option<Outcome>) -> Answered {
    let list: CertificateList = asked.api.get("/certificates", "").await?;
    // A set, since one owner may have several certificates.
    let owners = |kind: &'static str, word: &str| -> BTreeSet<String> {
        let owners = list.certificates.iter().filter(|entry| entry.kind == kind);
        // The console's own certificate is no listener's.
        let owners = owners.filter(|entry| !entry.owner.starts_with('['));
        owners
            .map(|entry| format!("{word} {}", entry.owner))
            .collect()
    };
    let values = owners("ca", "trust").into_iter();
    let values = values.chain(owners("listener", "listener"));
    let targets = values.map(|value| Target {
        is_chosen: value == chosen,
        value,
    });
    Ok(shown(&Rehearsal {
        frame: Frame::of(
            "Rehearsal",
            asked.identity.role,
            "/certificates",
            "drawbridge certs rehearse",
        ),
        targets: targets.collect(),
        pem: asked.form.value("pem"),
        outcome,
    }))
}

impl Outcome {
    fn words(&self) -> &'static str {
        match self {
            Self::Bundle(bundle) if bundle.would_break > 0 => "it would break gateways",
            Self::Bundle(_) => "it would break no gateway",
            Self::Chain(chain) if chain.taken => "it would be taken",
            Self::Chain(_) => "it would be refused",
            Self::Unusable(_) => "it cannot be used",
        }
    }
}
