//! The facts of a client's connection, which all of its requests share.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::admission::Admitted;
use super::ahead::ReadMode;
use super::coalesced::WriteMode;
use super::logins::Logins;
use crate::config::{Listener, SniPolicy};
use crate::telemetry::{Metrics, TlsFacts};
use crate::tls::{ClientCa, ClientIdentity};

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The listener as it was when the connection was accepted.
    pub listener: Arc<Listener>,
    pub client: SocketAddr,
    pub local: SocketAddr,
    pub tls: Option<TlsSession>,
    /// How long writes are held back; HTTP/1 only.
    pub writes: WriteMode,
    /// Whether reads take bytes or only watch the client; HTTP/1 only.
    pub reads: ReadMode,
    /// The logins that end with this connection.
    pub logins: Arc<Logins>,
    /// Counts as open until the last of its requests is logged.
    pub guard: ConnectionGuard,
}

/// Held as long as anything of the connection goes on: it counts as open, and a shutdown waits for it.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    metrics: Arc<Metrics>,
    _admitted: Admitted,
    /// Shutdown waits for the last of these.
    _alive: mpsc::Sender<()>,
    /// True once its listener is closing, alone or with all of them.
    pub closing: watch::Receiver<bool>,
}

impl ConnectionGuard {
    pub(crate) fn new(
        metrics: &Arc<Metrics>,
        admitted: Admitted,
        alive: mpsc::Sender<()>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        metrics.connections_accepted.count();
        metrics.connections_open.up();
        Self {
            metrics: Arc::clone(metrics),
            _admitted: admitted,
            _alive: alive,
            closing,
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.metrics.connections_open.down();
    }
}

#[derive(Debug)]
pub(crate) struct TlsSession {
    pub version: &'static str,
    pub cipher: &'static str,
    /// Lower case, without the root's dot.
    pub sni: Option<String>,
    pub policy: SniPolicy,
    /// Of the key exchange.
    pub group: Option<String>,
    /// Whose client certificates were asked for.
    pub client_ca: Option<Arc<ClientCa>>,
    /// What was shown and verified in this handshake.
    pub client: Option<ClientIdentity>,
}

impl TlsSession {
    #[must_use]
    pub(crate) fn facts(&self) -> TlsFacts<'_> {
        TlsFacts {
            version: self.version,
            cipher: self.cipher,
            sni: self.sni.as_deref(),
            group: self.group.as_deref(),
            client: self.client.as_ref().map(|client| client.subject.as_str()),
        }
    }
}
