//! What is reachable, who owns it, and the switches.

use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::answer::redirect;
use super::super::state::Asked;
use super::{Answered, ApiError, Frame, shown};
use crate::exposure::api::ExposureStatus;
use crate::role::Action;

#[derive(Debug, Deserialize)]
struct Surface {
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
struct Route {
    name: String,
    hosts: Vec<String>,
    paths: Vec<String>,
    methods: Vec<String>,
    listeners: Vec<String>,
    upstream: String,
    policy: Option<String>,
    mode: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Audit {
    lines: Vec<AuditLine>,
}

#[derive(Debug, Deserialize)]
struct AuditLine {
    time: String,
    exposure: String,
    action: String,
    by: String,
    reason: Option<String>,
}

struct AuditRow {
    time: String,
    exposure: String,
    state: String,
    by: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "exposure.html")]
struct ExposurePage {
    frame: Frame,
    exposures: Vec<Exposure>,
    routes: Vec<Route>,
    audit: Vec<AuditRow>,
    may_switch: bool,
}

/// An exposure and the position that it has not.
struct Exposure(ExposureStatus);

impl std::ops::Deref for Exposure {
    type Target = ExposureStatus;

    fn deref(&self) -> &ExposureStatus {
        &self.0
    }
}

impl Exposure {
    fn other(&self) -> &'static str {
        match self.0.state.as_str() {
            "on" => "off",
            _ => "on",
        }
    }

    fn kept(&self) -> bool {
        self.0.persistent
    }
}

#[derive(Template)]
#[template(path = "switch.html")]
struct SwitchPage {
    frame: Frame,
    exposure: Exposure,
    position: &'static str,
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let exposures: Vec<ExposureStatus> = asked.api.get("/exposures", "").await?;
    let surface: Surface = asked.api.get("/surface", "").await?;
    let audit: Audit = asked.api.get("/exposures/audit", "").await?;
    let audit = audit.lines.into_iter().map(|line| AuditRow {
        time: line.time,
        exposure: line.exposure,
        state: line.action,
        by: line.by,
        reason: line.reason.unwrap_or_default(),
    });
    let role = asked.identity.role;
    Ok(shown(&ExposurePage {
        frame: Frame::of("Exposure", role, "/exposure", "drawbridge expose status"),
        exposures: exposures.into_iter().map(Exposure).collect(),
        routes: surface.routes,
        audit: audit.collect(),
        may_switch: role.may(Action::Switch),
    }))
}

/// Shows what a switch would do, and asks for its reason.
pub(in super::super) async fn ask(asked: &Asked<'_>) -> Answered {
    let (name, position) = named(asked)?;
    let exposures: Vec<ExposureStatus> = asked.api.get("/exposures", "").await?;
    let exposure = exposures.into_iter().find(|exposure| exposure.name == name);
    let exposure = exposure.ok_or_else(|| not_there("There is no such exposure."))?;
    let title = format!("Switch {name} {position}");
    Ok(shown(&SwitchPage {
        frame: Frame::of(&title, asked.identity.role, "/exposure", ""),
        exposure: Exposure(exposure),
        position,
    }))
}

pub(in super::super) async fn switch(asked: &Asked<'_>) -> Answered {
    let (name, position) = named(asked)?;
    let mut body = json!({ "reason": asked.form.value("reason") });
    // An empty field means for good; as a duration it would be refused.
    if let (Some(duration), Some(fields)) = (asked.form.given("for"), body.as_object_mut()) {
        fields.insert("for".to_owned(), Value::from(duration));
    }
    let action = format!("switch exposure {name} {position}");
    let switched = asked
        .api
        .post::<Value>(&format!("/exposures/{name}/{position}"), &body)
        .await;
    let outcome = switched.as_ref().err().map_or("done", |error| &error.words);
    asked.console.record(asked.identity, &action, outcome);
    // If the reader loads the page again, the switch is not moved again.
    switched.map(|_| redirect("/exposure"))
}

/// The exposure and the position that the path names.
fn named<'r>(asked: &Asked<'r>) -> Result<(&'r str, &'static str), ApiError> {
    let [name, position] = asked.segments[..] else {
        return Err(not_there("There is no such page."));
    };
    match position {
        // The word goes into a path of the API, so it is one of ours.
        "on" => Ok((name, "on")),
        "off" => Ok((name, "off")),
        _ => Err(not_there("A switch is on or off.")),
    }
}

fn not_there(words: &str) -> ApiError {
    ApiError {
        status: 404,
        words: words.to_owned(),
    }
}
