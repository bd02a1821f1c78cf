//! The API of exposures: `/exposures`, `/exposures/NAME/off`, `/exposures/NAME/on` and `/surface`.
//!
//! Translates between HTTP and [`crate::exposure::api`]. Decides nothing itself.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;

use super::router::{CheckFailure, Request, Response, Router};
use crate::exposure::api::{self, ExposureStatus, SwitchError, SwitchRequest};
use crate::exposure::{Surface, Switchboard};
use crate::live::Live;
use crate::telemetry::families;

/// Adds the API of exposures. `bound` returns the real address of a listener to which the configuration gives port 0.
pub fn add_exposure_routes(
    router: &mut Router,
    live: &Arc<Live>,
    board: &Arc<Switchboard>,
    bound: impl Fn(&str) -> Option<SocketAddr> + Clone + Send + Sync + 'static,
) {
    let (seen, switches) = (Arc::clone(live), Arc::clone(board));
    let list = move || list(&seen, &switches, &bound);
    let shown = list.clone();
    router.section("exposures", move || json!(shown()));
    let switches = Arc::clone(board);
    // A notice, not a check: an unsaved switch is in force, and the front door should keep its traffic.
    router.notice("exposures", move || match switches.unsaved_reason() {
        Some(reason) => Err(CheckFailure(format!(
            "in force, but not on the disk: {reason}"
        ))),
        None => Ok(()),
    });
    let shown = list.clone();
    router.collect(move |text| {
        text.family(&families::EXPOSURE_ENABLED);
        for exposure in shown() {
            let enabled = u8::from(exposure.state == "on");
            text.sample(&[&exposure.name], enabled);
        }
    });
    let seen = Arc::clone(live);
    router.get("/surface", move |_: Request| {
        let surface = Surface::of(&seen.pin().config);
        async move { Response::json(200, &surface) }
    });
    let shown = list.clone();
    router.get("/exposures", move |_: Request| {
        let all = shown();
        async move { Response::json(200, &all) }
    });
    let (seen, switches) = (Arc::clone(live), Arc::clone(board));
    router.post("/exposures/*", move |request: Request| {
        let (live, board, list) = (Arc::clone(&seen), Arc::clone(&switches), list.clone());
        async move {
            // Switching waits for the disk. A task on another thread also completes if the client goes away.
            let switched = tokio::task::spawn_blocking(move || {
                let name = switch(&live, &board, &request)?;
                Ok((name, list()))
            });
            match switched.await {
                Ok(Ok((name, all))) => {
                    let status = all.into_iter().find(|status| status.name == name);
                    Response::json(200, &status)
                }
                Ok(Err(refused)) => refused,
                Err(error) => Response::error(500, &error.to_string()),
            }
        }
    });
}

fn list(
    live: &Live,
    board: &Switchboard,
    bound: impl Fn(&str) -> Option<SocketAddr>,
) -> Vec<ExposureStatus> {
    let snapshot = live.pin();
    let address = |name: &str| {
        let written = snapshot.listener(name)?.bind.first().copied()?;
        match written.port() {
            // With port 0 only the bound socket knows the port.
            0 => bound(name),
            _ => Some(written),
        }
    };
    api::list(&snapshot.config, board, address)
}

fn switch(live: &Live, board: &Switchboard, request: &Request) -> Result<String, Response> {
    let (name, on) = match request.rest.rsplit_once('/') {
        Some((name, "on")) => (name, true),
        Some((name, "off")) => (name, false),
        _ => return Err(Response::error(404, "POST /exposures/NAME/off or .../on")),
    };
    // No body is the plain switch, such as `curl -X POST`.
    let switch: SwitchRequest = match request.body.trim_ascii() {
        [] => SwitchRequest::default(),
        body => serde_json::from_slice(body)
            .map_err(|error| Response::error(400, &format!("the body: {error}")))?,
    };
    let by = with_user_name(&request.caller);
    let snapshot = live.pin();
    let switched = api::switch(&snapshot.config, board, name, on, &switch, &by);
    switched.map(|()| name.to_owned()).map_err(|error| {
        let status = match error {
            SwitchError::NoSuchExposure { .. } => 404,
            SwitchError::Time(_) | SwitchError::Reason => 400,
            SwitchError::HandingOver => 503,
            SwitchError::NotSwitchedOn(_) | SwitchError::OffButNotSaved(_) => 500,
        };
        Response::error(status, &error.to_string())
    })
}

/// Adds the user's name on this machine to `unix:uid=1000`, for the audit; returns other callers unchanged. A user who
/// is not in /etc/passwd stays a number.
pub(crate) fn with_user_name(caller: &str) -> String {
    let name = caller.strip_prefix("unix:uid=").and_then(|uid| {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let mut users = users.lines().map(|line| line.split(':'));
        users.find_map(|mut fields| {
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        })
    });
    match name {
        Some(name) => format!("{caller} ({name})"),
        None => caller.to_owned(),
    }
}
