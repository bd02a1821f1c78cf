//! What becomes reachable from one configuration to the next, in words.
//!
//! Every host and path that either of them names is asked of both, as a request would: what a route
//! leaves to another when it goes, or takes from another when it comes, is seen as well; also where it does
//! not name the listener itself and only keeps a wider route from it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use serde::Serialize;

use super::surface::{Surface, SurfaceRoute};
use crate::route::{Claim, Lookup, MethodSet, RouteTable};

/// Stands for every method that nobody names.
const ANY_OTHER: &str = "X-ANY-OTHER";
const COMMON: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    pub kind: ChangeKind,
    pub listener: String,
    /// What it says behind the sign.
    pub words: String,
    /// Something becomes reachable that no exposure names.
    pub unowned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        write!(f, "{sign} {}: {}", self.listener, self.words)
    }
}

/// A host and a path on a listener, as some route names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Asked only because a wider host has this path. These come last.
    inherited: bool,
    pub listener: String,
    pub host: String,
    pub path: String,
}

/// Where a request ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target<'s> {
    route: &'s SurfaceRoute,
    listener: &'s str,
}

pub(super) struct Routes<'s> {
    surface: &'s Surface,
    /// What a route leads to is its index.
    table: RouteTable<usize>,
}

/// Everything that differs, by listener, host and path.
///
/// # Errors
/// A surface that no configuration could have.
pub fn diff(old: &Surface, new: &Surface) -> Result<Vec<Change>, String> {
    let (old, new) = (Routes::new(old)?, Routes::new(new)?);
    let methods = methods(&old, &new);
    let unnamed = unnamed_label(&old, &new);
    let mut changes = listeners(old.surface, new.surface);
    let mut told: HashSet<(String, Option<String>, Option<String>)> = HashSet::new();
    for place in places(&old, &new) {
        let (host, path) = place.request(&unnamed);
        let mut groups: Vec<(Option<Target<'_>>, Option<Target<'_>>, Vec<&str>)> = Vec::new();
        for method in &methods {
            let before = old.find(&place.listener, host.as_deref(), &path, method);
            let after = new.find(&place.listener, host.as_deref(), &path, method);
            let known = groups
                .iter_mut()
                .find(|(b, a, _)| same(*b, before) && same(*a, after));
            match known {
                Some((.., methods)) => methods.push(method),
                None => groups.push((before, after, vec![method])),
            }
        }
        for (before, after, of) in groups {
            let names = |target: Option<Target<'_>>| target.map(|t| t.route.name.clone());
            let ends = (place.listener.clone(), names(before), names(after));
            let first = told.insert(ends);
            if place.inherited && !first {
                continue;
            }
            let what = format!(
                "{} {}",
                method_words(&of, &methods),
                path_words(&place.path)
            );
            changes.extend(change(&place, &what, before, after).map(|mut change| {
                let (listener, host) = (&place.listener, host.as_deref());
                let (verb, by) = match change.kind {
                    ChangeKind::Added => ("kept", old.kept_back_by(listener, host, &path)),
                    ChangeKind::Removed => ("keeps", new.kept_back_by(listener, host, &path)),
                    ChangeKind::Changed => ("", Vec::new()),
                };
                if !by.is_empty() {
                    change.words += &format!("; {} {verb} it back", route_words(&by));
                }
                change
            }));
        }
    }
    Ok(changes)
}

fn change(
    place: &Place,
    what: &str,
    before: Option<Target<'_>>,
    after: Option<Target<'_>>,
) -> Option<Change> {
    let host = host_words(&place.host);
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
        (Some(target), None) => (
            ChangeKind::Removed,
            format!("{what} -> {}, {host}", target.words()),
            false,
        ),
        (Some(before), Some(after)) => {
            let differences = before.differences(&after);
            if differences.is_empty() {
                return None;
            }
            (
                ChangeKind::Changed,
                format!("{what}, {host}: {}", differences.join(", ")),
                before.leads_elsewhere(&after) && after.owner().is_none(),
            )
        }
    };
    Some(Change {
        kind,
        listener: place.listener.clone(),
        words,
        unowned,
    })
}

