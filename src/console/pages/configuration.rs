//! What is live, and where it differs from the files.

use askama::Template;
use http::StatusCode;
use serde_json::json;

use super::super::answer::page;
use super::super::state::Asked;
use super::status::{Listener, Policy, Process, Reload, Status};
use super::{Answered, Frame, Message, shown};
use crate::role::Action;

#[derive(Template)]
#[template(path = "configuration.html")]
struct Configuration {
    frame: Frame,
    reload: Reload,
    process: Process,
    listeners: Vec<Listener>,
    policies: Vec<Policy>,
    may_reload: bool,
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let status: Status = asked.api.get("/status", "").await?;
    let role = asked.identity.role;
    Ok(shown(&Configuration {
        frame: Frame::of("Configuration", role, "/configuration", "drawbridge status"),
        reload: status.reload,
        process: status.process,
        listeners: status.listeners,
        policies: status.policies,
        may_reload: role.may(Action::Reload),
    }))
}

pub(in super::super) async fn reload(asked: &Asked<'_>) -> Answered {
    let reload = asked.api.post::<Reload>("/reload", &json!({})).await;
    let outcome = match &reload {
        Ok(reload) if reload.refused.is_empty() => "applied",
        Ok(_) => "partly refused",
        Err(error) => &error.words,
    };
    asked.console.record(asked.identity, "reload", outcome);
    // After the audit, which also has what failed.
    let reload = reload?;
    let lines = reload
        .refused
        .iter()
        .map(|refused| format!("{}: {}", refused.unit, refused.reasons.join("; ")));
    let text = match reload.refused.is_empty() {
        true => format!("Everything was applied. This is generation {}.", reload.generation),
        false => "What is named here was refused. Its last good version serves, if there is one; everything else was applied.".to_owned(),
    };
    let message = Message {
        frame: Frame::of(
            "Reload",
            asked.identity.role,
            "/configuration",
            "drawbridge reload",
        ),
        text,
        lines: lines.collect(),
        is_error: !reload.refused.is_empty(),
        back: "/configuration",
    };
    Ok(page(StatusCode::OK, &message))
}
