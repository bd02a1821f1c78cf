//! Requests as they come. The script fills the page.

use askama::Template;

use super::super::answer::Answer;
use super::super::state::Asked;
use super::{Frame, shown};
use crate::review::escape::show as visible;

/// What a request can be filtered by, as the rows name it.
const FILTERS: [&str; 4] = ["client", "route", "status", "verdict"];

#[derive(Template)]
#[template(path = "live.html")]
struct Live {
    frame: Frame,
    filters: Vec<(&'static str, String)>,
}

pub(in super::super) fn show(asked: &Asked<'_>) -> Answer {
    let filters = FILTERS.into_iter().filter_map(|name| {
        let value = asked.query.given(name)?;
        // A link from elsewhere can have anything here.
        Some((name, visible(value.as_bytes())))
    });
    shown(&Live {
        frame: Frame::of("Live", asked.identity.role, "/live", ""),
        filters: filters.collect(),
    })
}
