//! What the files say against what is live.

use askama::Template;
use serde::Deserialize;

use super::super::state::Asked;
use super::status::Refused;
use super::{Answered, Frame, shown};

#[derive(Debug, Deserialize)]
struct Difference {
    reachable: Vec<String>,
    unowned: bool,
    changed: Vec<String>,
    refused: Vec<Refused>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Template)]
#[template(path = "differences.html")]
struct Differences {
    frame: Frame,
    found: Difference,
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let found: Difference = asked.api.get("/diff", "").await?;
    Ok(shown(&Differences {
        frame: Frame::of(
            "Files against what is live",
            asked.identity.role,
            "/configuration",
            "drawbridge diff",
        ),
        found,
    }))
}
