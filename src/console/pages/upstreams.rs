//! The gateways, and why they fail.

use askama::Template;

use super::super::state::Asked;
use super::status::{Status, Upstream};
use super::{Answered, Frame, shown};

#[derive(Template)]
#[template(path = "upstreams.html")]
struct Upstreams {
    frame: Frame,
    upstreams: Vec<Upstream>,
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let status: Status = asked.api.get("/status", "").await?;
    let role = asked.identity.role;
    Ok(shown(&Upstreams {
        frame: Frame::of("Upstreams", role, "/upstreams", "drawbridge status"),
        upstreams: status.upstreams,
    }))
}
