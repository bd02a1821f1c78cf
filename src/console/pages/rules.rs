//! The rules: which match, block and cost most; the exclusions; what lint finds.

use std::collections::BTreeMap;

use askama::Template;
use serde::Deserialize;

use super::super::state::Asked;
use super::{Answered, Frame, shown};
use crate::counted::counted;

/// Name in the query and words.
const ORDERS: [(&str, &str); 3] = [
    ("hits", "by hits"),
    ("blocks", "by blocks"),
    ("cpu", "by cost"),
];

#[derive(Debug, Deserialize)]
struct Top {
    policies: Vec<PolicyTop>,
}

#[derive(Debug, Deserialize)]
struct PolicyTop {
    policy: String,
    #[serde(default)]
    timed_requests: u64,
    mean_us: Option<f64>,
    rules: Vec<RuleTop>,
}

#[derive(Debug, Deserialize)]
struct RuleTop {
    rule_id: u64,
    #[serde(default)]
    file: String,
    #[serde(default)]
    line: u32,
    #[serde(default)]
    message: String,
    hits: u64,
    blocks: u64,
    cpu_share: Option<f64>,
    worst_us: Option<f64>,
    worst_request_id: Option<String>,
}

impl RuleTop {
    fn share(&self) -> String {
        self.cpu_share
            .map_or_else(String::new, |share| format!("{:.1} %", share * 100.0))
    }
}

/// The exclusions that the program keeps, as the API has them.
#[derive(Debug, Deserialize)]
pub(super) struct ExclusionList {
    pub(super) exclusions: Vec<Kept>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Kept {
    pub(super) policy: String,
    pub(super) id: u64,
    pub(super) owner: String,
    reason: String,
    until: String,
    pub(super) until_timestamp: i64,
    file: String,
    line: u32,
    hits: u64,
}

#[derive(Debug, Deserialize)]
struct Shadows {
    shadows: Vec<Shadow>,
}

#[derive(Debug, Deserialize)]
struct Shadow {
    policy: String,
    #[serde(default)]
    seen: u64,
    #[serde(default)]
    newly_blocked: u64,
    #[serde(default)]
    newly_allowed: u64,
}

struct Section {
    policy: String,
    timed_requests: u64,
    mean_us: String,
    rules: Vec<RuleTop>,
    shadow: Option<String>,
    exclusions: Vec<ExclusionRow>,
}

struct ExclusionRow {
    id: u64,
    owner: String,
    reason: String,
    until: String,
    hits: u64,
    at: String,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct Rules {
    frame: Frame,
    orders: [(&'static str, &'static str); 3],
    here: &'static str,
    policies: Vec<Section>,
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let wanted = asked.query.value("by");
    let [first, ..] = ORDERS;
    // One of our own words, since it goes into a query.
    let (here, _) = ORDERS
        .into_iter()
        .find(|(name, _)| *name == wanted)
        .unwrap_or(first);
    let top: Top = asked.api.get("/rules/top", &format!("by={here}")).await?;
    let kept: ExclusionList = asked.api.get("/exclusions", "").await?;
    let shadows: Shadows = asked.api.get("/rules/shadow", "").await?;
    let mut exclusions: BTreeMap<String, Vec<ExclusionRow>> = BTreeMap::new();
    for kept in kept.exclusions {
        exclusions
            .entry(kept.policy.clone())
            .or_default()
            .push(kept.into());
    }
    let policies = top.policies.into_iter().map(|policy| Section {
        shadow: shadows
            .shadows
            .iter()
            .find(|shadow| shadow.policy == policy.policy)
            .map(|shadow| {
                format!(
                    "Of {} it would block {} more and let {} more pass.",
                    counted(shadow.seen, "request"),
                    shadow.newly_blocked,
                    shadow.newly_allowed
                )
            }),
        exclusions: exclusions.remove(&policy.policy).unwrap_or_default(),
        timed_requests: policy.timed_requests,
        mean_us: policy
            .mean_us
            .map_or_else(String::new, |mean| format!("{mean:.0}")),
        rules: policy.rules,
        policy: policy.policy,
    });
    Ok(shown(&Rules {
        frame: Frame::of(
            "Rules",
            asked.identity.role,
            "/rules",
            "drawbridge rules top",
        ),
        orders: ORDERS,
        here,
        policies: policies.collect(),
    }))
}

impl From<Kept> for ExclusionRow {
    fn from(kept: Kept) -> Self {
        Self {
            id: kept.id,
            owner: kept.owner,
            reason: kept.reason,
            until: kept.until,
            hits: kept.hits,
            at: format!("{}:{}", kept.file, kept.line),
        }
    }
}

#[derive(Debug, Deserialize)]
struct LintReport {
    policy: String,
    exclusions: u64,
    requests: Option<u64>,
    notes: Vec<String>,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    code: String,
    message: String,
    file: Option<String>,
    line: Option<u64>,
}

struct FindingRow {
    kind: String,
    at: String,
    words: String,
}

#[derive(Template)]
#[template(path = "lint.html")]
struct Lint {
    frame: Frame,
    policy: String,
    exclusions: u64,
    requests: u64,
    notes: Vec<String>,
    findings: Vec<FindingRow>,
}

pub(in super::super) async fn lint(asked: &Asked<'_>) -> Answered {
    let policy = asked.query.value("policy").as_bytes();
    // A `&` in the name must not add a word to the query.
    let policy: String = form_urlencoded::byte_serialize(policy).collect();
    let report: LintReport = asked
        .api
        .get("/rules/lint", &format!("policy={policy}"))
        .await?;
    let findings = report.findings.into_iter().map(|finding| FindingRow {
        at: match (finding.file, finding.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (file, _) => file.unwrap_or_default(),
        },
        kind: finding.code,
        words: finding.message,
    });
    Ok(shown(&Lint {
        frame: Frame::of(
            "Lint",
            asked.identity.role,
            "/rules",
            "drawbridge rules lint",
        ),
        policy: report.policy,
        exclusions: report.exclusions,
        requests: report.requests.unwrap_or(0),
        notes: report.notes,
        findings: findings.collect(),
    }))
}
