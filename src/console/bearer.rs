//! The admin API under `/api` of the console's address, for whoever has a token: the same routes and answers, within the
//! bounds of the token's role.
//!
//! Invariants: no cookie counts here and no browser is answered, so that no page can use a login of its reader; a POST
//! that is not named below is refused, and no token makes, lists or revokes tokens and links.

use std::sync::Arc;

use http::header::{ACCEPT, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::{Answer, answer};
use super::client::Client;
use super::guard;
use super::sessions::{Identity, Origin};
use super::state::ConsoleState;
use crate::admin::{self, bearer_token, read_body, whole_body};
use crate::role::Action;

/// Where the API begins.
const PREFIX: &str = "/api";
/// What the audit calls a refused token.
const ACTION: &str = "use a token";

/// A request by somebody whose token is good.
struct Authorized {
    method: admin::Method,
    path: String,
    identity: Identity,
    /// What a POST stands for.
    action: Option<Action>,
}

/// The path of the API that a request asks for, if it asks for one.
pub(super) fn api_path(path: &str) -> Option<&str> {
    let path = path.strip_prefix(PREFIX)?;
    // Otherwise `/apis` would belong to the API too.
    path.starts_with('/').then_some(path)
}

/// Answers a request for this path of the API.
pub(super) async fn respond(
    console: &Arc<ConsoleState>,
    head: &Parts,
    body: Incoming,
    client: &Client,
) -> Answer {
    match authorize(console, head, client) {
        Ok(authorized) => authorized.respond(console, head, body, client).await,
        Err(refused) => *refused,
    }
}

fn authorize(
    console: &ConsoleState,
    head: &Parts,
    client: &Client,
) -> Result<Authorized, Box<Answer>> {
    let refuse = |status, words: &str| Box::new(refusal(status, words));
    guard::check_host(head, client.own, &console.settings.hosts)
        .map_err(|refusal| refuse(refusal.status(), refusal.words()))?;
    // Browsers add these fields, and no page can remove them.
    if head.headers.contains_key(ORIGIN) || head.headers.contains_key("sec-fetch-site") {
        let words = "this API does not answer browsers";
        return Err(refuse(StatusCode::FORBIDDEN, words));
    }
    let method = match head.method {
        Method::GET => admin::Method::Get,
        Method::POST => admin::Method::Post,
        _ => return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST")),
    };
    // Before the path is judged, so that a stranger does not learn what there is.
    let identity = identify(console, head, client)?;
    let path = api_path(head.uri.path()).unwrap_or_default();
    let action = match method {
        admin::Method::Get => None,
        admin::Method::Post => action_of(path),
    };
    // Whoever makes tokens with a token would keep access after that one is revoked. And a POST
    // that the API gets later stays refused until `action_of` knows it.
    let for_owners = path == "/console" || path.starts_with("/console/");
    if for_owners || (method == admin::Method::Post && action.is_none()) {
        let words = "no token may do this: ask at the admin address";
        return Err(refuse(StatusCode::FORBIDDEN, words));
    }
    if let Some(action) = action.filter(|action| !identity.role.may(*action)) {
        return Err(refuse(StatusCode::FORBIDDEN, &may_not(&identity, action)));
    }
    Ok(Authorized {
        method,
        path: path.to_owned(),
        identity,
        action,
    })
}

fn identify(
    console: &ConsoleState,
    head: &Parts,
    client: &Client,
) -> Result<Identity, Box<Answer>> {
    let unauthorized = |words: &str| {
        let mut answer = refusal(StatusCode::UNAUTHORIZED, words);
        let scheme = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        Box::new(answer)
    };
    let given = bearer_token(&head.headers).and_then(|token| std::str::from_utf8(token).ok());
    let Some(given) = given else {
        return Err(unauthorized("send a token: Authorization: Bearer TOKEN"));
    };
    match console.tokens.check(given) {
        Some(known) => Ok(Identity {
            role: known.role,
            who: known.who(),
            origin: Origin::Secret,
        }),
        None => match console.record_failure(client.peer, ACTION, "refused") {
            true => {
                let words = "too many wrong tokens come from there: wait a minute";
                Err(Box::new(refusal(StatusCode::TOO_MANY_REQUESTS, words)))
            }
            false => Err(unauthorized(
                "this token is unknown, revoked or has expired",
            )),
        },
    }
}

/// What a POST to this path does; None if no role may do it.
fn action_of(path: &str) -> Option<Action> {
    match path {
        "/reload" => Some(Action::Reload),
        "/rules/exclude" => Some(Action::Propose),
        "/rules/explain" | "/rules/replay" => Some(Action::Try),
        "/certs/rehearse" => Some(Action::Rehearse),
        _ if path.starts_with("/doctor/") => Some(Action::Diagnose),
        _ if path.starts_with("/exposures/") => Some(Action::Switch),
        _ => None,
    }
}

impl Authorized {
    async fn respond(
        self,
        console: &Arc<ConsoleState>,
        head: &Parts,
        body: Incoming,
        client: &Client,
    ) -> Answer {
        // Nobody without a token gets this far, so no stranger makes us hold a body.
        let body = match self.method {
            admin::Method::Post => match read_body(body).await {
                Ok(body) => body,
                Err(refused) => return translated(refused),
            },
            admin::Method::Get => Vec::new(),
        };
        if let Err(refused) = self.check_writing(console, &body) {
            return *refused;
        }
        let Identity { role, who, .. } = &self.identity;
        let accept = head.headers.get(ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        let request = admin::Request {
            method: self.method,
            path: self.path.clone(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            accept: accept.unwrap_or_default().to_owned(),
            rest: String::new(),
            body,
            caller: format!("console:{role} by {who} from {}", client.peer),
            denial: None,
        };
        // The audit is about actions: it would drown in the polls of scripts.
        if self.action.is_none() {
            return translated(console.router.answer(request).await);
        }
        let actor = Arc::clone(console);
        // With its line of the audit, also if the client leaves.
        let acted = console.actions.run(async move {
            let response = actor.router.answer(request).await;
            let action = format!("POST {}", self.path);
            actor.record(&self.identity, &action, &response.status.to_string());
            response
        });
        translated(acted.await.unwrap_or_else(admin::Response::from))
    }

    /// Writing an exclusion is more than a search, and the configuration must allow it.
    fn check_writing(&self, console: &ConsoleState, body: &[u8]) -> Result<(), Box<Answer>> {
        if self.action != Some(Action::Propose) {
            return Ok(());
        }
        // What is no such body, the API refuses.
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        // Any other value the API refuses, so only `true` can write.
        if body.get("write").and_then(Value::as_bool) != Some(true) {
            return Ok(());
        }
        let words = match self.identity.role.may(Action::WriteExclusion) {
            false => may_not(&self.identity, Action::WriteExclusion),
            true if console.settings.writes_files => return Ok(()),
            true => "The configuration says files = \"read-only\": the console writes none.".into(),
        };
        Err(Box::new(refusal(StatusCode::FORBIDDEN, &words)))
    }
}

fn may_not(identity: &Identity, action: Action) -> String {
    format!("The role {} may not {}.", identity.role, action.words())
}

fn refusal(status: StatusCode, words: &str) -> Answer {
    let body = format!("{}\n", json!({ "error": words }));
    answer(status, "application/json", whole_body(body))
}

fn translated(response: admin::Response) -> Answer {
    let status = StatusCode::from_u16(response.status);
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, response.content_type, whole_body(response.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_can_be_posted() {
        assert_eq!(api_path("/api/status"), Some("/status"));
        for other in ["/", "/api", "/apis/status", "/events"] {
            assert_eq!(api_path(other), None, "{other}");
        }
        assert_eq!(action_of("/exposures/public/off"), Some(Action::Switch));
        for path in [
            "/console/login",
            "/console/tokens",
            "/exposures",
            "/",
            "/livez",
        ] {
            assert_eq!(action_of(path), None, "{path}");
        }
    }
}
