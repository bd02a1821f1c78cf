//! Random tables: what a listener can reach is what the most specific routes say, nothing more.

use super::super::claim::MethodSet;
use super::*;

const HOSTS: [&str; 4] = ["*", "*.test", "*.a.test", "x.a.test"];
const PATHS: [&str; 8] = [
    "/", "/a/", "/a/b/", "/a/b", "/a/b/c/", "/a/b/c", "/d/", "/d",
];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "PUT"];
const LISTENERS: [&str; 3] = ["public", "internal", "partners"];

/// xorshift64: the same tables each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    /// At least one of them.
    fn some(&mut self, of: &[&str]) -> Vec<String> {
        let first = self.below(of.len());
        let chosen = of.iter().enumerate();
        let chosen = chosen.filter(|(index, _)| *index == first || self.below(4) == 0);
        chosen.map(|(_, word)| (*word).to_owned()).collect()
    }

    fn claim(&mut self) -> Claim {
        Claim {
            hosts: self
                .some(&HOSTS)
                .iter()
                .map(|h| h.parse().unwrap())
                .collect(),
            paths: self
                .some(&PATHS)
                .iter()
                .map(|p| p.parse().unwrap())
                .collect(),
            methods: match self.below(4) {
                0 => MethodSet::Default,
                1 => MethodSet::Exactly(self.some(&METHODS)),
                _ => MethodSet::Only(self.some(&METHODS)),
            },
            listeners: self.some(&LISTENERS),
        }
    }
}

/// How specifically a pattern names a host; None where it does not.
fn host_rank(pattern: &HostPattern, host: &str) -> Option<usize> {
    match pattern {
        HostPattern::Exact(name) => (name == host).then_some(1000),
        HostPattern::Wildcard(name) => {
            let below = host.strip_suffix(name.as_str())?.ends_with('.');
            below.then_some(1 + name.len())
        }
        HostPattern::Any => Some(0),
    }
}

fn path_rank(pattern: &PathPattern, path: &str) -> Option<usize> {
    match pattern {
        PathPattern::Exact(name) => (name == path).then_some(1000),
        PathPattern::Prefix(name) => {
            let fits = path.starts_with(name.as_str()) || name.strip_suffix('/') == Some(path);
            fits.then_some(name.len())
        }
    }
}

/// The most specific pair by which a claim names this.
fn rank(claim: &Claim, host: &str, path: &str) -> Option<(usize, usize)> {
    let hosts = claim.hosts.iter().filter_map(|h| host_rank(h, host));
    let paths = || claim.paths.iter().filter_map(|p| path_rank(p, path));
    hosts.flat_map(|h| paths().map(move |p| (h, p))).max()
}

/// What is expected, from the words of the documentation alone: every route is looked at.
fn expected(
    routes: &[(Claim, usize)],
    listener: &str,
    host: &str,
    path: &str,
    method: &str,
) -> String {
    let best = routes
        .iter()
        .filter_map(|(claim, _)| rank(claim, host, path))
        .max();
    let here: Vec<_> = routes
        .iter()
        .filter(|(claim, _)| best.is_some() && rank(claim, host, path) == best)
        .filter(|(claim, _)| claim.listeners.iter().any(|l| l == listener))
        .collect();
    let named = |claim: &Claim| match &claim.methods {
        MethodSet::Default => true,
        MethodSet::Only(m) | MethodSet::Exactly(m) => m.iter().any(|m| m == method),
    };
    let implied = |claim: &Claim| match &claim.methods {
        MethodSet::Only(m) => method == "HEAD" && m.iter().any(|m| m == "GET"),
        _ => false,
    };
    let by_name = here.iter().find(|(claim, _)| named(claim));
    let found = by_name.or_else(|| here.iter().find(|(claim, _)| implied(claim)));
    match (found, here.is_empty()) {
        (Some((_, index)), _) => index.to_string(),
        (None, true) => "404".to_owned(),
        (None, false) => "405".to_owned(),
    }
}

#[test]
fn a_listener_reaches_what_the_most_specific_routes_say() {
    const ASKED_HOSTS: [&str; 4] = ["x.a.test", "y.a.test", "z.test", "other"];
    const ASKED_PATHS: [&str; 9] = [
        "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/b/c/x", "/d", "/d/x",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut shadowed, mut tables) = (0, 0);
    while tables < 400 {
        let claims = (0..2 + random.below(5)).map(|_| random.claim());
        let routes: Vec<(Claim, usize)> = claims.enumerate().map(|(i, c)| (c, i)).collect();
        let Ok(table) = RouteTable::new(routes.clone()) else {
            continue;
        };
        tables += 1;
        for listener in LISTENERS {
            let alone = routes.iter().filter(|(claim, _)| claim.serves(listener));
            let alone: Vec<_> = alone.cloned().collect();
            for host in ASKED_HOSTS {
                for path in ASKED_PATHS {
                    for method in METHODS {
                        let lookup = table.find(
                            listener,
                            Some(host.as_bytes()),
                            path.as_bytes(),
                            method.as_bytes(),
                        );
                        let found = match lookup {
                            Lookup::Found(index) => index.to_string(),
                            Lookup::MethodNotAllowed { .. } => "405".to_owned(),
                            Lookup::NotFound => "404".to_owned(),
                        };
                        let wanted = expected(&routes, listener, host, path, method);
                        assert_eq!(
                            found, wanted,
                            "{listener} {method} {host}{path}: {routes:#?}"
                        );
                        let wider = expected(&alone, listener, host, path, method);
                        shadowed += usize::from(found == "404" && wider != "404");
                    }
                }
            }
        }
    }
    assert!(shadowed > 1000, "{shadowed}");
}
