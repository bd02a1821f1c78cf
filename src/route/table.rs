//! The index behind [`RouteTable::find`]: hash maps and a tree of segments, linear in the request.

use std::collections::{HashMap, HashSet};

use super::path::{self, PathRefusal};
use super::{Claim, HostPattern, Lookup, PathPattern, host};

/// All routes of a front door, ready to be asked. `T` is what a route leads to.
#[derive(Debug)]
pub struct RouteTable<T> {
    routes: Vec<(Claim, T)>,
    hosts: Hosts,
    /// What one host and path lead to: routes that share no method on a listener; never empty.
    places: Vec<Vec<usize>>,
}

/// An index into `places`.
type Place = usize;

#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<Box<[u8]>, Paths>,
    /// By the part after `*.`.
    wildcard: HashMap<Box<[u8]>, Paths>,
    any: Option<Paths>,
}

/// The paths of one host: as they are matched, and as the most lenient of servers might read them.
#[derive(Debug, Default)]
struct Paths {
    /// Of the routes that name this host.
    listeners: HashSet<String>,
    strict: PathIndex<Place>,
    /// Several patterns can be one to a lenient reader.
    loose: PathIndex<Vec<Place>>,
}

#[derive(Debug)]
struct PathIndex<V> {
    exact: HashMap<Box<[u8]>, Option<V>>,
    prefixes: Node<V>,
}

/// A prefix by its segments; the root is `/`.
#[derive(Debug)]
struct Node<V> {
    value: Option<V>,
    children: HashMap<Box<[u8]>, Node<V>>,
}

