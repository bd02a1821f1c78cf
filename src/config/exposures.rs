//! `[exposures.*]`: who answers for which routes on which listeners.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::files::{Document, Named};
use super::model::{Exposure, Listener, ListenerKind, OffAnswer};
use super::reader::{At, Item, Placed, Report, Section};
use super::routes::Draft;
use super::settings::Names;
use super::suggest::did_you_mean;
use crate::route::{Exposures, Pairs};

/// None where an exposure is faulty or claims what another claims.
pub(super) fn read<'s>(
    document: &Document<'s, '_>,
    routes: &[Draft<'s>],
    listeners: &mut Names<'s, Listener>,
    has_state_dir: bool,
) -> Option<Exposures<Exposure>> {
    let report = document.report;
    let tables = document.named("exposures", "exposure");
    if let Some(first) = tables.first()
        && !has_state_dir
    {
        let message = "there is no \"state_dir\": an exposure that is switched off is on again after a restart";
        report.warning(first.at, message);
    }
    let mut places: Vec<At<'s>> = Vec::new();
    let mut found = Vec::new();
    let mut whole = true;
    for Named { name, at, section } in tables {
        let exposure = read_exposure(name, &section, routes, listeners);
        section.finish();
        match exposure {
            Some(exposure) => {
                places.push(at);
                found.push((exposure.pairs.clone(), exposure));
            }
            None => whole = false,
        }
    }
    let names: Vec<String> = found.iter().map(|(_, e)| e.name.clone()).collect();
    match Exposures::new(found) {
        Ok(exposures) => {
            if whole {
                warn_unowned(routes, listeners, &exposures, report);
            }
            whole.then_some(exposures)
        }
        Err(overlaps) => {
            for overlap in overlaps {
                let message = format!(
                    "exposure \"{}\" claims route \"{}\" on listener \"{}\", which exposure \"{}\" at {} claims",
                    names[overlap.second],
                    overlap.route,
                    overlap.listener,
                    names[overlap.first],
                    places[overlap.first].text()
                );
                report.error(places[overlap.second], message);
            }
            None
        }
    }
}

/// The folder may be missing: it is made when the front door opens.
pub(super) fn read_state_dir(item: &Item<'_, '_>) -> Option<PathBuf> {
    let text = item.string()?;
    if text.value.is_empty() {
        return item.fail("\"state_dir\" must be a folder");
    }
    let path = text.at.resolve(text.value);
    if path.exists() && !path.is_dir() {
        return item.fail(format!("\"{}\" is no folder", text.value));
    }
    Some(path)
}

fn read_exposure<'s>(
    name: &str,
    section: &Section<'s, '_>,
    routes: &[Draft<'s>],
    listeners: &mut Names<'s, Listener>,
) -> Option<Exposure> {
    let report = section.report;
    let named_routes = section.required("routes", "routes = the names of [[routes]]");
    let named_routes = named_routes.and_then(|item| read_routes(&item, routes));
    let help = "listeners = the names of [listeners.NAME] tables";
    let named_listeners = section.required("listeners", help);
    let named_listeners = named_listeners.and_then(|item| read_listeners(&item, listeners));
    let owner = section.required("owner", "owner = \"the team that answers for it\"");
    let owner = owner.and_then(|item| {
        let owner = item.string()?;
        match owner.value.trim() {
            "" => item.fail("\"owner\" must not be empty"),
            owner => Some(owner.to_owned()),
        }
    });
    let off = match section.item("off") {
        Some(item) => item.choice(&[
            ("503", OffAnswer::Unavailable),
            ("404", OffAnswer::NotFound),
            ("close", OffAnswer::Close),
        ]),
        None => Some(OffAnswer::Unavailable),
    };
    let (named_routes, named_listeners) = (named_routes?, named_listeners?);
    let pairs = pair(routes, &named_routes, &named_listeners, report)?;
    Some(Exposure {
        name: name.to_owned(),
        owner: owner?,
        pairs,
        off: off?,
    })
}

