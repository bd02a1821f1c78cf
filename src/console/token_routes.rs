//! `/console/tokens` of the admin API: who may reach it makes, lists and revokes tokens.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::sessions::Sessions;
use super::tokens::{NewToken, TokenError, TokenName, Tokens, When, who};
use crate::admin::{Request, Response, Router, with_user_name};
use crate::config::parse_age;
use crate::role::{NoRole, Role};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    name: String,
    role: String,
    /// From now on, such as `90d`; without it the token lasts until it is revoked.
    expires: Option<String>,
}

/// Adds the routes.
pub(super) fn add_token_routes(
    router: &mut Router,
    tokens: &Arc<Tokens>,
    sessions: &Arc<Sessions>,
) {
    let known = Arc::clone(tokens);
    // Names of users stand in it.
    router.get_secret("/console/tokens", move |_: Request| {
        let answer = list(&known);
        async move { answer }
    });
    let known = Arc::clone(tokens);
    router.post("/console/tokens", move |request: Request| {
        let known = Arc::clone(&known);
        async move { on_a_thread(move || make(&known, &request)).await }
    });
    let (known, sessions) = (Arc::clone(tokens), Arc::clone(sessions));
    router.post("/console/tokens/*", move |request: Request| {
        let (known, sessions) = (Arc::clone(&known), Arc::clone(&sessions));
        async move { on_a_thread(move || revoke(&known, &sessions, &request)).await }
    });
}

/// A task on another thread also completes if the client goes away.
async fn on_a_thread(
    answer: impl FnOnce() -> Result<Response, Response> + Send + 'static,
) -> Response {
    match spawn_blocking(answer).await {
        Ok(answer) => answer.unwrap_or_else(|refused| refused),
        Err(error) => Response::error(500, &error.to_string()),
    }
}

fn list(tokens: &Tokens) -> Response {
    match tokens.list() {
        Ok(tokens) => Response::json(200, &json!({ "tokens": tokens })),
        Err(error) => refused(&error),
    }
}

fn make(tokens: &Tokens, request: &Request) -> Result<Response, Response> {
    let wrong = |words: &str| Response::error(400, words);
    let body: TokenBody = serde_json::from_slice(&request.body)
        .map_err(|error| wrong(&format!("the body: {error}")))?;
    let role: Role = body
        .role
        .parse()
        .map_err(|error: NoRole| wrong(&error.to_string()))?;
    let name: TokenName = body.name.parse().map_err(|words: String| wrong(&words))?;
    let expires = body.expires.as_deref().map(|text| {
        let age = parse_age(text).map_err(|error| wrong(&format!("expires: {error}")))?;
        let end = SystemTime::now().checked_add(age);
        end.ok_or_else(|| wrong("expires: this is too far away"))
    });
    let expires = expires.transpose()?;
    let by = with_user_name(&request.caller);
    let new = NewToken {
        name: name.clone(),
        role,
        expires,
        made_by: by.clone(),
    };
    let secret = tokens.make(new).map_err(|error| refused(&error))?;
    tracing::info!(target: "console", %role, %name, by, "a token was made");
    Ok(Response::json(
        200,
        &json!({
            "name": name,
            "role": role,
            "expires": expires.map(When),
            "token": secret,
        }),
    ))
}

fn revoke(tokens: &Tokens, sessions: &Sessions, request: &Request) -> Result<Response, Response> {
    let Some((name, "revoke")) = request.rest.split_once('/') else {
        return Err(Response::error(400, "POST /console/tokens/NAME/revoke"));
    };
    let name: TokenName = name
        .parse()
        .map_err(|words: String| Response::error(400, &words))?;
    let revoked = tokens.revoke(&name);
    // Also if the file cannot be written: the token is refused from now on in any case.
    sessions.end_all_of(&who(&name));
    let by = with_user_name(&request.caller);
    match &revoked {
        Ok(()) => tracing::info!(target: "console", %name, by, "a token was revoked"),
        Err(error @ TokenError::Unsaved(..)) => {
            tracing::warn!(target: "console", %name, by, "a token was revoked, but not on the disk: {error}");
        }
        Err(_) => {}
    }
    revoked.map_err(|error| refused(&error))?;
    Ok(Response::json(200, &json!({ "name": name })))
}

fn refused(error: &TokenError) -> Response {
    // Not 404, by which the command line knows a front door without a console.
    let status = match error {
        TokenError::NoStateDir | TokenError::Taken(_) | TokenError::TooMany => 409,
        TokenError::Unknown(_) => 422,
        TokenError::Unreadable(_) | TokenError::Random(_) | TokenError::Unsaved(..) => 500,
    };
    Response::error(status, &error.to_string())
}
