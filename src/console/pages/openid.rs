//! Logging in with a provider, which the browser visits in between.

use askama::Template;
use http::StatusCode;
use http::request::Parts;

use super::super::answer::{Answer, redirect, text};
use super::super::client::Client;
use super::super::openid::{LIFE, OpenIdError};
use super::super::state::ConsoleState;
use super::login::refused;
use super::{Frame, shown};
use crate::admin::Fields;

const NONE: &str = "Nobody logs in here by OpenID Connect.";

#[derive(Template)]
#[template(path = "entered.html")]
struct Entered {
    frame: Frame,
    who: String,
}

/// Sends the browser to the provider.
pub(in super::super) async fn depart(console: &ConsoleState, client: &Client) -> Answer {
    let (Some(openid), Some(settings)) = (&console.openid, &client.openid) else {
        return refused(client, StatusCode::NOT_FOUND, NONE);
    };
    match openid.depart(settings).await {
        Ok(departure) => {
            let mut answer = redirect(&departure.url);
            console
                .cookie()
                .set_login(&mut answer, &departure.cookie, LIFE);
            answer
        }
        Err(error) => explain(console, client, &error),
    }
}

/// Takes the browser back.
pub(in super::super) async fn arrive(
    console: &ConsoleState,
    head: &Parts,
    query: &Fields<'_>,
    client: &Client,
) -> Answer {
    let (Some(openid), Some(settings)) = (&console.openid, &client.openid) else {
        return refused(client, StatusCode::NOT_FOUND, NONE);
    };
    let cookie = console.cookie().find_login(&head.headers);
    let identity = match openid.arrive(settings, query, cookie).await {
        Ok(identity) => identity,
        Err(error) => return explain(console, client, &error),
    };
    let id = match console.sessions.begin(identity.clone(), None) {
        Ok(id) => id,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    console.record(&identity, "log in", "done");
    // No redirect: on one that another site began, a browser keeps back the cookie of the session.
    let mut answer = shown(&Entered {
        frame: Frame::new("Logged in", None),
        who: format!("{}, as {}", identity.who, identity.role),
    });
    console.cookie().set(&mut answer, &id);
    console
        .cookie()
        .set_login(&mut answer, "", std::time::Duration::ZERO);
    answer
}

fn explain(console: &ConsoleState, client: &Client, error: &OpenIdError) -> Answer {
    let (status, words) = match error {
        // Nobody failed to log in, and the log has it already.
        OpenIdError::Provider(why) => {
            let words = format!("The provider cannot be used now: {why}. Other logins work.");
            return refused(client, StatusCode::BAD_GATEWAY, &words);
        }
        OpenIdError::Busy => {
            let words = "Too many logins wait for the provider: try again in a moment.";
            return refused(client, StatusCode::SERVICE_UNAVAILABLE, words);
        }
        OpenIdError::Random(error) => {
            return text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
        }
        OpenIdError::Refused(words) | OpenIdError::NoRole(words) => (StatusCode::FORBIDDEN, words),
    };
    match console.record_failure(client.peer, "log in by OpenID Connect", words) {
        true => refused(
            client,
            StatusCode::TOO_MANY_REQUESTS,
            super::login::TOO_MANY,
        ),
        false => refused(client, status, words),
    }
}
