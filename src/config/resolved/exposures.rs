//! `[exposures.*]`: who is responsible for which routes on which listeners.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::context::Context;
use super::names::Declared;
use super::routes::ResolvedRoute;
use crate::config::model::{Exposure, Listener, ListenerKind};
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::exposures::WrittenExposure;
use crate::config::written::source::{At, Placed};
use crate::route::{Exposures, Pairs};
use seclang::suggest::did_you_mean;

/// None if an exposure is faulty or claims what another claims: two switches for one route would contradict each other.
pub(crate) fn resolve<'s>(
    written: &[WrittenExposure<'s>],
    routes: &[ResolvedRoute<'s>],
    listeners: &mut Declared<'s, Listener>,
    has_state_dir: bool,
    diagnostics: &Diagnostics,
) -> Option<Exposures<Exposure>> {
    if let Some(first) = written.first()
        && !has_state_dir
    {
        let message = "there is no \"state_dir\": an exposure that is switched off is on again after a restart";
        diagnostics.warning(first.at, message);
    }
    // Same order as `found`, since overlaps name exposures by index.
    let mut declared: Vec<(&str, At<'s>)> = Vec::new();
    let mut found = Vec::new();
    let mut whole = true;
    for exposure in written {
        match resolve_exposure(exposure, routes, listeners, diagnostics) {
            Some(resolved) => {
                declared.push((exposure.name, exposure.at));
                found.push((resolved.pairs.clone(), resolved));
            }
            None => whole = false,
        }
    }
    match Exposures::new(found) {
        Ok(exposures) => {
            // A faulty exposure may be the owner, so nothing is reported as unowned beside it.
            if whole {
                warn_unowned(routes, listeners, &exposures, diagnostics);
            }
            whole.then_some(exposures)
        }
        Err(overlaps) => {
            for overlap in overlaps {
                let both = (declared.get(overlap.first), declared.get(overlap.second));
                let (Some((first, first_at)), Some((second, at))) = both else {
                    continue;
                };
                let message = format!(
                    "exposure \"{second}\" claims route \"{}\" on listener \"{}\", which exposure \"{first}\" at {} claims",
                    overlap.route,
                    overlap.listener,
                    first_at.text()
                );
                diagnostics.error(*at, message);
            }
            None
        }
    }
}

/// The folder may be missing: the start creates it.
pub(crate) fn resolve_state_dir(
    written: &Placed<'_, &str>,
    context: &Context<'_>,
) -> Option<PathBuf> {
    let path = written.at.resolve(written.value);
    if path.exists() && !path.is_dir() {
        let message = format!("\"{}\" is no folder", written.value);
        context.diagnostics.error(written.at, message);
        return None;
    }
    Some(path)
}

fn resolve_exposure<'s>(
    written: &WrittenExposure<'s>,
    routes: &[ResolvedRoute<'s>],
    listeners: &mut Declared<'s, Listener>,
    diagnostics: &Diagnostics,
) -> Option<Exposure> {
    // Routes and listeners are both looked up before any `?`, so that unknown names in either are reported.
    let named_routes = written.routes.as_deref();
    let named_routes = named_routes.and_then(|names| find_routes(names, routes, diagnostics));
    let named_listeners = written.listeners.as_deref();
    let named_listeners =
        named_listeners.and_then(|names| find_listeners(names, listeners, diagnostics));
    let pairs = pair(routes, &named_routes?, &named_listeners?, diagnostics)?;
    Some(Exposure {
        name: written.name.to_owned(),
        owner: written.owner.clone()?,
        pairs,
        off: written.off?,
    })
}

/// None if a name is unknown.
fn find_routes<'s>(
    names: &[Placed<'s, &'s str>],
    routes: &[ResolvedRoute<'s>],
    diagnostics: &Diagnostics,
) -> Option<Vec<Placed<'s, &'s str>>> {
    let mut found: Vec<Placed<'s, &'s str>> = Vec::new();
    let mut whole = true;
    for name in names {
        if found.iter().any(|known| known.value == name.value) {
            let message = format!("route \"{}\" is named twice", name.value);
            diagnostics.warning(name.at, message);
        } else if routes.iter().any(|route| route.name == name.value) {
            found.push(*name);
        } else {
            let help = did_you_mean(name.value, routes.iter().map(|route| route.name));
            let message = format!("there is no route \"{}\"", name.value);
            diagnostics.error_with_help(name.at, message, help);
            whole = false;
        }
    }
    (whole && !found.is_empty()).then_some(found)
}

/// None if a name is unknown, or an entry is not a string.
fn find_listeners<'s>(
    names: &[Option<Placed<'s, &'s str>>],
    listeners: &mut Declared<'s, Listener>,
    diagnostics: &Diagnostics,
) -> Option<Vec<Placed<'s, &'s str>>> {
    let mut found: Vec<Placed<'s, &'s str>> = Vec::new();
    let mut whole = true;
    for name in names {
        let Some(name) = name else {
            whole = false;
            continue;
        };
        if found.iter().any(|known| known.value == name.value) {
            let message = format!("listener \"{}\" is named twice", name.value);
            diagnostics.warning(name.at, message);
            continue;
        }
        let listener = listeners.lookup(name, diagnostics);
        if let Ok(ListenerKind::Redirect { .. }) = listener.as_ref().map(|l| &l.kind) {
            let message = format!(
                "listener \"{}\" only redirects: there is nothing to switch",
                name.value
            );
            diagnostics.warning(name.at, message);
        }
        // A broken listener was reported; the exposure names it rightly.
        match listeners.contains(name.value) {
            true => found.push(*name),
            false => whole = false,
        }
    }
    (whole && !found.is_empty()).then_some(found)
}

/// The pairs of named routes and listeners that are served. Reports a route that is on none of the listeners.
fn pair(
    routes: &[ResolvedRoute<'_>],
    named_routes: &[Placed<'_, &str>],
    named_listeners: &[Placed<'_, &str>],
    diagnostics: &Diagnostics,
) -> Option<Pairs> {
    let claims: BTreeMap<&str, &[String]> = routes
        .iter()
        .filter_map(|route| Some((route.name, &*route.claim.as_ref()?.listeners)))
        .collect();
    let mut pairs = Pairs::new();
    let mut whole = true;
    for route in named_routes {
        // A faulty claim was already reported.
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
            diagnostics.error_with_help(route.at, message, Some(help));
            whole = false;
        }
    }
    whole.then_some(pairs)
}

/// Warns of routes that can be reached and that no exposure names.
fn warn_unowned(
    routes: &[ResolvedRoute<'_>],
    listeners: &Declared<'_, Listener>,
    exposures: &Exposures<Exposure>,
    diagnostics: &Diagnostics,
) {
    // The exposure that names a route may be in the part of the file that could not be parsed.
    if diagnostics.has_broken_files() {
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
        diagnostics.warning(route.at, message);
    }
}

fn serves(listeners: &Declared<'_, Listener>, name: &str) -> bool {
    let listener = listeners.value(name);
    listener.is_some_and(|listener| matches!(listener.kind, ListenerKind::Tls { .. }))
}
