//! What becomes reachable, or stops being reachable, from one configuration to the next, in words.
//!
//! Comparing routes one by one would miss what they do to each other: a route that goes away uncovers a less specific
//! one, and a new one shadows it, even on listeners that it does not name. So we send each host and path that either
//! configuration names through both route tables, as a request would go, and compare where it ends.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use serde::Serialize;

use super::callers;
use super::limits::{self, SurfaceLimit};
use super::surface::{Surface, SurfaceError, SurfaceIdentity, SurfaceRoute};
use crate::route::{Claim, Lookup, MethodSet, RouteTable};

/// Stands for every method that no route names: such methods all lead to the same routes, so one of them is enough.
const ANY_OTHER: &str = "X-ANY-OTHER";
/// Asked for even if no route names them, so that messages can list them by name.
const COMMON: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// One difference in what is reachable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SurfaceChange {
    /// Whether something becomes reachable, stops being reachable, or is served in another way.
    pub kind: ChangeKind,
    /// The listener's name.
    pub listener: String,
    /// The text after the sign and the listener, as [`SurfaceChange`] is displayed.
    pub words: String,
    /// Something becomes reachable that belongs to no exposure.
    pub unowned: bool,
    /// It was reachable, and lets in callers that it refused before.
    pub widens: bool,
}

/// How a [`SurfaceChange`] changes what is reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It becomes reachable.
    Added,
    /// It stops being reachable.
    Removed,
    /// It stays reachable and is served in another way.
    Changed,
}

impl fmt::Display for SurfaceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        write!(f, "{sign} {}: {}", self.listener, self.words)?;
        match self.widens {
            true => f.write_str(" (warning: lets in callers that were refused)"),
            false => Ok(()),
        }
    }
}

/// A host and a path on a listener, as some route names them: one question to both route tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Probe {
    /// Only a less specific host pattern names this path. The first field, since the order of probes puts these last:
    /// what they repeat was reported then.
    inherited: bool,
    pub listener: String,
    pub host: String,
    pub path: String,
}

/// The route that serves a request on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target<'s> {
    route: &'s SurfaceRoute,
    listener: &'s str,
}

/// A surface and its route table.
pub(super) struct SurfaceTable<'s> {
    surface: &'s Surface,
    /// Leads to the index of a route in `surface`.
    table: RouteTable<usize>,
}

/// Every difference between two surfaces, by listener, host and path.
///
/// # Errors
/// No configuration could have one of the surfaces.
pub fn diff(old: &Surface, new: &Surface) -> Result<Vec<SurfaceChange>, SurfaceError> {
    let (old, new) = (SurfaceTable::new(old)?, SurfaceTable::new(new)?);
    let methods = methods(&old, &new);
    let unnamed = unnamed_label(&old, &new);
    let mut changes = listeners(old.surface, new.surface);
    changes.extend(key_sets(old.surface, new.surface));
    let mut reported: HashSet<(String, Option<String>, Option<String>)> = HashSet::new();
    for probe in probes(&old, &new) {
        let (host, path) = probe.request(&unnamed);
        for group in group_methods(&old, &new, &probe, (host.as_deref(), &path), &methods) {
            // By name, since the two surfaces hold different copies of a route.
            let names = |target: Option<Target<'_>>| target.map(|t| t.route.name.clone());
            let ends = (
                probe.listener.clone(),
                names(group.before),
                names(group.after),
            );
            // At an inherited path, a change between the same two routes was reported already.
            let first = reported.insert(ends);
            if probe.inherited && !first {
                continue;
            }
            let what = format!(
                "{} {}",
                method_words(&group.methods, &methods),
                path_words(&probe.path)
            );
            let Some(mut change) = change(&probe, &what, group.before, group.after) else {
                continue;
            };
            let (listener, host) = (&probe.listener, host.as_deref());
            let (words, routes) = match change.kind {
                ChangeKind::Added => (
                    "shadowed it before",
                    old.shadowing_routes(listener, host, &path),
                ),
                ChangeKind::Removed => (
                    "shadows it now",
                    new.shadowing_routes(listener, host, &path),
                ),
                ChangeKind::Changed => ("", Vec::new()),
            };
            if !routes.is_empty() {
                change.words += &format!("; {} {words}", route_words(&routes));
            }
            changes.push(change);
        }
    }
    Ok(changes)
}

