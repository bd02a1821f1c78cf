//! What a route claims: host patterns, path patterns, methods and listeners.
//!
//! The table, the parsers of patterns and the configuration use these types; this file uses none of theirs.

use super::path::canonical;

/// What one route claims: every combination of its hosts and paths, for its methods, on its listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The hosts.
    pub hosts: Vec<HostPattern>,
    /// The paths.
    pub paths: Vec<PathPattern>,
    /// The methods.
    pub methods: MethodSet,
    /// The names of the listeners.
    pub listeners: Vec<String>,
}

/// Which hosts a route names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One host, in lower case, without a port and a trailing dot.
    Exact(String),
    /// `*.example.com` as `example.com`: names with one label more or several (as in the Gateway API; a certificate's
    /// `*.example.com` covers one label only).
    Wildcard(String),
    /// `*`: any host, or none.
    Any,
}

/// Which paths a route names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// This path alone; it does not end with a slash.
    Exact(String),
    /// Ends with a slash; matches itself, also without that slash, and every path below it.
    Prefix(String),
}

/// Which methods a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodSet {
    /// All but CONNECT and TRACE.
    Default,
    /// These, and HEAD if GET is one of them (RFC 9110, 9.1); case-sensitive.
    Only(Vec<String>),
    /// These and no other; case-sensitive.
    Exactly(Vec<String>),
}

impl Claim {
    /// Whether the route is on this listener.
    #[must_use]
    pub fn serves(&self, listener: &str) -> bool {
        self.listeners.iter().any(|name| name == listener)
    }

    /// A listener on which both would take the same method for a host and path that they share.
    pub(super) fn conflicting_listener(&self, other: &Self) -> Option<&str> {
        let shared = self.listeners.iter().find(|name| other.serves(name))?;
        // HEAD that a route only implies is no conflict: the route that names it goes first.
        self.methods.overlaps(&other.methods).then_some(shared)
    }
}

impl Claim {
    /// The part of this path that is below the longest prefix that the route names; empty if it names the path itself.
    /// Unreserved characters are decoded once, as for the choice of the route.
    #[must_use]
    pub fn below(&self, path: &[u8]) -> Vec<u8> {
        let path = canonical(path);
        let prefixes = self.paths.iter().filter_map(|pattern| match pattern {
            PathPattern::Prefix(prefix) => Some(prefix.as_bytes()),
            PathPattern::Exact(_) => None,
        });
        // An exact path goes before every prefix.
        let is_named = self.paths.iter().any(|pattern| match pattern {
            PathPattern::Exact(exact) => exact.as_bytes() == &*path,
            PathPattern::Prefix(_) => false,
        });
        let below = prefixes.filter_map(|prefix| path.strip_prefix(prefix));
        let below = below.min_by_key(|below| below.len()).filter(|_| !is_named);
        below.unwrap_or_default().to_vec()
    }
}

impl HostPattern {
    /// Whether a host in its normal form is one of these.
    #[must_use]
    pub fn takes(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(domain) => {
                let label = host.strip_suffix(domain.as_str());
                label.is_some_and(|label| label.len() > 1 && label.ends_with('.'))
            }
            Self::Any => true,
        }
    }
}

impl PathPattern {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path.as_bytes(),
        }
    }
}

impl MethodSet {
    // CONNECT asks for a tunnel, and TRACE for an echo of the request with its credentials.
    const NEVER_BY_DEFAULT: [&'static str; 2] = ["CONNECT", "TRACE"];
    /// The methods in an Allow header for [`MethodSet::Default`].
    const COMMON: [&'static str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    /// Whether the route names this method.
    #[must_use]
    pub fn contains(&self, method: &[u8]) -> bool {
        match self {
            Self::Default => !Self::NEVER_BY_DEFAULT
                .iter()
                .any(|m| m.as_bytes() == method),
            Self::Only(methods) | Self::Exactly(methods) => {
                methods.iter().any(|m| m.as_bytes() == method)
            }
        }
    }

    /// Whether the route takes this method if no route names it: HEAD, for a route that names GET.
    #[must_use]
    pub fn implies(&self, method: &[u8]) -> bool {
        matches!(self, Self::Only(_)) && method == b"HEAD" && self.contains(b"GET")
    }

    /// Whether there is a method that both name.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            // Both name GET, if nothing else.
            (Self::Default, Self::Default) => true,
            (Self::Only(methods) | Self::Exactly(methods), set)
            | (set, Self::Only(methods) | Self::Exactly(methods)) => {
                methods.iter().any(|m| set.contains(m.as_bytes()))
            }
        }
    }

    /// The methods to name in an Allow header.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let (common, only) = match self {
            Self::Default => (&Self::COMMON[..], &[][..]),
            Self::Only(methods) | Self::Exactly(methods) => (&[][..], methods.as_slice()),
        };
        let named = common.iter().copied();
        let named = named.chain(only.iter().map(String::as_str));
        named.flat_map(|name| {
            // Clients may use HEAD although the route does not name it, so Allow names it.
            let head = name == "GET" && self.implies(b"HEAD");
            [Some(name), head.then_some("HEAD")].into_iter().flatten()
        })
    }
}
