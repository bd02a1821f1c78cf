//! From a false positive to a proven exclusion: the proposals with their proofs, then the writing.

use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::state::Asked;
use super::{Answered, Frame, shown};
use crate::review::escape::shell_word;

#[derive(Debug, Deserialize)]
struct Excluded {
    blocked_by: Option<u64>,
    scope: String,
    proposals: Vec<Proposal>,
    taken: Option<usize>,
    seclang: Option<String>,
    tests: Option<String>,
    files: Option<Vec<String>>,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Proposal {
    kind: String,
    controls: Vec<String>,
    holds: bool,
    passes: bool,
    beside: Tally,
    in_place: Vec<Opened>,
    recorded: RecordedTally,
}

#[derive(Debug, Deserialize)]
struct Tally {
    tried: usize,
    passing: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Opened {
    class: String,
    own: bool,
    attacks: Tally,
}

#[derive(Debug, Deserialize)]
struct RecordedTally {
    total: usize,
    #[serde(default)]
    intended: Value,
    #[serde(default)]
    unintended: Value,
}

struct Row {
    number: usize,
    is_taken: bool,
    kind: String,
    controls: Vec<String>,
    passes: bool,
    beside: String,
    opens: Vec<String>,
    recorded: String,
    holds: bool,
}

#[derive(Template)]
#[template(path = "exclusions.html")]
struct Exclusions<'q> {
    frame: Frame,
    id: &'q str,
    blocked_by: Option<u64>,
    scope: String,
    notes: Vec<String>,
    rows: Vec<Row>,
    seclang: Option<String>,
    tests: Option<String>,
    written: bool,
    files: Vec<String>,
    outcome: &'static str,
    writes_files: bool,
    command: String,
    owner: &'q str,
    reason: &'q str,
    until: &'q str,
    pick: usize,
}

/// The outcome of a reload, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Reloaded {
    successful: bool,
}

pub(in super::super) async fn propose(asked: &Asked<'_>) -> Answered {
    let action = format!("search exclusions for request {}", asked.segment());
    let excluded = ask(asked, false).await;
    let outcome = match &excluded {
        Ok(Excluded { taken: Some(_), .. }) => "a proposal holds",
        Ok(_) => "no proposal holds",
        Err(error) => &error.words,
    };
    asked.console.record(asked.identity, &action, outcome);
    Ok(shown(&page(asked, excluded?, "")))
}

pub(in super::super) async fn write(asked: &Asked<'_>) -> Answered {
    if !asked.console.settings.writes_files {
        return Err(super::ApiError {
            status: 403,
            words: "The configuration says files = \"read-only\": the console writes none."
                .to_owned(),
        });
    }
    let id = asked.segment();
    let action = format!("write an exclusion for request {id}");
    let excluded = ask(asked, true).await;
    let said = match &excluded {
        Ok(Excluded { files: Some(_), .. }) => "written",
        Ok(_) => "not written: no proposal holds",
        Err(error) => &error.words,
    };
    asked.console.record(asked.identity, &action, said);
    let excluded = excluded?;
    if excluded.files.is_none() {
        return Ok(shown(&page(asked, excluded, "")));
    }
    // Not left to the next look at the files, so that this page can say how it ended.
    let outcome = match asked.api.post::<Reloaded>("/reload", &json!({})).await {
        Ok(Reloaded { successful: true }) => "it was applied",
        Ok(_) => "something was refused, see Configuration",
        Err(_) => "it did not answer, see Configuration",
    };
    Ok(shown(&page(asked, excluded, outcome)))
}

async fn ask(asked: &Asked<'_>, write: bool) -> Result<Excluded, super::ApiError> {
    let id = asked.segment();
    let form = &asked.form;
    let mut body = json!({
        "request_id": id,
        "owner": form.value("owner"),
        "reason": form.value("reason"),
        "until": form.value("until"),
        // Kept requests of the last week must not be judged otherwise.
        "since": "7d",
        "write": write,
    });
    if let (Some(pick), Some(fields)) = (form.given("pick"), body.as_object_mut()) {
        // What is no number, the API refuses in its own words.
        let pick = pick.parse::<u64>().map_or(Value::from(pick), Value::from);
        fields.insert("pick".to_owned(), pick);
    }
    asked.api.post("/rules/exclude", &body).await
}

fn page<'q>(asked: &'q Asked<'_>, excluded: Excluded, outcome: &'static str) -> Exclusions<'q> {
    let id = asked.segment();
    let form = &asked.form;
    let (owner, reason, until) = (
        form.value("owner"),
        form.value("reason"),
        form.value("until"),
    );
    let taken = excluded.taken;
    let rows = excluded.proposals.into_iter().enumerate();
    let rows = rows.map(|(at, proposal)| Row::new(at + 1, taken, proposal));
    Exclusions {
        frame: Frame::of("Exclusions", asked.identity.role, "/events", ""),
        id,
        blocked_by: excluded.blocked_by,
        scope: excluded.scope,
        notes: excluded.notes,
        rows: rows.collect(),
        seclang: excluded.seclang,
        tests: excluded.tests,
        written: excluded.files.is_some(),
        files: excluded.files.unwrap_or_default(),
        outcome,
        writes_files: asked.console.settings.writes_files,
        // People paste this into a shell, so a quote in the reason must not end its word.
        command: format!(
            "drawbridge rules exclude {id} --owner {} --reason {} --until {} --write",
            shell_word(owner),
            shell_word(reason),
            shell_word(until)
        ),
        owner,
        reason,
        until,
        pick: taken.unwrap_or(1),
    }
}

impl Row {
    fn new(number: usize, taken: Option<usize>, proposal: Proposal) -> Self {
        let opens = proposal.in_place.iter();
        let opens = opens.filter(|opened| !opened.attacks.passing.is_empty());
        let opens = opens.map(|opened| {
            let Tally { tried, passing } = &opened.attacks;
            let own = if opened.own {
                ""
            } else {
                ", not the rule's own class"
            };
            format!("{}: {} of {tried} pass{own}", opened.class, passing.len())
        });
        let mut opens: Vec<String> = opens.collect();
        if opens.is_empty() {
            opens.push("none passes".to_owned());
        }
        let RecordedTally {
            total,
            intended,
            unintended,
        } = &proposal.recorded;
        let count = |value: &Value| {
            value
                .as_array()
                .map_or(value.as_u64().unwrap_or(0), |all| all.len() as u64)
        };
        Self {
            number,
            is_taken: taken == Some(number),
            kind: proposal.kind,
            controls: proposal.controls,
            passes: proposal.passes,
            beside: format!(
                "{} of {} blocked",
                proposal.beside.tried - proposal.beside.passing.len().min(proposal.beside.tried),
                proposal.beside.tried
            ),
            opens,
            recorded: format!(
                "{total}: {} change as meant, {} otherwise",
                count(intended),
                count(unintended)
            ),
            holds: proposal.holds,
        }
    }
}