/// Methods that end at the same routes before and after.
struct MethodGroup<'s, 'm> {
    before: Option<Target<'s>>,
    after: Option<Target<'s>>,
    methods: Vec<&'m str>,
}

/// Asks both tables for each method. `request` is the host and path to ask for.
fn group_methods<'s, 'm>(
    old: &SurfaceTable<'s>,
    new: &SurfaceTable<'s>,
    probe: &'s Probe,
    (host, path): (Option<&str>, &str),
    methods: &'m [String],
) -> Vec<MethodGroup<'s, 'm>> {
    let mut groups: Vec<MethodGroup<'_, '_>> = Vec::new();
    for method in methods {
        let before = old.find(&probe.listener, host, path, method);
        let after = new.find(&probe.listener, host, path, method);
        let known = groups
            .iter_mut()
            .find(|group| same_route(group.before, before) && same_route(group.after, after));
        match known {
            Some(group) => group.methods.push(method),
            None => groups.push(MethodGroup {
                before,
                after,
                methods: vec![method],
            }),
        }
    }
    groups
}

fn change(
    probe: &Probe,
    what: &str,
    before: Option<Target<'_>>,
    after: Option<Target<'_>>,
) -> Option<SurfaceChange> {
    let host = host_words(&probe.host);
    let mut widens = false;
    let (kind, words, unowned) = match (before, after) {
        (None, None) => return None,
        (None, Some(target)) => (
            ChangeKind::Added,
            format!(
                "{what} -> {}, {host}, {}",
                target.words(),
                target.owner_words()
            ),
            target.owner().is_none(),
        ),
        // Nobody needs to own what stops being reachable, so only additions and moves can be `unowned`.
        (Some(target), None) => (
            ChangeKind::Removed,
            format!("{what} -> {}, {host}", target.words()),
            false,
        ),
        (Some(before), Some(after)) => {
            let callers = callers::differences(before.identity(), after.identity());
            widens = callers.iter().any(|difference| difference.widens);
            let mut differences = before.differences(&after);
            differences.extend(callers.into_iter().map(|difference| difference.words));
            differences.extend(limits::differences(before.limits(), after.limits()));
            if differences.is_empty() {
                return None;
            }
            (
                ChangeKind::Changed,
                format!("{what}, {host}: {}", differences.join(", ")),
                // A new policy exposes no new server, so it needs no owner; another server does, and so do other callers.
                (widens || before.leads_elsewhere(&after) || before.takes_more_paths(&after))
                    && after.owner().is_none(),
            )
        }
    };
    Some(SurfaceChange {
        kind,
        listener: probe.listener.clone(),
        words,
        unowned,
        widens,
    })
}

/// The addresses that a listener gains or loses. If a listener is added or removed, the probes report each of its
/// routes instead.
fn listeners(old: &Surface, new: &Surface) -> Vec<SurfaceChange> {
    let mut changes = Vec::new();
    for (name, after) in &new.listeners {
        let Some(before) = old.listeners.get(name) else {
            continue;
        };
        let serves = |route: &&SurfaceRoute| route.listeners.contains(name);
        // A new address exposes all routes of the listener, so one route without an owner is enough.
        let unowned = new
            .routes
            .iter()
            .filter(serves)
            .any(|route| !route.exposures.contains_key(name));
        let change = |kind, words: String, unowned| SurfaceChange {
            kind,
            listener: name.clone(),
            words,
            unowned,
            widens: false,
        };
        for address in after.iter().filter(|a| !before.contains(a)) {
            let words = format!("all of it on {address}");
            changes.push(change(ChangeKind::Added, words, unowned));
        }
        for address in before.iter().filter(|a| !after.contains(a)) {
            let words = format!("all of it on {address}");
            changes.push(change(ChangeKind::Removed, words, false));
        }
    }
    changes
}

