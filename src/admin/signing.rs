//! The keys of our own that sign tokens for gateways: `/identity/keys`, `/identity/keys/rotate`, and the parts of `/status`,
//! `/readyz` and `/metrics` about them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::exposition::Exposition;
use super::exposures::with_user_name;
use super::router::{CheckFailure, Request, Response, Router};
use super::sources::StatusSources;
use crate::identity::Signing;
use crate::telemetry::families;
use crate::time::{rfc3339, seconds};

/// Brings a new key, and says what changed; or why there is none.
type Rotate = fn(&Signing) -> Result<String, String>;

/// Adds what is known about the keys, and the verb that rotates them.
pub fn add_signing(router: &mut Router, sources: &StatusSources, rotate: Rotate) {
    let from = sources.clone();
    router.section("signing", move || status(&from));
    let from = sources.clone();
    router.get("/identity/keys", move |_: Request| {
        let shown = status(&from);
        async move { Response::json(200, &shown) }
    });
    let from = sources.clone();
    router.notice("signing", move || check(&from));
    let from = sources.clone();
    router.collect(move |text| collect(&from, text));
    let from = sources.clone();
    router.post("/identity/keys/rotate", move |request: Request| {
        let sources = from.clone();
        async move {
            let rotated = tokio::task::spawn_blocking(move || {
                let by = with_user_name(&request.caller);
                rotate_by(&sources, &by, rotate)
            });
            rotated
                .await
                .unwrap_or_else(|error| Response::error(500, &error.to_string()))
        }
    });
}

fn rotate_by(sources: &StatusSources, by: &str, rotate: Rotate) -> Response {
    let Some(signing) = sources.live.pin().config.signing.clone() else {
        return Response::error(404, "there is no [signing] table");
    };
    if signing.own.is_none() {
        let words = "the keys are files of \"keys\" in [signing]: whoever keeps them rotates them";
        return Response::error(409, words);
    }
    let outcome = rotate(&signing);
    match outcome {
        Ok(words) => {
            tracing::info!(target: "audit", by, "a new key of [signing] was asked for: {words}");
            Response::json(200, &status(sources))
        }
        Err(error) => {
            tracing::warn!(target: "audit", by, "a new key of [signing] was asked for and not made: {error}");
            Response::error(409, &error)
        }
    }
}

fn status(sources: &StatusSources) -> Value {
    let Some(signing) = sources.live.pin().config.signing.clone() else {
        return Value::Null;
    };
    let now = seconds(SystemTime::now());
    let ring = signing.ring.load_full();
    let signs = ring.as_ref().and_then(|ring| ring.signing(now));
    let signs = signs.map(|key| key.signer.id().to_owned());
    let keys = ring.iter().flat_map(|ring| ring.keys()).map(|key| {
        let is_signing = signs.as_deref() == Some(key.signer.id());
        let state = match is_signing {
            true => "signs",
            false if key.since > now => "next",
            false => "previous",
        };
        json!({
            "kid": key.signer.id(),
            "algorithm": key.signer.algorithm().name(),
            "state": state,
            "signs_from": time(key.since),
            "age_seconds": age(key.since, now),
        })
    });
    let keys: Vec<_> = keys.collect();
    let own = signing.own.as_ref();
    let next = ring.zip(own).and_then(|(ring, (_, rotation))| {
        let waiting = ring.keys().last().filter(|_| ring.is_waiting(now));
        waiting
            .map(|key| key.since)
            .or_else(|| ring.next_at(rotation))
    });
    json!({
        "issuer": signing.issuer,
        "kept_by": if own.is_some() { "front door" } else { "files" },
        "keys": keys,
        "next_rotation": next.and_then(time),
        "jwks_max_age_seconds": signing.jwks_max_age(),
        "failures": sources.metrics.signing_failures.value(),
    })
}

fn check(sources: &StatusSources) -> Result<(), CheckFailure> {
    let Some(overdue) = overdue(sources) else {
        return Ok(());
    };
    Err(CheckFailure(format!(
        "the keys of [signing] should have been replaced {overdue} seconds ago; the log says why they were not"
    )))
}

/// For how long a key signs that should have a successor.
fn overdue(sources: &StatusSources) -> Option<u64> {
    let signing = sources.live.pin().config.signing.clone()?;
    let (_, rotation) = signing.own.as_ref()?;
    let ring = signing.ring.load_full()?;
    let now = seconds(SystemTime::now());
    if ring.is_waiting(now) {
        return None;
    }
    now.checked_sub(ring.next_at(rotation)?)
}

fn collect(sources: &StatusSources, text: &mut Exposition) {
    let signing = sources.live.pin().config.signing.clone();
    let ring = signing.as_ref().and_then(|s| s.ring.load_full());
    text.family(&families::SIGNING_KEYS);
    if let Some(ring) = &ring {
        text.sample(&[], ring.keys().len() as u64);
    }
    let now = seconds(SystemTime::now());
    text.family(&families::SIGNING_AGE);
    if let Some(age) = ring
        .as_ref()
        .and_then(|ring| age(ring.signing(now)?.since, now))
    {
        text.sample(&[], age);
    }
    text.family(&families::SIGNING_FAILURES)
        .sample(&[], sources.metrics.signing_failures.value());
}

/// None for keys that somebody else keeps, whose age we do not know, and for one that waits.
fn age(since: u64, now: u64) -> Option<u64> {
    (since != 0).then(|| now.checked_sub(since))?
}

fn time(seconds: u64) -> Option<String> {
    let known = seconds != 0 && seconds != u64::MAX;
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    known.then(|| rfc3339(at))
}
