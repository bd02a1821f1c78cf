//! What a listener's handshakes depend on beside its certificates. The configuration makes these settings;
//! [`acceptor`](super::acceptor) applies them.

use std::sync::Arc;

use super::ClientCa;
use super::client_ca::ClientCaIdentity;

/// How a listener makes handshakes, beside its certificates.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Versions and ciphers.
    pub policy: TlsPolicy,
    /// The client CA of all names that have none of their own.
    pub client_ca: Option<Arc<ClientCa>>,
    /// In the order of the listener's certificates: the client CA of their names, if it is not the listener's.
    pub certificate_client_ca: Vec<Option<Arc<ClientCa>>>,
}

/// [`TlsSettings`] of all names, for comparison. If two are equal, no client can tell them apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListenerIdentity {
    policy: TlsPolicy,
    client_ca: Option<ClientCaIdentity>,
    certificate_client_ca: Vec<Option<ClientCaIdentity>>,
}

/// The part of [`TlsSettings`] that one name's handshakes depend on, for comparison.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NameIdentity {
    policy: TlsPolicy,
    client_ca: Option<ClientCaIdentity>,
    /// Whether the listener asks for client certificates under any name. Then no session resumes.
    asks_for_clients: bool,
}

// Both functions name every field of the settings: the compiler then asks where a new one belongs.
impl TlsSettings {
    pub(crate) fn identity(&self) -> ListenerIdentity {
        let Self {
            policy,
            client_ca,
            certificate_client_ca,
        } = self;
        let identity = |ca: &Option<Arc<ClientCa>>| ca.as_ref().map(|ca| ca.identity());
        ListenerIdentity {
            policy: *policy,
            client_ca: identity(client_ca),
            certificate_client_ca: certificate_client_ca.iter().map(identity).collect(),
        }
    }

    /// `of_name` is the client CA of the name.
    pub(crate) fn identity_for(&self, of_name: Option<&Arc<ClientCa>>) -> NameIdentity {
        let Self {
            policy,
            client_ca: _,
            certificate_client_ca: _,
        } = self;
        NameIdentity {
            policy: *policy,
            client_ca: of_name.map(|ca| ca.identity()),
            asks_for_clients: self.asks_for_clients(),
        }
    }

    /// Whether any name asks clients for certificates.
    #[must_use]
    pub fn asks_for_clients(&self) -> bool {
        self.client_cas().next().is_some()
    }

    pub(crate) fn client_cas(&self) -> impl Iterator<Item = &Arc<ClientCa>> {
        let own = self.certificate_client_ca.iter().flatten();
        self.client_ca.iter().chain(own)
    }
}

/// Mozilla's profiles (<https://wiki.mozilla.org/Security/Server_Side_TLS>, version 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsPolicy {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 with forward secrecy and AEAD, and TLS 1.3.
    #[default]
    Intermediate,
}

/// What an unknown or missing server name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SniPolicy {
    /// Unknown or missing SNI ends the handshake; SNI and Host that differ are 421.
    Strict,
    /// Any or no SNI gets a certificate; no 421.
    Any,
}
