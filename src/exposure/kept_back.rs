//! What a listener does not serve only because a narrower route, which does not name it, has it.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::diff::{Routes, host_words, path_words, places, route_words, unnamed_label};
use super::surface::Surface;

/// A host and a path that a wider route would take on a listener, if no narrower one had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptBack {
    pub listener: String,
    pub host: String,
    pub path: String,
    /// The narrower routes; none of them names the listener.
    pub by: Vec<String>,
    /// The wider ones, which would take it.
    pub from: Vec<String>,
}

impl fmt::Display for KeptBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            route_words(&names)
        };
        let (by, from) = (words(&self.by), words(&self.from));
        let (path, host) = (path_words(&self.path), host_words(&self.host));
        let Self { listener, .. } = self;
        write!(
            f,
            "{listener}: {path}, {host}, is 404: {by} is not on {listener}; without it {from} would take this"
        )
    }
}

/// Everything of the kind, by listener, host and path.
///
/// # Errors
/// A surface that no configuration could have.
pub fn kept_back(surface: &Surface) -> Result<Vec<KeptBack>, String> {
    let routes = Routes::new(surface)?;
    let alone = surface.listeners.keys().map(|name| {
        let mut alone = surface.clone();
        alone.routes.retain(|route| route.listeners.contains(name));
        (name.as_str(), alone)
    });
    let alone: HashMap<&str, Surface> = alone.collect();
    let alone: HashMap<&str, Routes<'_>> = alone
        .iter()
        .map(|(name, surface)| Ok((*name, Routes::new(surface)?)))
        .collect::<Result<_, String>>()?;
    let unnamed = unnamed_label(&routes, &routes);
    let mut found = Vec::new();
    for place in places(&routes, &routes) {
        let (host, path) = place.request(&unnamed);
        let by = routes.kept_back_by(&place.listener, host.as_deref(), &path);
        let Some(alone) = alone
            .get(place.listener.as_str())
            .filter(|_| !by.is_empty())
        else {
            continue;
        };
        let from = alone.claimed_by(host.as_deref(), &path);
        if !from.is_empty() {
            let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
            let (by, from) = (owned(by), owned(from));
            found.push(KeptBack {
                listener: place.listener,
                host: place.host,
                path: place.path,
                by,
                from,
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
            upstream: "orders".to_owned(),
            servers: Vec::new(),
            policy: "default".to_owned(),
            mode: "block".to_owned(),
            stream: None,
            pass_encoded_slashes: false,
        }
    }

    #[test]
    fn it_names_who_keeps_what_from_whom() {
        let bind = |name: &str| (name.to_owned(), Vec::new());
        let surface = Surface {
            listeners: BTreeMap::from([bind("public"), bind("internal")]),
            routes: vec![
                route("orders", "/orders/", &["public", "internal"]),
                route("admin", "/orders/admin/", &["internal"]),
                route("other", "/other/", &["internal"]),
            ],
        };
        let found: Vec<String> = kept_back(&surface)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = "public: /orders/admin/*, host a.test, is 404: route admin is not on public; without it route orders would take this";
        assert_eq!(found, [expected]);
    }
}
