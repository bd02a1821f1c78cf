//! Logging in with a one-time link, and out.

use askama::Template;
use http::StatusCode;

use super::super::answer::{Answer, clear_session, page, redirect, set_session, text};
use super::super::desk::Desk;
use super::{Frame, shown};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'q> {
    frame: Frame,
    code: &'q str,
    role: Option<&'static str>,
}

impl<'q> LoginPage<'q> {
    fn new(desk: &Desk, code: &'q str) -> Self {
        Self {
            frame: Frame::new("Log in", &None),
            role: desk.sessions.invited(code).map(super::Role::name),
            code,
        }
    }
}

/// Looking uses nothing up: mail programs and chats look at links before people do.
pub(in super::super) fn show(desk: &Desk, code: &str) -> Answer {
    shown(&LoginPage::new(desk, code))
}

pub(in super::super) fn log_in(desk: &Desk, code: &str) -> Answer {
    match desk.sessions.redeem(code) {
        Ok(Some((id, identity))) => {
            desk.record(&identity, "log in", "done");
            let mut answer = redirect("/");
            set_session(&mut answer, &id);
            answer
        }
        Ok(None) => {
            let form = LoginPage::new(desk, if code.is_empty() { "-" } else { code });
            page(StatusCode::FORBIDDEN, &form)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(in super::super) fn log_out(desk: &Desk, session: &str) -> Answer {
    desk.sessions.end(session);
    let mut answer = redirect("/login");
    clear_session(&mut answer);
    answer
}
