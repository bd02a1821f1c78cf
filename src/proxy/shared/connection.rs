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
    /// The listener as it was when the connection was accepted; requests look up the current one.
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
    /// Held until the last request is logged.
    pub guard: ConnectionGuard,
}

/// Held as long as any part of the connection runs: it counts as open, and a shutdown waits for it.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    metrics: Arc<Metrics>,
    _admitted: Admitted,
    /// A shutdown waits until the last clone is dropped.
    _alive: mpsc::Sender<()>,
    /// True when its listener is closing, alone or with all others.
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
    /// In lower case, without a final dot.
    pub sni: Option<String>,
    pub policy: SniPolicy,
    /// The key exchange group.
    pub group: Option<String>,
    /// The client CA whose certificates were asked for.
    pub client_ca: Option<Arc<ClientCa>>,
    /// The client certificate that this handshake verified.
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
