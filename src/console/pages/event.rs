//! One kept request: what matched where, and why it was stopped.

use askama::Template;
use serde::Deserialize;

use super::super::state::Asked;
use super::events::EventSummary;
use super::{Answered, Frame, shown};
use crate::role::Action;

#[derive(Debug, Deserialize)]
struct Shown {
    event: EventSummary,
    details: Details,
    not_judged: Option<String>,
    head: String,
    body: Option<String>,
    explanation: Option<Explanation>,
}

#[derive(Debug, Deserialize)]
struct Details {
    #[serde(default)]
    matches: Vec<Recorded>,
    reason: Option<String>,
    claims: Option<Claims>,
    #[serde(default)]
    ms: Milliseconds,
}

/// What the rules saw of the caller.
#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(default)]
    kept: Vec<Claim>,
    #[serde(default)]
    left_out: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Claim {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
struct Milliseconds {
    total: f64,
    waf: f64,
    upstream: f64,
}

/// A match as it was recorded.
#[derive(Debug, Deserialize)]
struct Recorded {
    rule_id: u64,
    phase: u8,
    variable: String,
    #[serde(default)]
    value: String,
    transformed: Option<String>,
    parts: Option<[String; 3]>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    at: String,
}

/// What the rules do with it, if they are still the same.
#[derive(Debug, Deserialize)]
struct Explanation {
    matches: Vec<Explained>,
}

#[derive(Debug, Deserialize)]
struct Explained {
    rule_id: u64,
    phase: u8,
    variable: String,
    transformed: String,
    parts: Option<[String; 3]>,
    message: String,
    logged: bool,
    interrupting: bool,
    file: String,
    line: u32,
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    name: String,
    before: Option<String>,
    after: Option<String>,
}

/// A row of what matched.
struct Row {
    rule_id: u64,
    phase: u8,
    at: String,
    message: String,
    variable: String,
    before: String,
    marked: String,
    after: String,
    changes: Vec<String>,
    interrupting: bool,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    event: EventSummary,
    ms: Milliseconds,
    reason: Option<String>,
    not_judged: Option<String>,
    claims: Option<Claims>,
    matches: Vec<Row>,
    head: String,
    body: Option<String>,
    may_propose: bool,
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let id = asked.segment();
    // One request may have two events: the policy's, and that of its shadow.
    let query = match asked.query.value("of") {
        "shadow" => "shadow",
        _ => "",
    };
    let path = format!("/events/show/{id}");
    let shown_event: Shown = asked.api.get(&path, query).await?;
    let Shown {
        event,
        details,
        not_judged,
        head,
        body,
        explanation,
    } = shown_event;
    // An explanation says more than the record, but exists only while the rules are the same.
    let matches = match explanation {
        Some(explanation) => {
            let shown = explanation.matches.into_iter();
            shown
                // What neither logs nor changes anything explains neither score nor verdict.
                .filter(|found| found.logged || !found.changes.is_empty())
                .map(Row::from)
                .collect()
        }
        None => details.matches.into_iter().map(Row::from).collect(),
    };
    let was_stopped = event.verdict != "passed" && !event.matches.is_empty();
    let title = format!("Request {}", event.request_id);
    Ok(shown(&EventPage {
        frame: Frame::of(
            &title,
            asked.identity.role,
            "/events",
            "drawbridge events show ID",
        ),
        may_propose: was_stopped && asked.identity.role.may(Action::Propose),
        event,
        ms: details.ms,
        reason: details.reason,
        claims: details.claims,
        not_judged,
        matches,
        head,
        body: body.filter(|body| !body.is_empty()),
    }))
}

impl From<Recorded> for Row {
    fn from(found: Recorded) -> Self {
        let text = found.transformed.unwrap_or(found.value);
        let [before, marked, after] = or_unmarked(found.parts, text);
        Self {
            rule_id: found.rule_id,
            phase: found.phase,
            at: found.at,
            message: found.message,
            variable: found.variable,
            before,
            marked,
            after,
            changes: Vec::new(),
            interrupting: false,
        }
    }
}

impl From<Explained> for Row {
    fn from(found: Explained) -> Self {
        let [before, marked, after] = or_unmarked(found.parts, found.transformed);
        let changes = found.changes.into_iter().map(|change| {
            let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
            format!(
                "{}: {} → {}",
                change.name,
                text(change.before),
                text(change.after)
            )
        });
        Self {
            rule_id: found.rule_id,
            phase: found.phase,
            at: format!("{}:{}", found.file, found.line),
            message: found.message,
            variable: found.variable,
            before,
            marked,
            after,
            changes: changes.collect(),
            interrupting: found.interrupting,
        }
    }
}

fn or_unmarked(parts: Option<[String; 3]>, text: String) -> [String; 3] {
    parts.unwrap_or_else(|| [text, String::new(), String::new()])
}
