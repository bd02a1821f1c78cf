//! What a listener's handshakes depend on beside its certificates. The configuration makes these settings;
//! [`acceptor`](super::acceptor) applies them.

use std::sync::Arc;

use super::ClientCa;

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

impl TlsSettings {
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
