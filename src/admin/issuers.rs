//! What is fetched from issuers of tokens: the parts of `/status`, `/readyz` and `/metrics` about it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::exposition::Exposition;
use super::router::{CheckFailure, Router};
use super::sources::StatusSources;
use crate::identity::issuer::{
    Asker, Endpoint, ExchangeSource, IssuerError, Live, LiveState, Source,
};
use crate::identity::{Denied, Keys, Provider};
use crate::telemetry::families;
use crate::time::rfc3339;

/// Adds what is known about issuers.
pub fn add_issuers(router: &mut Router, sources: &StatusSources) {
    let from = sources.clone();
    router.section("identity", move || status(&from));
    let from = sources.clone();
    router.section("exchange", move || exchanges(&from));
    let from = sources.clone();
    // Routes without identity are served, so it does not decide about readiness.
    router.notice("identity", move || check(&from));
    let from = sources.clone();
    router.collect(move |text| collect(&from, text));
}

/// What one table fetches: its word in metrics, its URL, and how it goes.
fn fetched(provider: &Provider) -> Vec<(&'static str, String, LiveState)> {
    fn of<S: Source>(what: &'static str, live: &Live<S>) -> (&'static str, String, LiveState) {
        let url = live.source().destination().url().to_string();
        (what, url, live.state())
    }
    let keys = match &provider.keys {
        Keys::Fetched(live) => Some(of("keys", live)),
        Keys::None | Keys::Given(_) => None,
    };
    let denied = match &provider.denied {
        Denied::Fetched(live) => Some(of("denied", live)),
        Denied::Given(_) => None,
    };
    let introspection = provider.introspector.as_ref().map(|asker| asked(asker));
    keys.into_iter()
        .chain(denied)
        .chain(introspection)
        .collect()
}

/// The same of an endpoint that is asked about tokens.
fn asked<E: Endpoint>(asker: &Asker<E>) -> (&'static str, String, LiveState) {
    let url = asker.endpoint().at().destination().url().to_string();
    (E::WHAT, url, asker.state())
}

fn exchanges(sources: &StatusSources) -> Value {
    let snapshot = sources.live.pin();
    let tables = snapshot.config.exchanges.iter();
    let tables = tables.map(|(name, exchanger)| {
        let (_, url, state) = asked(exchanger);
        (name.as_str(), show(&url, &state))
    });
    json!(tables.collect::<BTreeMap<_, _>>())
}

fn status(sources: &StatusSources) -> Value {
    let snapshot = sources.live.pin();
    let tables = snapshot.config.identity.values();
    let tables = tables.filter(|provider| provider.certificate().is_none());
    let tables: BTreeMap<&str, Value> = tables
        .map(|provider| {
            let fetched: BTreeMap<_, _> = fetched(provider)
                .into_iter()
                .map(|(what, url, state)| (what, show(&url, &state)))
                .collect();
            let value = json!({
                "issuer": provider.expected.issuer,
                "keys": provider.known_keys().len(),
                "fetched": fetched,
                "used_tokens": provider.once.as_ref().map(|once| json!({
                    "remembered": once.used.count(),
                    "most": once.most,
                })),
            });
            (provider.name.as_str(), value)
        })
        .collect();
    json!(tables)
}

fn show(url: &str, state: &LiveState) -> Value {
    json!({
        "url": url,
        "counts": state.counts,
        "fetched_at": state.fetched_at.map(rfc3339),
        "next_at": state.next_at.map(rfc3339),
        "fetches": state.fetches,
        "asked": state.asked,
        "failures": state.failures,
        "last_error": state.trouble.as_ref().map(|trouble| json!({
            "since": rfc3339(trouble.since),
            "code": trouble.code,
            "words": trouble.words,
            "fix": trouble.fix,
        })),
    })
}

fn check(sources: &StatusSources) -> Result<(), CheckFailure> {
    let snapshot = sources.live.pin();
    let mut troubles = Vec::new();
    for provider in snapshot.config.identity.values() {
        for (what, _, state) in fetched(provider) {
            if let Some(trouble) = state.trouble {
                let use_of = match state.counts {
                    true => "the last good version is in use",
                    false if what == "introspection" => "tokens that need it are not taken",
                    false => "no token is taken",
                };
                troubles.push(format!(
                    "{what} of identity {} cannot be fetched since {}, {use_of}: {}; {}",
                    provider.name,
                    rfc3339(trouble.since),
                    trouble.words,
                    trouble.fix
                ));
            }
        }
    }
    for (name, exchanger) in &snapshot.config.exchanges {
        if let Some(trouble) = exchanger.state().trouble {
            troubles.push(format!(
                "exchange {name} does not answer since {}, {}: {}; {}",
                rfc3339(trouble.since),
                ExchangeSource::OTHERWISE,
                trouble.words,
                trouble.fix
            ));
        }
    }
    match troubles.is_empty() {
        true => Ok(()),
        false => Err(CheckFailure(troubles.join("; "))),
    }
}

fn collect(sources: &StatusSources, text: &mut Exposition) {
    let snapshot = sources.live.pin();
    let providers = snapshot.config.identity.values();
    // Client certificates have no keys of an issuer, and must not raise the alert that there are none.
    let providers = providers.filter(|provider| provider.certificate().is_none());
    let providers: Vec<_> = providers.collect();
    let rows: Vec<_> = providers
        .iter()
        .flat_map(|provider| {
            let name = provider.name.as_str();
            let rows = fetched(provider).into_iter();
            rows.map(move |(what, _, state)| (name, what, state))
        })
        .chain(snapshot.config.exchanges.iter().map(|(name, exchanger)| {
            let (what, _, state) = asked(exchanger);
            (name.as_str(), what, state)
        }))
        .collect();
    text.family(&families::IDENTITY_KEYS);
    for provider in providers.iter().filter(|provider| provider.needs_keys()) {
        let count = provider.known_keys().len() as u64;
        text.sample(&[provider.name.as_str()], count);
    }
    text.family(&families::IDENTITY_AGE);
    for (name, what, state) in &rows {
        if let Some(age) = state.age {
            text.sample(&[name, what], age.as_secs());
        }
    }
    text.family(&families::IDENTITY_FETCHES);
    for (name, what, state) in &rows {
        let asked = state.asked.min(state.fetches);
        text.sample(&[name, what, "schedule"], state.fetches - asked);
        text.sample(&[name, what, "request"], asked);
    }
    text.family(&families::IDENTITY_FETCH_FAILURES);
    for (name, what, state) in &rows {
        for code in IssuerError::codes() {
            let count = state.failures.get(code).copied().unwrap_or(0);
            text.sample(&[name, what, code], count);
        }
    }
}
