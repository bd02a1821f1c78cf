//! `/exposures`, `/exposures/NAME/off`, `/exposures/NAME/on` and `/surface`.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;

use super::exposition::Kind;
use super::router::{Request, Response, Router};
use crate::exposure::api::{self, Order, OrderError, Status};
use crate::exposure::{Surface, Switchboard};
use crate::live::Live;

/// `bound` tells the real address of a listener that was configured with port 0.
pub fn exposure_routes(
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
    router.notice("exposures", move || match switches.trouble() {
        Some(words) => Err(format!("in force, and not on the disk: {words}")),
        None => Ok(()),
    });
    let shown = list.clone();
    router.collect(move |text| {
        text.family(
            "exposure_enabled",
            Kind::Gauge,
            "1 where an exposure is on.",
        );
        for exposure in shown() {
            let enabled = u8::from(exposure.state == "on");
            text.sample(&[("exposure", &exposure.name)], enabled);
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
            // It waits for the disk.
            let switched = tokio::task::spawn_blocking(move || {
                let name = switch(&live, &board, &request)?;
                Ok((name, list()))
            });
            match switched.await {
                Ok(Ok((name, all))) => {
                    let status = all.into_iter().find(|status| status.name == name);
                    Response::json(200, &status)
                }
                Ok(Err(problem)) => problem,
                Err(error) => Response::problem(500, &error.to_string()),
            }
        }
    });
}

fn list(
    live: &Live,
    board: &Switchboard,
    bound: impl Fn(&str) -> Option<SocketAddr>,
) -> Vec<Status> {
    let snapshot = live.pin();
    let address = |name: &str| {
        let written = snapshot.listener(name)?.bind.first().copied()?;
        match written.port() {
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
        _ => return Err(Response::problem(404, "POST /exposures/NAME/off or .../on")),
    };
    let order: Order = match request.body.trim_ascii() {
        [] => Order::default(),
        body => serde_json::from_slice(body)
            .map_err(|error| Response::problem(400, &format!("the body: {error}")))?,
    };
    let by = named(&request.who);
    let snapshot = live.pin();
    match api::switch(&snapshot.config, board, name, on, &order, &by) {
        Ok(()) => Ok(name.to_owned()),
        Err(OrderError::NoSuchExposure(words)) => Err(Response::problem(404, &words)),
        Err(OrderError::Faulty(words)) => Err(Response::problem(400, &words)),
        Err(OrderError::NotNow) => {
            let words = "another process takes over: nothing was switched, ask again in a moment";
            Err(Response::problem(503, words))
        }
        Err(OrderError::NotKept(words)) => Err(Response::problem(500, &words)),
    }
}

/// `unix:uid=1000` with the name that this machine has for it; all else as it is.
fn named(who: &str) -> String {
    let name = who.strip_prefix("unix:uid=").and_then(|uid| {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let mut users = users.lines().map(|line| line.split(':'));
        users.find_map(|mut fields| {
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        })
    });
    match name {
        Some(name) => format!("{who} ({name})"),
        None => who.to_owned(),
    }
}
