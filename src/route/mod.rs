//! host + path + method -> route. Pure: it knows neither the configuration nor what a route leads to.

/// What one route claims: every combination of its hosts and paths, for its methods, on its listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub hosts: Vec<HostPattern>,
    pub paths: Vec<PathPattern>,
    pub methods: MethodSet,
    pub listeners: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// Lower case, without port and trailing dot.
    Exact(String),
    /// `*.example.com` as `example.com`: exactly one label more.
    Wildcard(String),
    /// `*`: any Host, or none.
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    Exact(String),
    /// Ends in a slash; matches itself and all below it.
    Prefix(String),
}

/// Which methods a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodSet {
    /// All but CONNECT and TRACE.
    Default,
    /// Exactly these; case-sensitive.
    Only(Vec<String>),
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

/// All routes of a front door, ready to be asked. `T` is what a route leads to.
#[derive(Debug)]
pub struct RouteTable<T> {
    routes: Vec<(Claim, T)>,
}

impl<T> RouteTable<T> {
    /// # Errors
    /// Pairs of indexes of routes that claim the same thing, and what it is.
    pub fn new(routes: Vec<(Claim, T)>) -> Result<Self, Vec<(usize, usize, String)>> {
        Ok(Self { routes })
    }

    /// The most specific route: exact host before wildcard before any, exact path before the longest prefix.
    ///
    /// `host` is the Host header's or authority's value as received; `path` the path as received (without query).
    /// Matching decodes unreserved characters once and no more.
    #[must_use]
    pub fn find(
        &self,
        listener: &str,
        host: Option<&[u8]>,
        path: &[u8],
        method: &[u8],
    ) -> Lookup<'_, T> {
        let _ = (listener, host, path, method, &self.routes);
        Lookup::NotFound
    }

    /// Whether any route of this listener names this host.
    #[must_use]
    pub fn knows_host(&self, listener: &str, host: Option<&[u8]>) -> bool {
        let _ = (listener, host);
        false
    }

    pub fn iter(&self) -> impl Iterator<Item = &(Claim, T)> {
        self.routes.iter()
    }
}
