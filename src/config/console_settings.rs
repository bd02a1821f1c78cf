//! What `[console]` means.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use openssl::x509::X509Ref;

use crate::identity::issuer::ClientSecret;
use crate::outbound::Destination;
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

/// Logins by OpenID Connect. A reload replaces them.
#[derive(Debug, PartialEq)]
pub struct ConsoleOpenId {
    /// The issuer, as its tokens name it.
    pub issuer: String,
    /// Where it describes itself.
    pub discovery: Arc<Destination>,
    /// What the console is called there.
    pub client_id: String,
    /// None for a public client.
    pub secret: Option<ClientSecret>,
    /// Where it sends browsers back to.
    pub redirect: String,
    /// What is asked for, with blanks between.
    pub scopes: String,
    /// Who has which role.
    pub roles: Vec<RoleClaim>,
}

/// Whose claim has one of these values has the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleClaim {
    /// The role.
    pub role: Role,
    /// The claim, by its name or a path.
    pub claim: String,
    /// The values.
    pub values: Vec<String>,
}

impl ConsoleOpenId {
    /// Whether both give the same people the same roles.
    #[must_use]
    pub fn grants_like(&self, other: &Self) -> bool {
        (&self.issuer, &self.client_id, &self.roles)
            == (&other.issuer, &other.client_id, &other.roles)
    }
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
