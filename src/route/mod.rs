//! host + path + method -> route, and route + listener -> exposure. Pure: it knows neither the configuration nor what a route leads to.
//!
//! A request selects the most specific route whatever the order of the file: an exact host before the
//! longest wildcard before `*`, then an exact path before the longest prefix. What is more specific wins
//! even if its methods do not fit: then the answer is 405, not a less specific route. It wins even if it
//! does not name the listener: then the answer is 404, so that what is kept inside is not reached from
//! outside through a wider route.

mod exposure;
mod fold;
mod host;
pub mod path;
mod stream;
mod table;

pub use exposure::{Exposures, Overlap, Pairs};
pub use host::normalize as normalize_host;
pub use stream::Stream;
pub use table::RouteTable;

/// What one route claims: every combination of its hosts and paths, for its methods, on its listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub hosts: Vec<HostPattern>,
    pub paths: Vec<PathPattern>,
    pub methods: MethodSet,
    pub listeners: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Lower case, without port and trailing dot.
    Exact(String),
    /// `*.example.com` as `example.com`: one label more, or several (as in the Gateway API;
    /// a certificate's `*.example.com` covers one label only).
    Wildcard(String),
    /// `*`: any Host, or none.
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    Exact(String),
    /// Ends in a slash; matches itself, also without that slash, and all below it.
    Prefix(String),
}

/// Which methods a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodSet {
    /// All but CONNECT and TRACE.
    Default,
    /// These, and HEAD where GET is one of them (RFC 9110, 9.1); case-sensitive.
    Only(Vec<String>),
    /// These and no other; case-sensitive.
    Exactly(Vec<String>),
}

impl Claim {
    #[must_use]
    pub fn serves(&self, listener: &str) -> bool {
        self.listeners.iter().any(|name| name == listener)
    }

    /// A listener on which both would take the same method, if they share a host and a path.
    fn rivalry(&self, other: &Self) -> Option<&str> {
        let shared = self.listeners.iter().find(|name| other.serves(name))?;
        self.methods.overlaps(&other.methods).then_some(shared)
    }
}

/// What a request selects.
#[derive(Debug)]
pub enum Lookup<'t, T> {
    Found(&'t T),
    /// Host and path exist here, the method does not; `allow` is the Allow header's value.
    MethodNotAllowed {
        allow: String,
        nearest: &'t T,
    },
    NotFound,
}

impl MethodSet {
    const NEVER: [&'static str; 2] = ["CONNECT", "TRACE"];
    /// What `Allow` says for [`MethodSet::Default`].
    const COMMON: [&'static str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    /// Whether it names this method.
    #[must_use]
    pub fn contains(&self, method: &[u8]) -> bool {
        match self {
            Self::Default => !Self::NEVER.iter().any(|m| m.as_bytes() == method),
            Self::Only(methods) | Self::Exactly(methods) => {
                methods.iter().any(|m| m.as_bytes() == method)
            }
        }
    }

    /// Whether it takes this method where no route names it.
    #[must_use]
    pub fn implies(&self, method: &[u8]) -> bool {
        matches!(self, Self::Only(_)) && method == b"HEAD" && self.contains(b"GET")
    }

    /// Whether both name a method.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Default, Self::Default) => true,
            (Self::Only(methods) | Self::Exactly(methods), set)
            | (set, Self::Only(methods) | Self::Exactly(methods)) => {
                methods.iter().any(|m| set.contains(m.as_bytes()))
            }
        }
    }

    /// The methods to name in an Allow header.
    fn names(&self) -> impl Iterator<Item = &str> {
        let (common, only) = match self {
            Self::Default => (&Self::COMMON[..], &[][..]),
            Self::Only(methods) | Self::Exactly(methods) => (&[][..], methods.as_slice()),
        };
        let named = common.iter().copied();
        let named = named.chain(only.iter().map(String::as_str));
        named.flat_map(|name| {
            let head = name == "GET" && self.implies(b"HEAD");
            [Some(name), head.then_some("HEAD")].into_iter().flatten()
        })
    }
}
