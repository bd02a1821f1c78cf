//! Finds paths that a listener answers with 404 only because the most specific route for them does not name the
//! listener.
//!
//! That is how routes work: a more specific route decides on every listener, so that an internal path is not reached
//! from outside through a less specific route. But if a route lacks a listener by mistake, no other report explains the
//! 404. `check` lists these paths.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::diff::{SurfaceTable, host_words, path_words, probes, route_words, unnamed_label};
use super::surface::{Surface, SurfaceError};

/// A host and a path that a less specific route would serve on a listener if no more specific route shadowed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowedPath {
    /// The listener's name.
    pub listener: String,
    /// The host pattern, as the route writes it.
    pub host: String,
    /// The path, as the route writes it.
    pub path: String,
    /// The names of the more specific routes; none of them names the listener.
    #[serde(rename = "by")]
    pub shadowing: Vec<String>,
    /// The names of the less specific routes, which would serve it.
    #[serde(rename = "from")]
    pub shadowed: Vec<String>,
}

impl fmt::Display for ShadowedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            route_words(&names)
        };
        let (shadowing, shadowed) = (words(&self.shadowing), words(&self.shadowed));
        let (path, host) = (path_words(&self.path), host_words(&self.host));
        let Self { listener, .. } = self;
        write!(
            f,
            "{listener}: {path}, {host}, returns 404: {shadowing} is more specific and not on {listener}; otherwise {shadowed} would serve it"
        )
    }
}

/// Every shadowed path, by listener, host and path.
///
/// # Errors
/// No configuration could have this surface.
pub fn shadowed_paths(surface: &Surface) -> Result<Vec<ShadowedPath>, SurfaceError> {
    let table = SurfaceTable::new(surface)?;
    // What each listener would serve if its own routes were all there are.
    let alone = surface.listeners.keys().map(|name| {
        let mut alone = surface.clone();
        alone.routes.retain(|route| route.listeners.contains(name));
        (name.as_str(), alone)
    });
    let alone: HashMap<&str, Surface> = alone.collect();
    let alone: HashMap<&str, SurfaceTable<'_>> = alone
        .iter()
        .map(|(name, surface)| Ok((*name, SurfaceTable::new(surface)?)))
        .collect::<Result<_, SurfaceError>>()?;
    let unnamed = unnamed_label(&table, &table);
    let mut found = Vec::new();
    for probe in probes(&table, &table) {
        let (host, path) = probe.request(&unnamed);
        let shadowing = table.shadowing_routes(&probe.listener, host.as_deref(), &path);
        let Some(alone) = alone
            .get(probe.listener.as_str())
            .filter(|_| !shadowing.is_empty())
        else {
            continue;
        };
        let shadowed = alone.most_specific_routes(host.as_deref(), &path);
        if !shadowed.is_empty() {
            let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
            let (shadowing, shadowed) = (owned(shadowing), owned(shadowed));
            found.push(ShadowedPath {
                listener: probe.listener,
                host: probe.host,
                path: probe.path,
                shadowing,
                shadowed,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::exposure::surface::SurfaceRoute;

    fn route(name: &str, path: &str, listeners: &[&str]) -> SurfaceRoute {
        SurfaceRoute {
            name: name.to_owned(),
            hosts: vec!["a.test".to_owned()],
            paths: vec![path.to_owned()],
            methods: None,
            head_refused: false,
            listeners: listeners.iter().map(|&name| name.to_owned()).collect(),
            exposures: BTreeMap::new(),
            path_regex: None,
            cors: None,
            rewrite: None,
            own_answer: None,
            upstream: "orders".to_owned(),
            servers: Vec::new(),
            policy: "default".to_owned(),
            mode: "block".to_owned(),
            stream: None,
            pass_encoded_slashes: false,
            identity: BTreeMap::new(),
            limits: BTreeMap::new(),
        }
    }

    #[test]
    fn a_shadowed_path_names_both_routes() {
        let bind = |name: &str| (name.to_owned(), Vec::new());
        let surface = Surface {
            listeners: BTreeMap::from([bind("public"), bind("internal")]),
            routes: vec![
                route("orders", "/orders/", &["public", "internal"]),
                route("admin", "/orders/admin/", &["internal"]),
                route("other", "/other/", &["internal"]),
            ],
            key_sets: BTreeMap::new(),
        };
        let found: Vec<String> = shadowed_paths(&surface)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = "public: /orders/admin/*, host a.test, returns 404: route admin is more specific and not on public; otherwise route orders would serve it";
        assert_eq!(found, [expected]);
    }
}
