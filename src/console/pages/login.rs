//! Logging in with a one-time link, and out.

use askama::Template;
use http::StatusCode;

use super::super::answer::{Answer, clear_session, page, redirect, set_session, text};
use super::super::state::ConsoleState;
use super::{Frame, shown};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'q> {
    frame: Frame,
    code: &'q str,
    role: Option<&'static str>,
}

impl<'q> LoginPage<'q> {
    fn new(console: &ConsoleState, code: &'q str) -> Self {
        Self {
            frame: Frame::new("Log in", &None),
            role: console.sessions.invited(code).map(super::Role::name),
            code,
        }
    }
}

/// Looking uses nothing up: mail programs and chats look at links before people do.
pub(in super::super) fn show(console: &ConsoleState, code: &str) -> Answer {
    shown(&LoginPage::new(console, code))
}

pub(in super::super) fn log_in(console: &ConsoleState, code: &str) -> Answer {
    match console.sessions.redeem(code) {
        Ok(Some((id, identity))) => {
            console.record(&identity, "log in", "done");
            let mut answer = redirect("/");
            set_session(&mut answer, &id);
            answer
        }
        Ok(None) => {
            let form = LoginPage::new(console, if code.is_empty() { "-" } else { code });
            page(StatusCode::FORBIDDEN, &form)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(in super::super) fn log_out(console: &ConsoleState, session: &str) -> Answer {
    console.sessions.end(session);
    let mut answer = redirect("/login");
    clear_session(&mut answer);
    answer
}
