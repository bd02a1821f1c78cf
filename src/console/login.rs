//! `POST /console/login` of the admin API: makes the one-time links.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::logins::Logins;
use super::sessions::{CODE_LIFE, Identity, Origin, Sessions};
use super::token_routes::add_token_routes;
use crate::admin::{Request, Response, Router, with_user_name};
use crate::config::ConsoleSettings;
use crate::role::{NoRole, Role};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    role: String,
}

/// Adds the routes of links and tokens.
pub fn add_console_routes(router: &mut Router, logins: &Logins, settings: &ConsoleSettings) {
    let Logins { sessions, tokens } = logins;
    add_token_routes(router, tokens, sessions);
    let address = address(settings);
    let sessions = Arc::clone(sessions);
    router.post("/console/login", move |request: Request| {
        let answer = invite(&sessions, &address, &request);
        async move { answer.unwrap_or_else(|refused| refused) }
    });
}

fn invite(sessions: &Sessions, address: &str, request: &Request) -> Result<Response, Response> {
    let body: LoginBody = serde_json::from_slice(&request.body)
        .map_err(|error| Response::error(400, &format!("the body: {error}")))?;
    let role: Role = body
        .role
        .parse()
        .map_err(|error: NoRole| Response::error(400, &error.to_string()))?;
    let who = with_user_name(&request.caller);
    let code = sessions.invite(Identity {
        role,
        who,
        // A link works in any browser, also in one without a certificate.
        origin: Origin::Secret,
    });
    let code = code.map_err(|error| Response::error(500, &error.to_string()))?;
    Ok(Response::json(
        200,
        &json!({
            "url": format!("{address}/login?code={code}"),
            "role": role.name(),
            "minutes": CODE_LIFE.as_secs() / 60,
        }),
    ))
}

/// Where a browser finds the console. Over TLS the first of the `hosts`, because a certificate is rarely for an address.
fn address(settings: &ConsoleSettings) -> String {
    let ConsoleSettings { bind, hosts, .. } = settings;
    let port = bind.port();
    match (settings.has_tls, hosts.first()) {
        (true, Some(host)) => format!("https://{host}:{port}"),
        (true, None) if bind.ip().is_unspecified() => format!("https://localhost:{port}"),
        (true, None) => format!("https://{bind}"),
        (false, _) => format!("http://{bind}"),
    }
}
