//! The table that finds a request's route: hash maps by host, and a tree of path segments.
//!
//! A lookup takes time linear in the request's host and path, whatever the number of routes. The table is built once
//! and never changed. Which route decides does not depend on the order of the routes.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::collections::{HashMap, HashSet};

use super::claim::{Claim, HostPattern, PathPattern};
use super::host;
use super::path::{self, PathRefusal};

/// All routes of a front door, ready to be asked. `T` is what a route leads to.
#[derive(Debug)]
pub struct RouteTable<T> {
    routes: Vec<(Claim, T)>,
    hosts: Hosts,
    /// The routes of one host and path, as indexes into `routes`. They share no method on a listener; never empty.
    groups: Vec<Vec<usize>>,
}

/// Two routes claim the same host, path and method on a listener. The configuration erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateClaim {
    /// The index of the route that claims it first.
    pub first: usize,
    /// The index of the other route.
    pub second: usize,
    /// The host, path and listener, in words.
    pub claimed: String,
}

/// What a request selects.
#[derive(Debug)]
pub enum Lookup<'t, T> {
    /// The route that serves it.
    Found(&'t T),
    /// The listener has routes for this host and path, but none for the method: 405.
    MethodNotAllowed {
        /// The value of the Allow header field.
        allow: String,
        /// A route for this host and path, under whose policy the request is inspected.
        nearest: &'t T,
    },
    /// The listener has no route for this host and path: 404.
    NotFound,
}

/// An index into `groups`.
type GroupIndex = usize;

#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<Box<[u8]>, HostPaths>,
    /// By the part after `*.`.
    wildcard: HashMap<Box<[u8]>, HostPaths>,
    any: Option<HostPaths>,
}

/// The paths of one host pattern: as they are matched, and as the most lenient servers might read them.
#[derive(Debug, Default)]
struct HostPaths {
    /// The listeners of the routes that name this host.
    listeners: HashSet<String>,
    strict: PathIndex<GroupIndex>,
    /// Several patterns can be the same path to a lenient server, so each value is a list.
    loose: PathIndex<Vec<GroupIndex>>,
}

#[derive(Debug)]
struct PathIndex<V> {
    exact: HashMap<Box<[u8]>, Option<V>>,
    prefixes: Node<V>,
}

/// A node of the tree of prefixes, one segment below its parent; the root is `/`.
#[derive(Debug)]
struct Node<V> {
    value: Option<V>,
    children: HashMap<Box<[u8]>, Self>,
}

impl<T> RouteTable<T> {
    /// A table of these routes, each with what it leads to.
    ///
    /// # Errors
    /// Every claim that two routes make.
    pub fn new(routes: Vec<(Claim, T)>) -> Result<Self, Vec<DuplicateClaim>> {
        let mut table = Self {
            hosts: Hosts::default(),
            groups: Vec::new(),
            routes: Vec::new(),
        };
        let claims: Vec<&Claim> = routes.iter().map(|(claim, _)| claim).collect();
        let mut duplicates = Vec::new();
        for index in 0..claims.len() {
            table.add(index, &claims, &mut duplicates);
        }
        if !duplicates.is_empty() {
            return Err(duplicates);
        }
        table.routes = routes;
        Ok(table)
    }

    fn add(&mut self, index: usize, claims: &[&Claim], duplicates: &mut Vec<DuplicateClaim>) {
        let claim = claims[index];
        // Two routes that share many paths are reported once.
        let mut reported = HashSet::new();
        for host in &claim.hosts {
            let paths = self.hosts.entry(host);
            paths.listeners.extend(claim.listeners.iter().cloned());
            for path in &claim.paths {
                let group = paths.group(path, &mut self.groups);
                let routes = &mut self.groups[group];
                // A route may name the same host and path twice, in different spellings.
                if routes.contains(&index) {
                    continue;
                }
                let conflict = routes
                    .iter()
                    .find_map(|&other| Some((other, claims[other].conflicting_listener(claim)?)));
                match conflict {
                    Some((other, listener)) if reported.insert(other) => {
                        let claimed =
                            format!("host \"{host}\", path \"{path}\" on listener \"{listener}\"");
                        duplicates.push(DuplicateClaim {
                            first: other,
                            second: index,
                            claimed,
                        });
                    }
                    // A table with duplicates is thrown away, so what it lists does not matter.
                    _ => routes.push(index),
                }
            }
        }
    }

