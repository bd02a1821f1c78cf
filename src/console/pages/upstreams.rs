//! The gateways, and why they fail.

use askama::Template;

use super::super::state::Asked;
use super::status::{Status, Upstream};
use super::{Answered, Frame, shown};
use crate::role::Action;

#[derive(Template)]
#[template(path = "upstreams.html")]
struct Upstreams {
    frame: Frame,
    upstreams: Vec<Upstream>,
    may_diagnose: bool,
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let status: Status = asked.api.get("/status", "").await?;
    let role = asked.identity.role;
    Ok(shown(&Upstreams {
        frame: Frame::of("Upstreams", role, "/upstreams", "drawbridge status"),
        upstreams: status.upstreams,
        may_diagnose: role.may(Action::Diagnose),
    }))
}
