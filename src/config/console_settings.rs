//! What `[console]` means.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use openssl::x509::X509Ref;

use crate::role::Role;
use crate::tls::{CertifiedKey, ClientName, TlsSettings};

/// The web console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// Where it answers; a loopback address if it has no TLS.
    pub bind: SocketAddr,
    /// Whether it answers over TLS only.
    pub has_tls: bool,
    /// The host names of its links besides `localhost` and the address, in lower case.
    pub hosts: Vec<String>,
    /// Whether it may change files. If not, it shows what to change.
    pub writes_files: bool,
    /// A login ends after this time without a request.
    pub session_idle: Duration,
    /// A login ends after this time, whatever happens.
    pub session_max: Duration,
}

/// What the console needs for TLS. Unlike its other settings, a reload replaces it.
#[derive(Debug, Clone)]
pub struct ConsoleTls {
    /// At least one.
    pub certificates: Vec<Arc<CertifiedKey>>,
    /// Which clients it asks for certificates.
    pub settings: TlsSettings,
    /// Who logs in by certificate.
    pub client_roles: ClientRoles,
}

/// Which client certificates log in to the console, and as what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientRoles(Vec<(ClientName, Role)>);

impl ClientRoles {
    /// No name stands there twice.
    pub(crate) fn new(roles: Vec<(ClientName, Role)>) -> Self {
        Self(roles)
    }

    /// The role of a certificate that was verified. A certificate whose names have different roles has none.
    #[must_use]
    pub fn role_of(&self, certificate: &X509Ref) -> Option<Role> {
        let named = self.0.iter().filter(|(name, _)| name.is_of(certificate));
        let mut roles = named.map(|(_, role)| *role);
        let first = roles.next()?;
        roles.all(|role| role == first).then_some(first)
    }
}