/// None where a name is unknown.
fn read_routes<'s>(item: &Item<'s, '_>, routes: &[Draft<'s>]) -> Option<Vec<Placed<'s, &'s str>>> {
    let mut found: Vec<Placed<'s, &'s str>> = Vec::new();
    let mut whole = true;
    for name in item.strings() {
        if found.iter().any(|known| known.value == name.value) {
            let message = format!("route \"{}\" is named twice", name.value);
            item.report().warning(name.at, message);
        } else if routes.iter().any(|route| route.name == name.value) {
            found.push(name);
        } else {
            let help = did_you_mean(name.value, routes.iter().map(|route| route.name));
            let message = format!("there is no route \"{}\"", name.value);
            item.report().error_with_help(name.at, message, help);
            whole = false;
        }
    }
    (whole && !found.is_empty()).then_some(found)
}

/// None where a name is unknown.
fn read_listeners<'s>(
    item: &Item<'s, '_>,
    listeners: &mut Names<'s, Listener>,
) -> Option<Vec<Placed<'s, &'s str>>> {
    let mut found: Vec<Placed<'s, &'s str>> = Vec::new();
    let mut whole = true;
    for entry in item.list() {
        let Some(name) = entry.string() else {
            whole = false;
            continue;
        };
        let report = item.report();
        if found.iter().any(|known| known.value == name.value) {
            let message = format!("listener \"{}\" is named twice", name.value);
            report.warning(name.at, message);
            continue;
        }
        let listener = listeners.lookup(&entry, report);
        if let Some(ListenerKind::Redirect { .. }) = listener.as_ref().map(|l| &l.kind) {
            let message = format!(
                "listener \"{}\" only redirects: there is nothing to switch",
                name.value
            );
            report.warning(name.at, message);
        }
        match listeners.contains(name.value) {
            true => found.push(name),
            false => whole = false,
        }
    }
    (whole && !found.is_empty()).then_some(found)
}

/// The pairs that are really served. A name that adds none is a mistake.
fn pair(
    routes: &[Draft<'_>],
    named_routes: &[Placed<'_, &str>],
    named_listeners: &[Placed<'_, &str>],
    report: &Report,
) -> Option<Pairs> {
    let claims: BTreeMap<&str, &[String]> = routes
        .iter()
        .filter_map(|route| Some((route.name, &*route.claim.as_ref()?.listeners)))
        .collect();
    let mut pairs = Pairs::new();
    let mut whole = true;
    for route in named_routes {
        // What is faulty was told already.
        let listeners = claims.get(route.value)?;
        let before = pairs.len();
        for listener in named_listeners {
            if listeners.iter().any(|name| name == listener.value) {
                pairs.push((route.value.to_owned(), listener.value.to_owned()));
            }
        }
        if pairs.len() == before {
            let message = format!(
                "route \"{}\" is on none of the exposure's listeners",
                route.value
            );
            let help = format!("it is on: {}", listeners.join(", "));
            report.error_with_help(route.at, message, Some(help));
            whole = false;
        }
    }
    whole.then_some(pairs)
}

/// What is reachable and nobody's.
fn warn_unowned(
    routes: &[Draft<'_>],
    listeners: &Names<'_, Listener>,
    exposures: &Exposures<Exposure>,
    report: &Report,
) {
    if report.has_broken_files() {
        return;
    }
    for route in routes {
        let Some(claim) = &route.claim else { continue };
        let unowned: Vec<String> = claim
            .listeners
            .iter()
            .filter(|name| serves(listeners, name))
            .filter(|name| exposures.of(route.name, name).is_none())
            .map(|name| format!("\"{name}\""))
            .collect();
        if unowned.is_empty() {
            continue;
        }
        let word = match unowned.len() {
            1 => "listener",
            _ => "listeners",
        };
        let message = format!(
            "route \"{}\" on {word} {} has no owner: no exposure names it",
            route.name,
            unowned.join(", ")
        );
        report.warning(route.at, message);
    }
}

fn serves(listeners: &Names<'_, Listener>, name: &str) -> bool {
    let mut all = listeners.iter();
    let found = all.find(|(known, ..)| *known == name);
    found
        .and_then(|(_, _, listener)| listener)
        .is_some_and(|listener| matches!(listener.kind, ListenerKind::Tls { .. }))
}