/// The paths where listeners begin or cease to show the keys of our tokens. They are public and lead to no server, so they
/// need no owner.
fn key_sets(old: &Surface, new: &Surface) -> Vec<SurfaceChange> {
    let only_in = |one: &Surface, other: &Surface, kind| -> Vec<SurfaceChange> {
        let differing = one.key_sets.iter();
        let differing = differing.filter(|(name, path)| other.key_sets.get(*name) != Some(*path));
        let changes = differing.map(|(name, path)| SurfaceChange {
            kind,
            listener: name.clone(),
            words: format!("GET,HEAD {path} -> the front door's key set, every host, no token"),
            unowned: false,
            widens: false,
        });
        changes.collect()
    };
    let mut changes = only_in(new, old, ChangeKind::Added);
    changes.extend(only_in(old, new, ChangeKind::Removed));
    changes
}

impl<'s> SurfaceTable<'s> {
    pub(super) fn new(surface: &'s Surface) -> Result<Self, SurfaceError> {
        let routes = surface.routes.iter().enumerate();
        let routes = routes.map(|(index, route)| Ok((route.claim()?, index)));
        let table = RouteTable::new(routes.collect::<Result<_, SurfaceError>>()?);
        // A running front door of another version may have sent the surface, so its claims are checked like those of a
        // file.
        let table = table.map_err(|_| SurfaceError::DuplicateClaim)?;
        Ok(Self { surface, table })
    }

    fn find(
        &self,
        listener: &'s str,
        host: Option<&str>,
        path: &str,
        method: &str,
    ) -> Option<Target<'s>> {
        let host = host.map(str::as_bytes);
        let found = self
            .table
            .find(listener, host, path.as_bytes(), method.as_bytes());
        let Lookup::Found(index) = found else {
            return None;
        };
        let route = self.surface.routes.get(*index)?;
        Some(Target { route, listener })
    }

    /// The most specific routes for this host and path, if none of them names the listener: then the listener answers
    /// 404, whatever less specific routes it has. Empty if one of them names it.
    pub(super) fn shadowing_routes(
        &self,
        listener: &str,
        host: Option<&str>,
        path: &str,
    ) -> Vec<&'s str> {
        let bytes = host.map(str::as_bytes);
        let mut claimants = self.table.claimants(bytes, path.as_bytes());
        if claimants.any(|(claim, _)| claim.serves(listener)) {
            return Vec::new();
        }
        self.most_specific_routes(host, path)
    }

    /// The names of the most specific routes for this host and path.
    pub(super) fn most_specific_routes(&self, host: Option<&str>, path: &str) -> Vec<&'s str> {
        let host = host.map(str::as_bytes);
        let claimants = self.table.claimants(host, path.as_bytes());
        let routes = claimants.filter_map(|(_, index)| self.surface.routes.get(*index));
        routes.map(|route| route.name.as_str()).collect()
    }

    fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.table.iter().map(|(claim, _)| claim)
    }
}

impl Probe {
    /// The host and path of a request that matches these patterns and no more specific host pattern. `unnamed` is a
    /// label that no route names.
    pub(super) fn request(&self, unnamed: &str) -> (Option<String>, String) {
        let host = match self.host.strip_prefix("*.") {
            Some(domain) => Some(format!("{unnamed}.{domain}")),
            None if self.host == "*" => None,
            None => Some(self.host.clone()),
        };
        (host, self.path.clone())
    }
}