    /// The most specific route: an exact host before a wildcard before any host, an exact path before the longest
    /// prefix. It decides even if it does not name this listener: then nothing is found.
    ///
    /// `host` is the value of the Host header field or the authority as received; `path` the path as received, without
    /// the query. Unreserved characters are decoded once. A path that [`RouteTable::check_path`] refuses still selects
    /// a route: the request is inspected under its policy before it is refused.
    #[must_use]
    pub fn find(
        &self,
        listener: &str,
        host: Option<&[u8]>,
        path: &[u8],
        method: &[u8],
    ) -> Lookup<'_, T> {
        self.find_among(listener, host, path, method, |_| true)
    }

    /// Like [`RouteTable::find`], but the Allow header field of a 405 names no methods of routes that are not
    /// `reachable` now, if there are others. For its own methods such a route is found nevertheless.
    #[must_use]
    pub fn find_among(
        &self,
        listener: &str,
        host: Option<&[u8]>,
        path: &[u8],
        method: &[u8],
        reachable: impl Fn(&T) -> bool,
    ) -> Lookup<'_, T> {
        let candidates = || {
            let claimants = self.claimants(host, path);
            claimants.filter(|(claim, _)| claim.serves(listener))
        };
        // A route that names HEAD goes before one that implies it because it names GET.
        let by_name = candidates().find(|(c, _)| c.methods.contains(method));
        let found = by_name.or_else(|| candidates().find(|(c, _)| c.methods.implies(method)));
        if let Some((_, target)) = found {
            return Lookup::Found(target);
        }
        // No route takes the method. The answer names reachable routes if there are any, so that it does not reveal
        // what is switched off.
        let usable = || candidates().filter(|(_, target)| reachable(target));
        let Some((_, nearest)) = usable().chain(candidates()).next() else {
            return Lookup::NotFound;
        };
        let mut allow: Vec<&str> = Vec::new();
        for name in usable().flat_map(|(claim, _)| claim.methods.names()) {
            if !allow.contains(&name) {
                allow.push(name);
            }
        }
        Lookup::MethodNotAllowed {
            allow: allow.join(", "),
            nearest,
        }
    }

    /// The most specific routes for this host and path, whatever their methods and listeners.
    pub fn claimants(&self, host: Option<&[u8]>, path: &[u8]) -> impl Iterator<Item = &(Claim, T)> {
        let group = self.group(host, path);
        let routes = group.and_then(|group| self.groups.get(group));
        let routes = routes.into_iter().flatten();
        routes.filter_map(|&index| self.routes.get(index))
    }

    /// Whether this path may go to the upstream of the route that it selected.
    ///
    /// Refuses what [`path::check`] refuses, and a spelling that a lenient server could read as the path of another
    /// route (`/a//b/`, `/a/b;x/`, `/a/B/` or `/a/%2562/` if `/a/` and `/a/b/` are two routes).
    ///
    /// # Errors
    /// Why the request is answered with 400.
    pub fn check_path(
        &self,
        host: Option<&[u8]>,
        path: &[u8],
        pass_encoded_slashes: bool,
    ) -> Result<(), PathRefusal> {
        path::check(path, pass_encoded_slashes)?;
        let readings = path::lenient_readings(path);
        let Some(group) = self.group(host, path).filter(|_| !readings.is_empty()) else {
            return Ok(());
        };
        // A reading that finds no route does no harm: no listener would serve it.
        for reading in readings {
            let groups = self.lookup(host, |paths| paths.loose.find_all(&reading));
            if groups.is_some_and(|groups| !groups.contains(&group)) {
                return Err(PathRefusal::AMBIGUOUS);
            }
        }
        Ok(())
    }

    /// Whether any route of this listener names this host.
    #[must_use]
    pub fn knows_host(&self, listener: &str, host: Option<&[u8]>) -> bool {
        let named = |paths: &HostPaths| paths.listeners.contains(listener).then_some(());
        self.lookup(host, named).is_some()
    }

    /// All routes, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &(Claim, T)> {
        self.routes.iter()
    }

    fn group(&self, host: Option<&[u8]>, path: &[u8]) -> Option<GroupIndex> {
        let path = path::canonical(path);
        self.lookup(host, |paths| paths.strict.find(&path)).copied()
    }

    /// Asks the paths of every host pattern that matches, the most specific first.
    fn lookup<'t, R>(
        &'t self,
        host: Option<&[u8]>,
        ask: impl Fn(&'t HostPaths) -> Option<R>,
    ) -> Option<R> {
        let hosts = &self.hosts;
        let mut buffer = [0; 253];
        let name = host.and_then(|raw| host::normalize_into(raw, &mut buffer));
        if let Some(name) = name {
            // A host without a route for this path decides nothing: the next pattern is asked.
            if let Some(found) = hosts.exact.get(name).and_then(&ask) {
                return Some(found);
            }
            // A name is at most 253 bytes long, so this takes few rounds.
            let mut rest = name;
            while let Some(dot) = rest.iter().position(|&b| b == b'.') {
                rest = &rest[dot + 1..];
                if let Some(found) = hosts.wildcard.get(rest).and_then(&ask) {
                    return Some(found);
                }
            }
        }
        hosts.any.as_ref().and_then(ask)
    }
}

