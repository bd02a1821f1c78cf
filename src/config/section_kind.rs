//! The kinds of tables that a configuration is made of.

/// A kind of table. All tables of a kind have the same keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionKind {
    /// The top level of a file.
    Main,
    Limits,
    Log,
    Dns,
    Listener,
    ListenerLimits,
    ListenerCertificate,
    ClientCa,
    Trust,
    Upstream,
    Server,
    UpstreamTls,
    ClientCertificate,
    Affinity,
    Health,
    Eject,
    Policy,
    Route,
    Exposure,
    /// The user chooses the keys, like the names in `[upstreams]`.
    Names,
}