impl Target<'_> {
    fn owner(&self) -> Option<&str> {
        let exposure = self.route.exposures.get(self.listener)?;
        Some(&exposure.owner)
    }

    fn exposure(&self) -> Option<&str> {
        let exposure = self.route.exposures.get(self.listener)?;
        Some(&exposure.name)
    }

    fn identity(&self) -> Option<&SurfaceIdentity> {
        self.route.identity.get(self.listener)
    }

    fn limits(&self) -> &[SurfaceLimit] {
        let limits = self.route.limits.get(self.listener);
        limits.map_or(&[], Vec::as_slice)
    }

    fn words(&self) -> String {
        let SurfaceRoute {
            own_answer,
            upstream,
            policy,
            ..
        } = self.route;
        let leads_to = own_answer.as_ref().unwrap_or(upstream);
        let regex = match &self.route.path_regex {
            Some(regex) => format!(", paths that match {regex}"),
            None => String::new(),
        };
        let rewrite = match &self.route.rewrite {
            Some(rewrite) => format!(" as {rewrite}"),
            None => String::new(),
        };
        let mode = match self.route.mode.as_str() {
            "block" => String::new(),
            mode => format!(" (mode {mode})"),
        };
        let stream = match &self.route.stream {
            Some(stream) => format!(", {stream} stream"),
            None => String::new(),
        };
        let identity = self.identity().map(|identity| match identity.required {
            true => format!(", requires {}", callers::demands(identity)),
            false => format!(", takes {}", callers::demands(identity)),
        });
        let identity = identity.unwrap_or_default();
        format!("{leads_to}{rewrite}{regex}, policy {policy}{mode}{stream}{identity}")
    }

    fn owner_words(&self) -> String {
        match (self.exposure(), self.owner()) {
            (Some(exposure), Some(owner)) => format!("exposure {exposure}, owner {owner}"),
            _ => "no owner".to_owned(),
        }
    }

    /// Whether `after` takes paths that were not there before. Two expressions cannot be compared, so another one counts.
    fn takes_more_paths(&self, after: &Self) -> bool {
        let old = &self.route.path_regex;
        old.is_some() && *old != after.route.path_regex
    }

    /// Whether `after` sends requests to servers that did not get them before.
    fn leads_elsewhere(&self, after: &Self) -> bool {
        let known = &self.route.servers;
        let moved = after.route.servers.iter().any(|s| !known.contains(s));
        // An answer of our own reaches no server.
        let renamed = self.route.upstream != after.route.upstream;
        let rewritten = self.route.rewrite != after.route.rewrite;
        moved || (renamed || rewritten) && after.route.own_answer.is_none()
    }

    fn differences(&self, after: &Self) -> Vec<String> {
        let (a, b) = (self.route, after.route);
        let none = || "none".to_owned();
        let gateway = || "the gateway's".to_owned();
        let named = |name: &str| match name {
            "" => none(),
            name => name.to_owned(),
        };
        let slashes = |pass| if pass { "pass" } else { "refuse" }.to_owned();
        let mut differences = Vec::new();
        for (what, old, new) in [
            ("upstream", named(&a.upstream), named(&b.upstream)),
            (
                "servers",
                named(&a.servers.join(" ")),
                named(&b.servers.join(" ")),
            ),
            (
                "answer",
                a.own_answer.clone().unwrap_or_else(gateway),
                b.own_answer.clone().unwrap_or_else(gateway),
            ),
            (
                "rewrite",
                a.rewrite.clone().unwrap_or_else(none),
                b.rewrite.clone().unwrap_or_else(none),
            ),
            (
                "cors",
                a.cors.clone().unwrap_or_else(gateway),
                b.cors.clone().unwrap_or_else(gateway),
            ),
            (
                "path_regex",
                a.path_regex.clone().unwrap_or_else(none),
                b.path_regex.clone().unwrap_or_else(none),
            ),
            ("policy", a.policy.clone(), b.policy.clone()),
            ("mode", a.mode.clone(), b.mode.clone()),
            (
                "stream",
                a.stream.clone().unwrap_or_else(none),
                b.stream.clone().unwrap_or_else(none),
            ),
            (
                "encoded_slashes",
                slashes(a.pass_encoded_slashes),
                slashes(b.pass_encoded_slashes),
            ),
            (
                "exposure",
                self.exposure().map_or_else(none, str::to_owned),
                after.exposure().map_or_else(none, str::to_owned),
            ),
            (
                "owner",
                self.owner().map_or_else(none, str::to_owned),
                after.owner().map_or_else(none, str::to_owned),
            ),
        ] {
            if old != new {
                differences.push(format!("{what} {old} -> {new}"));
            }
        }
        differences
    }
}

