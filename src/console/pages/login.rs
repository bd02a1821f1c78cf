//! Logging in with a one-time link or a token, and out.

use std::time::SystemTime;

use askama::Template;
use http::StatusCode;
use openssl::error::ErrorStack;

use super::super::answer::{Answer, page, redirect, text};
use super::super::client::Client;
use super::super::sessions::{Identity, Origin};
use super::super::state::ConsoleState;
use super::{Frame, shown};
use crate::admin::Fields;
use crate::review::escape::show as visible;
use crate::role::Role;

/// What a link or a token that does not log in is answered.
const STALE_LINK: &str = "This link was used before, or its time is over.";
const WRONG_TOKEN: &str = "This token is unknown, revoked or has expired.";
const NO_CERTIFICATE: &str = "Your certificate has no role here.";
pub(super) const TOO_MANY: &str = "Too many logins failed from there: wait a minute.";

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'q> {
    frame: Frame,
    code: &'q str,
    /// What the code would log in as.
    role: Option<&'static str>,
    /// Who the certificate of the connection logs in, and as what.
    certificate: Option<(String, Role)>,
    /// The provider that logs people in.
    provider: Option<&'q str>,
    problem: &'q str,
}

impl<'q> LoginPage<'q> {
    fn new(
        client: &'q Client,
        code: &'q str,
        role: Option<&'static str>,
        problem: &'q str,
    ) -> Self {
        let certificate = client.certificate.as_ref();
        Self {
            frame: Frame::new("Log in", None),
            code,
            role,
            // Whoever asked for the certificate chose its subject.
            certificate: certificate.map(|known| (visible(known.who.as_bytes()), known.role)),
            provider: client.openid.as_ref().map(|openid| openid.issuer.as_str()),
            problem,
        }
    }
}

/// Looking uses nothing up: mail programs and chats look at links before people do.
pub(in super::super) fn show(console: &ConsoleState, code: &str, client: &Client) -> Answer {
    let role = console.sessions.invited(code).map(Role::name);
    let problem = match (role, code) {
        (None, code) if !code.is_empty() => STALE_LINK,
        _ => "",
    };
    shown(&LoginPage::new(client, code, role, problem))
}

/// Logs in with the `token` of the form or its `code`, or with the certificate of the connection, if the form says so.
pub(in super::super) fn log_in(
    console: &ConsoleState,
    form: &Fields<'_>,
    client: &Client,
) -> Answer {
    let (entered, words) = match form.given("token") {
        Some(token) => (with_token(console, token), WRONG_TOKEN),
        None if form.given("certificate").is_some() => {
            (with_certificate(console, client), NO_CERTIFICATE)
        }
        None => (console.sessions.redeem(form.value("code")), STALE_LINK),
    };
    match entered {
        Ok(Some((id, identity))) => {
            console.record(&identity, "log in", "done");
            let mut answer = redirect("/");
            console.cookie().set(&mut answer, &id);
            answer
        }
        Ok(None) => match console.record_failure(client.peer, "log in", words) {
            true => refused(client, StatusCode::TOO_MANY_REQUESTS, TOO_MANY),
            false => refused(client, StatusCode::FORBIDDEN, words),
        },
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(super) fn refused(client: &Client, status: StatusCode, problem: &str) -> Answer {
    page(status, &LoginPage::new(client, "", None, problem))
}

fn with_certificate(
    console: &ConsoleState,
    client: &Client,
) -> Result<Option<(String, Identity)>, ErrorStack> {
    let Some(identity) = client.certificate.clone() else {
        return Ok(None);
    };
    let id = console.sessions.begin(identity.clone(), None)?;
    Ok(Some((id, identity)))
}

fn with_token(
    console: &ConsoleState,
    token: &str,
) -> Result<Option<(String, Identity)>, ErrorStack> {
    let Some(known) = console.tokens.check(token) else {
        return Ok(None);
    };
    let identity = Identity {
        role: known.role,
        who: known.who(),
        origin: Origin::Secret,
    };
    // A session ends with its token.
    let now = SystemTime::now();
    let left = known.expires.map(|end| end.0.duration_since(now));
    let left = left.map(Result::unwrap_or_default);
    let still = || console.tokens.knows(token);
    let id = console
        .sessions
        .begin_while(identity.clone(), left, still)?;
    Ok(id.map(|id| (id, identity)))
}

pub(in super::super) fn log_out(
    console: &ConsoleState,
    identity: &Identity,
    session: &str,
) -> Answer {
    console.record(identity, "log out", "done");
    // Here too, not only in the browser: a copy of the cookie must not live on.
    console.sessions.end(session);
    let mut answer = redirect("/login");
    console.cookie().clear(&mut answer);
    answer
}
