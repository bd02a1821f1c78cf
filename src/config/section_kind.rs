//! The kinds of tables in a configuration.
//!
//! The parser, the reference and the tests that compare both name tables by these.

/// A kind of table. All tables of a kind have the same keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionKind {
    /// The top level of a file.
    Main,
    /// `[limits]`
    Limits,
    /// `[limits.NAME]`
    Limit,
    /// `[log]`
    Log,
    /// `[otlp]`
    Otlp,
    /// `[events]`
    Events,
    /// `[console]`
    Console,
    /// `certificates` of the console
    ConsoleCertificate,
    /// `client_ca` of the console
    ConsoleClientCa,
    /// `client_roles` of the console
    ClientRoles,
    /// `[console.openid]`
    ConsoleOpenId,
    /// `roles` of `[console.openid]`
    OpenIdRoles,
    /// A role in them
    OpenIdRole,
    /// `[dns]`
    Dns,
    /// `[listeners.NAME]`
    Listener,
    /// `limits` of a listener
    ListenerLimits,
    /// `certificates` of a listener
    ListenerCertificate,
    /// `client_ca` of a listener, or of one of its certificates
    ClientCa,
    /// `[trust.NAME]`
    Trust,
    /// `[upstreams.NAME]`
    Upstream,
    /// `servers` of an upstream, where one is a table
    Server,
    /// `tls` of an upstream
    UpstreamTls,
    /// `client_certificate` in the `tls` of an upstream
    ClientCertificate,
    /// `affinity` of an upstream
    Affinity,
    /// `health` of an upstream
    Health,
    /// `eject` of an upstream
    Eject,
    /// `[policies.NAME]`
    Policy,
    /// `shadow` of a policy
    Shadow,
    /// `[[routes]]`
    Route,
    /// `[cors.NAME]`
    Cors,
    /// `[error_pages.NAME]`
    ErrorPages,
    /// `[security_headers.NAME]`
    SecurityHeaders,
    /// `hsts` of a set of security headers
    Hsts,
    /// `redirect` of a route
    Redirect,
    /// `respond` of a route
    Respond,
    /// `rewrite` of a route
    Rewrite,
    /// `request_headers` of a route or a listener
    RequestHeaders,
    /// `response_headers` of a route or a listener
    ResponseHeaders,
    /// `[identity.NAME]`
    Identity,
    /// `[identity.NAME]` with `client_ca`
    ClientIdentity,
    /// `[signing]`
    Signing,
    /// `[exchange.NAME]`
    Exchange,
    /// `[exposures.NAME]`
    Exposure,
    /// The user chooses the keys, like the names in `[upstreams]`.
    Names,
}
