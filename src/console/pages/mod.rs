//! The pages: for each, what it reads of the API and its template.

pub(super) mod certificates;
pub(super) mod configuration;
pub(super) mod differences;
pub(super) mod doctor;
pub(super) mod event;
pub(super) mod events;
pub(super) mod exclusions;
pub(super) mod exposure;
pub(super) mod live;
pub(super) mod login;
pub(super) mod openid;
pub(super) mod overview;
pub(super) mod rehearsal;
pub(super) mod rules;
mod status;
pub(super) mod upstreams;

use askama::Template;
use http::StatusCode;

use super::answer::{Answer, page};
use super::api::ApiError;
use super::sessions::Identity;
use crate::role::Role;

/// How a page is answered.
type Answered = Result<Answer, ApiError>;

/// What surrounds each page.
pub(super) struct Frame {
    title: String,
    /// Empty without a login.
    role: &'static str,
    /// The path in the navigation under which the page stands.
    here: &'static str,
    /// What shows the same on the command line; empty if nothing does.
    command: &'static str,
}

impl Frame {
    pub(super) fn new(title: &str, identity: Option<&Identity>) -> Self {
        Self {
            title: title.to_owned(),
            role: identity.map_or("", |identity| identity.role.name()),
            here: "",
            command: "",
        }
    }

    fn of(title: &str, role: Role, here: &'static str, command: &'static str) -> Self {
        Self {
            title: title.to_owned(),
            role: role.name(),
            here,
            command,
        }
    }

    /// The navigation.
    fn pages(&self) -> [(&'static str, &'static str); 8] {
        [
            ("/", "Overview"),
            ("/live", "Live"),
            ("/events", "Events"),
            ("/rules", "Rules"),
            ("/exposure", "Exposure"),
            ("/certificates", "Certificates"),
            ("/upstreams", "Upstreams"),
            ("/configuration", "Configuration"),
        ]
    }

    fn is_here(&self, path: &str) -> bool {
        self.here == path
    }
}

/// A page with a text.
#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct Message {
    frame: Frame,
    text: String,
    lines: Vec<String>,
    is_error: bool,
    back: &'static str,
}

impl Message {
    pub(super) fn problem(frame: Frame, text: &str) -> Self {
        Self {
            frame,
            text: text.to_owned(),
            lines: Vec::new(),
            is_error: true,
            back: "/",
        }
    }
}

fn shown(template: &impl Template) -> Answer {
    page(StatusCode::OK, template)
}
