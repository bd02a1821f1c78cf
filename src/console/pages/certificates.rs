//! Every certificate that matters, and when it ends.

use askama::Template;
use serde::Deserialize;

use super::super::state::Asked;
use super::{Answered, Frame, shown};
use crate::role::Action;

/// Days before the end at which a row is marked.
const URGENT: i64 = 14;

/// As the API has them.
#[derive(Debug, Deserialize)]
pub(super) struct CertificateList {
    pub(super) certificates: Vec<Certificate>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Certificate {
    pub(super) kind: String,
    pub(super) owner: String,
    pub(super) name: String,
    file: Option<String>,
    subject: String,
    issuer: String,
    not_before: String,
    not_after: String,
    pub(super) not_after_timestamp: i64,
    days_left: i64,
    key: String,
}

#[derive(Template)]
#[template(path = "certificates.html")]
struct Certificates {
    frame: Frame,
    entries: Vec<Certificate>,
    may_reload: bool,
    may_rehearse: bool,
}

impl Certificate {
    fn is_urgent(&self) -> bool {
        self.days_left < URGENT
    }

    /// What the kind is called on a page.
    fn kind_words(&self) -> String {
        self.kind.replace('_', " ")
    }
}

pub(in super::super) async fn show(asked: &Asked<'_>) -> Answered {
    let list: CertificateList = asked.api.get("/certificates", "").await?;
    let role = asked.identity.role;
    Ok(shown(&Certificates {
        frame: Frame::of(
            "Certificates",
            role,
            "/certificates",
            "drawbridge certs list",
        ),
        entries: list.certificates,
        may_reload: role.may(Action::Reload),
        may_rehearse: role.may(Action::Rehearse),
    }))
}