/// Addresses from which routes can be reached that were there before too; the routes of a listener that
/// comes or goes are told one by one.
fn listeners(old: &Surface, new: &Surface) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, after) in &new.listeners {
        let Some(before) = old.listeners.get(name) else {
            continue;
        };
        let serves = |route: &&SurfaceRoute| route.listeners.contains(name);
        let unowned = new
            .routes
            .iter()
            .filter(serves)
            .any(|route| !route.exposures.contains_key(name));
        let change = |kind, words: String, unowned| Change {
            kind,
            listener: name.clone(),
            words,
            unowned,
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

impl<'s> Routes<'s> {
    pub(super) fn new(surface: &'s Surface) -> Result<Self, String> {
        let routes = surface.routes.iter().enumerate();
        let routes = routes.map(|(index, route)| Ok((route.claim()?, index)));
        let table = RouteTable::new(routes.collect::<Result<_, String>>()?);
        let table = table.map_err(|_| "two routes claim the same".to_owned())?;
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

    /// The routes that claim this most specifically, where none of them names the listener: there it is 404,
    /// whatever wider routes there are.
    pub(super) fn kept_back_by(
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
        self.claimed_by(host, path)
    }

    /// The routes that claim this most specifically, by name.
    pub(super) fn claimed_by(&self, host: Option<&str>, path: &str) -> Vec<&'s str> {
        let host = host.map(str::as_bytes);
        let claimants = self.table.claimants(host, path.as_bytes());
        let routes = claimants.filter_map(|(_, index)| self.surface.routes.get(*index));
        routes.map(|route| route.name.as_str()).collect()
    }

    fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.table.iter().map(|(claim, _)| claim)
    }
}

impl Place {
    /// The host and path of a request that falls under this and nothing more special than it.
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

    fn words(&self) -> String {
        let SurfaceRoute {
            upstream, policy, ..
        } = self.route;
        let mode = match self.route.mode.as_str() {
            "block" => String::new(),
            mode => format!(" (mode {mode})"),
        };
        let stream = match &self.route.stream {
            Some(stream) => format!(", {stream} stream"),
            None => String::new(),
        };
        format!("{upstream}, policy {policy}{mode}{stream}")
    }

    fn owner_words(&self) -> String {
        match (self.exposure(), self.owner()) {
            (Some(exposure), Some(owner)) => format!("exposure {exposure}, owner {owner}"),
            _ => "no owner".to_owned(),
        }
    }

    /// Whether other servers get what comes.
    fn leads_elsewhere(&self, after: &Self) -> bool {
        let known = &self.route.servers;
        let moved = after.route.servers.iter().any(|s| !known.contains(s));
        moved || self.route.upstream != after.route.upstream
    }

    fn differences(&self, after: &Self) -> Vec<String> {
        let (a, b) = (self.route, after.route);
        let none = || "none".to_owned();
        let slashes = |pass| if pass { "pass" } else { "refuse" }.to_owned();
        let mut differences = Vec::new();
        for (what, old, new) in [
            ("upstream", a.upstream.clone(), b.upstream.clone()),
            ("servers", a.servers.join(" "), b.servers.join(" ")),
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

/// Whether two methods need not be told apart.
fn same(a: Option<Target<'_>>, b: Option<Target<'_>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => std::ptr::eq(a.route, b.route),
        _ => false,
    }
}

/// Each place that a route of either names, on every listener, and for each host the paths that wider hosts
/// have: a route that goes uncovers them.
pub(super) fn places(old: &Routes<'_>, new: &Routes<'_>) -> BTreeSet<Place> {
    let mut hosts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut listeners: BTreeSet<&str> = BTreeSet::new();
    for claim in old.claims().chain(new.claims()) {
        listeners.extend(claim.listeners.iter().map(String::as_str));
        for host in &claim.hosts {
            let paths = hosts.entry(host.to_string()).or_default();
            paths.extend(claim.paths.iter().map(ToString::to_string));
        }
    }
    let mut places = BTreeSet::new();
    for (host, own) in &hosts {
        let wider = hosts.iter().filter(|(wider, _)| covers(wider, host));
        let inherited = wider
            .flat_map(|(_, paths)| paths)
            .filter(|p| !own.contains(*p));
        let own = own.iter().map(|path| (false, path));
        for (inherited, path) in own.chain(inherited.map(|path| (true, path))) {
            places.extend(listeners.iter().map(|listener| Place {
                inherited,
                listener: (*listener).to_owned(),
                host: host.clone(),
                path: path.clone(),
            }));
        }
    }
    places
}

/// Whether requests for `host` that nothing there takes are asked of `wider` next.
fn covers(wider: &str, host: &str) -> bool {
    match wider.strip_prefix('*') {
        Some("") => host != "*",
        Some(domain) => host != wider && host.ends_with(domain),
        None => false,
    }
}

/// Every method that makes a difference.
fn methods(old: &Routes<'_>, new: &Routes<'_>) -> Vec<String> {
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
    all.push(ANY_OTHER.to_owned());
    all
}

/// A label below a wildcard that no route names.
pub(super) fn unnamed_label(old: &Routes<'_>, new: &Routes<'_>) -> String {
    let taken: BTreeSet<String> = old
        .claims()
        .chain(new.claims())
        .flat_map(|claim| claim.hosts.iter().map(ToString::to_string))
        .collect();
    let mut label = "any".to_owned();
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
    // All but the few that go another way, or CONNECT and TRACE, which only a name allows.
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

/// A prefix with the star that people expect of one.
pub(super) fn path_words(path: &str) -> String {
    match path.ends_with('/') {
        true => format!("{path}*"),
        false => path.to_owned(),
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