/// Whether both lead to the same route, or to none.
fn same_route(a: Option<Target<'_>>, b: Option<Target<'_>>) -> bool {
    match (a, b) {
        (None, None) => true,
        // Both come from the same surface, so equal addresses mean the same route.
        (Some(a), Some(b)) => std::ptr::eq(a.route, b.route),
        _ => false,
    }
}

/// What to ask both tables: on every listener, each host with its own paths and with those of less specific host
/// patterns, which a route that goes away uncovers.
pub(super) fn probes(old: &SurfaceTable<'_>, new: &SurfaceTable<'_>) -> BTreeSet<Probe> {
    let mut hosts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut listeners: BTreeSet<&str> = BTreeSet::new();
    for claim in old.claims().chain(new.claims()) {
        listeners.extend(claim.listeners.iter().map(String::as_str));
        for host in &claim.hosts {
            let paths = hosts.entry(host.to_string()).or_default();
            paths.extend(claim.paths.iter().map(ToString::to_string));
        }
    }
    let mut probes = BTreeSet::new();
    for (host, own) in &hosts {
        let wider = hosts.iter().filter(|(wider, _)| covers(wider, host));
        let inherited = wider
            .flat_map(|(_, paths)| paths)
            .filter(|p| !own.contains(*p));
        let own = own.iter().map(|path| (false, path));
        for (inherited, path) in own.chain(inherited.map(|path| (true, path))) {
            probes.extend(listeners.iter().map(|listener| Probe {
                inherited,
                listener: (*listener).to_owned(),
                host: host.clone(),
                path: path.clone(),
            }));
        }
    }
    probes
}

/// Whether the routes of host pattern `wider` serve requests for `host` that its own routes do not.
fn covers(wider: &str, host: &str) -> bool {
    match wider.strip_prefix('*') {
        Some("") => host != "*",
        Some(domain) => host != wider && host.ends_with(domain),
        None => false,
    }
}

/// Every method that can make a difference, and one for all others.
fn methods(old: &SurfaceTable<'_>, new: &SurfaceTable<'_>) -> Vec<String> {
    let mut all: Vec<String> = COMMON.map(str::to_owned).to_vec();
    for claim in old.claims().chain(new.claims()) {
        if let MethodSet::Only(methods) | MethodSet::Exactly(methods) = &claim.methods {
            for method in methods {
                if !all.contains(method) {
                    all.push(method.clone());
                }
            }
        }
    }
    // Last: `method_words` relies on it.
    all.push(ANY_OTHER.to_owned());
    all
}

/// A label below a wildcard that no route names.
pub(super) fn unnamed_label(old: &SurfaceTable<'_>, new: &SurfaceTable<'_>) -> String {
    let taken: BTreeSet<String> = old
        .claims()
        .chain(new.claims())
        .flat_map(|claim| claim.hosts.iter().map(ToString::to_string))
        .collect();
    let mut label = "any".to_owned();
    // Longer labels follow until no route names one, which is soon.
    while taken.iter().any(|host| host.split('.').any(|l| l == label)) {
        label.push('x');
    }
    label
}

fn method_words(of: &[&str], all: &[String]) -> String {
    if of.len() == all.len() {
        return "any method".to_owned();
    }
    let Some((&ANY_OTHER, named)) = of.split_last() else {
        return of.join(",");
    };
    // CONNECT and TRACE are left out, because a route takes them only if it names them.
    let left_out: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|m| *m != ANY_OTHER && !named.contains(m))
        .filter(|m| !matches!(*m, "CONNECT" | "TRACE"))
        .collect();
    match left_out.is_empty() {
        true => "any method".to_owned(),
        false => format!("any method but {}", left_out.join(",")),
    }
}

pub(super) fn host_words(host: &str) -> String {
    match host {
        "*" => "any host".to_owned(),
        host => format!("host {host}"),
    }
}

pub(super) fn route_words(names: &[&str]) -> String {
    match names {
        [one] => format!("route {one}"),
        many => format!("routes {}", many.join(", ")),
    }
}

/// A prefix with a star at its end, as people write it.
pub(super) fn path_words(path: &str) -> String {
    match path.ends_with('/') {
        true => format!("{path}*"),
        false => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