impl Hosts {
    fn entry(&mut self, pattern: &HostPattern) -> &mut HostPaths {
        match pattern {
            HostPattern::Exact(name) => self.exact.entry(name.as_bytes().into()).or_default(),
            HostPattern::Wildcard(name) => self.wildcard.entry(name.as_bytes().into()).or_default(),
            HostPattern::Any => self.any.get_or_insert_default(),
        }
    }
}

impl HostPaths {
    fn group(&mut self, pattern: &PathPattern, groups: &mut Vec<Vec<usize>>) -> GroupIndex {
        let canonical = path::canonical(pattern.as_bytes());
        let slot = self.strict.entry(pattern, &canonical);
        if let Some(group) = *slot {
            return group;
        }
        let group = groups.len();
        groups.push(Vec::new());
        *slot = Some(group);
        // Indexed under each reading, so that a request's reading finds every pattern it could mean.
        let readings = path::lenient_readings(&canonical);
        let only_one = readings.is_empty().then(|| canonical.to_vec());
        for reading in readings.into_iter().chain(only_one) {
            // A lenient server may ignore that slash; `find_all` looks without it too.
            let key = without_last_slash(&reading);
            self.loose
                .entry(pattern, key)
                .get_or_insert_default()
                .push(group);
        }
        group
    }
}

impl<V> PathIndex<V> {
    /// The value for this key, to read or to set.
    fn entry(&mut self, pattern: &PathPattern, key: &[u8]) -> &mut Option<V> {
        match pattern {
            PathPattern::Exact(_) => self.exact.entry(key.into()).or_default(),
            PathPattern::Prefix(_) => {
                let mut node = &mut self.prefixes;
                for segment in segments(key) {
                    node = node.children.entry(segment.into()).or_default();
                }
                &mut node.value
            }
        }
    }

    /// An exact path goes before the longest prefix. A prefix matches what is below it, and itself without its last
    /// slash.
    fn find(&self, path: &[u8]) -> Option<&V> {
        // The target of `OPTIONS *` is no path: it must not reach a route for `/`.
        if !path.starts_with(b"/") {
            return None;
        }
        let exact = self.exact.get(path).and_then(Option::as_ref);
        exact.or_else(|| self.longest_prefix(path).map(|(value, _)| value))
    }

    /// The value of the longest prefix, and whether the prefix is the whole path.
    fn longest_prefix(&self, path: &[u8]) -> Option<(&V, bool)> {
        let mut node = &self.prefixes;
        // On the way down the tree, the last prefix that is found is the longest.
        let mut best = node.value.as_ref().map(|value| (value, true));
        for segment in segments(path) {
            best = best.map(|(value, _)| (value, false));
            let Some(child) = node.children.get(segment) else {
                break;
            };
            node = child;
            best = node.value.as_ref().map(|value| (value, true)).or(best);
        }
        best
    }
}

impl PathIndex<Vec<GroupIndex>> {
    /// Every group that a server could mean by this if it ignores a last slash.
    fn find_all(&self, reading: &[u8]) -> Option<Vec<GroupIndex>> {
        let path = without_last_slash(reading);
        let exact = self.exact.get(path).and_then(Option::as_ref);
        let prefix = self.longest_prefix(path);
        // A shorter prefix counts only if no exact path has this reading; otherwise the exact one would win there too.
        let prefix = prefix.filter(|(_, whole)| *whole || exact.is_none());
        let groups = exact.into_iter().chain(prefix.map(|(groups, _)| groups));
        let groups: Vec<GroupIndex> = groups.flatten().copied().collect();
        (!groups.is_empty()).then_some(groups)
    }
}

impl<V> Default for PathIndex<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            prefixes: Node::default(),
        }
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self {
            value: None,
            children: HashMap::new(),
        }
    }
}

/// The segments `a` and `b` of `/a/b` and of `/a/b/`.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inner = path.strip_prefix(b"/").unwrap_or(path);
    let inner = without_last_slash(inner);
    let segments = (!inner.is_empty()).then(|| inner.split(|&b| b == b'/'));
    segments.into_iter().flatten()
}

fn without_last_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