impl<T> RouteTable<T> {
    /// # Errors
    /// Pairs of indexes of routes that claim the same thing, and what it is.
    pub fn new(routes: Vec<(Claim, T)>) -> Result<Self, Vec<(usize, usize, String)>> {
        let mut table = Self {
            hosts: Hosts::default(),
            places: Vec::new(),
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

    fn add(
        &mut self,
        index: usize,
        claims: &[&Claim],
        duplicates: &mut Vec<(usize, usize, String)>,
    ) {
        let claim = claims[index];
        let mut told = HashSet::new();
        for host in &claim.hosts {
            let paths = self.hosts.entry(host);
            paths.listeners.extend(claim.listeners.iter().cloned());
            for path in &claim.paths {
                let place = paths.place(path, &mut self.places);
                let routes = &mut self.places[place];
                if routes.contains(&index) {
                    continue;
                }
                let rival = routes
                    .iter()
                    .find_map(|&other| Some((other, claims[other].rivalry(claim)?)));
                match rival {
                    Some((other, listener)) if told.insert(other) => duplicates.push((
                        other,
                        index,
                        format!("host \"{host}\", path \"{path}\" on listener \"{listener}\""),
                    )),
                    _ => routes.push(index),
                }
            }
        }
    }

    /// The most specific route: exact host before wildcard before any, exact path before the longest prefix.
    /// It decides also where it does not name this listener: then nothing is found.
    ///
    /// `host` is the Host header's or authority's value as received; `path` the path as received (without query).
    /// Matching decodes unreserved characters once and no more. A path that [`RouteTable::check_path`]
    /// refuses still selects the route under whose policy it is inspected before it is refused.
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

    /// Like [`RouteTable::find`], where a route that is not `reachable` now is found by its own methods,
    /// but does not stand behind the answer to another method.
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
        let by_name = candidates().find(|(c, _)| c.methods.contains(method));
        let found = by_name.or_else(|| candidates().find(|(c, _)| c.methods.implies(method)));
        if let Some((_, target)) = found {
            return Lookup::Found(target);
        }
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

    /// The routes that claim this host and path most specifically, whatever their methods and listeners.
    pub fn claimants(&self, host: Option<&[u8]>, path: &[u8]) -> impl Iterator<Item = &(Claim, T)> {
        let place = self.place(host, path);
        let routes = place.and_then(|place| self.places.get(place));
        let routes = routes.into_iter().flatten();
        routes.filter_map(|&index| self.routes.get(index))
    }

    /// Whether this path may go to the upstream of the route that it selected.
    ///
    /// Refuses what [`path::check`] refuses, and a spelling that a lenient server could read as the path
    /// of another route (`/a//b/`, `/a/b;x/`, `/a/B/` or `/a/%2562/` where `/a/` and `/a/b/` are two routes).
    ///
    /// # Errors
    /// Why it is answered 400.
    pub fn check_path(
        &self,
        host: Option<&[u8]>,
        path: &[u8],
        pass_encoded_slashes: bool,
    ) -> Result<(), PathRefusal> {
        path::check(path, pass_encoded_slashes)?;
        let readings = path::lenient_readings(path);
        let Some(place) = self.place(host, path).filter(|_| !readings.is_empty()) else {
            return Ok(());
        };
        for reading in readings {
            let places = self.lookup(host, |paths| paths.loose.find_all(&reading));
            if places.is_some_and(|places| !places.contains(&place)) {
                return Err(PathRefusal::AMBIGUOUS);
            }
        }
        Ok(())
    }

    /// Whether any route of this listener names this host.
    #[must_use]
    pub fn knows_host(&self, listener: &str, host: Option<&[u8]>) -> bool {
        let named = |paths: &Paths| paths.listeners.contains(listener).then_some(());
        self.lookup(host, named).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = &(Claim, T)> {
        self.routes.iter()
    }

    fn place(&self, host: Option<&[u8]>, path: &[u8]) -> Option<Place> {
        let path = path::canonical(path);
        self.lookup(host, |paths| paths.strict.find(&path)).copied()
    }

    /// Asks the paths of every host pattern that fits, most specific first.
    fn lookup<'t, R>(
        &'t self,
        host: Option<&[u8]>,
        ask: impl Fn(&'t Paths) -> Option<R>,
    ) -> Option<R> {
        let hosts = &self.hosts;
        let mut buffer = [0; 253];
        let name = host.and_then(|raw| host::normalize_into(raw, &mut buffer));
        if let Some(name) = name {
            if let Some(found) = hosts.exact.get(name).and_then(&ask) {
                return Some(found);
            }
            // The name is at most 253 bytes long, so this is a small constant.
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
    fn entry(&mut self, pattern: &HostPattern) -> &mut Paths {
        match pattern {
            HostPattern::Exact(name) => self.exact.entry(name.as_bytes().into()).or_default(),
            HostPattern::Wildcard(name) => self.wildcard.entry(name.as_bytes().into()).or_default(),
            HostPattern::Any => self.any.get_or_insert_default(),
        }
    }
}

impl Paths {
    fn place(&mut self, pattern: &PathPattern, places: &mut Vec<Vec<usize>>) -> Place {
        let canonical = path::canonical(pattern.as_bytes());
        let slot = self.strict.entry(pattern, &canonical);
        if let Some(place) = *slot {
            return place;
        }
        let place = places.len();
        places.push(Vec::new());
        *slot = Some(place);
        let readings = path::lenient_readings(&canonical);
        let only_one = readings.is_empty().then(|| canonical.to_vec());
        for reading in readings.into_iter().chain(only_one) {
            let key = without_last_slash(&reading);
            self.loose
                .entry(pattern, key)
                .get_or_insert_default()
                .push(place);
        }
        place
    }
}

impl<V> PathIndex<V> {
    /// The value at this key, to be read or set.
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

    /// An exact path before the longest prefix; a prefix has what is below it, and itself without its last slash.
    fn find(&self, path: &[u8]) -> Option<&V> {
        if !path.starts_with(b"/") {
            return None;
        }
        let exact = self.exact.get(path).and_then(Option::as_ref);
        exact.or_else(|| self.longest_prefix(path).map(|(value, _)| value))
    }

    /// And whether it is all of the path.
    fn longest_prefix(&self, path: &[u8]) -> Option<(&V, bool)> {
        let mut node = &self.prefixes;
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

impl PathIndex<Vec<Place>> {
    /// Everything that a reader who makes nothing of a last slash could take this for.
    fn find_all(&self, reading: &[u8]) -> Option<Vec<Place>> {
        let path = without_last_slash(reading);
        let exact = self.exact.get(path).and_then(Option::as_ref);
        let prefix = self.longest_prefix(path);
        let prefix = prefix.filter(|(_, whole)| *whole || exact.is_none());
        let places = exact.into_iter().chain(prefix.map(|(places, _)| places));
        let places: Vec<Place> = places.flatten().copied().collect();
        (!places.is_empty()).then_some(places)
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

/// `a`, `b` of `/a/b` and of `/a/b/`.
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
#[path = "table_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "table_properties.rs"]
mod properties;
