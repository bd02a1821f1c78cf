//! Gateway connections that belong to one client connection alone and end with it. A gateway that binds a login to its
//! connection would otherwise serve other clients as that user.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use pingora::upstreams::peer::{HttpPeer, Tracer, Tracing};
use rustix::net::{Shutdown, shutdown};
use tokio::sync::OwnedMutexGuard;

use super::lock;

/// The own connections of one client connection to one upstream.
pub struct OwnConnections {
    /// Unique in this process; it is part of the key in pingora's pool.
    number: u64,
    /// Held during a request: a login takes several requests on the same gateway connection, so no other request may
    /// take it meanwhile.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The server that answered last.
    server: Mutex<Option<String>>,
    /// Of the connections that were dialled; weak, so that closed ones can be removed.
    tethers: Mutex<Vec<Weak<Tether>>>,
}

impl OwnConnections {
    /// No connection yet.
    #[must_use]
    #[allow(clippy::new_without_default)] // no two are equal
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            turn: Arc::default(),
            server: Mutex::default(),
            tethers: Mutex::default(),
        }
    }

    /// Waits until no other request uses the connection.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// The server that answered last.
    #[must_use]
    pub fn server(&self) -> Option<String> {
        lock(&self.server).clone()
    }

    /// Notes the server that answered: the next request goes there.
    pub fn answered_by(&self, server: &str) {
        let mut known = lock(&self.server);
        // Compared first, to save an allocation for each request.
        if known.as_deref() != Some(server) {
            *known = Some(server.to_owned());
        }
    }

    /// Makes this peer share connections with nobody else, and ends them when this is dropped. The dial gives the
    /// tether the connection's socket.
    pub(super) fn bind(&self, peer: &mut HttpPeer) -> Arc<Tether> {
        let tether = Arc::new(Tether::default());
        let mut tethers = lock(&self.tethers);
        tethers.retain(|tether| tether.strong_count() > 0);
        tethers.push(Arc::downgrade(&tether));
        drop(tethers);
        peer.group_key = self.group_key(peer.group_key);
        let options = &mut peer.options;
        // The gateway connection is kept as long as the client connection, because its login would be lost.
        options.idle_timeout = None;
        options.tracer = Some(Tracer(Box::new(Tethered(Arc::clone(&tether)))));
        tether
    }

    fn group_key(&self, shared: u64) -> u64 {
        let mut hash = openssl::sha::Sha256::new();
        hash.update(&shared.to_be_bytes());
        hash.update(&self.number.to_be_bytes());
        let digest = hash.finish();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }
}

impl Drop for OwnConnections {
    fn drop(&mut self) {
        for tether in lock(&self.tethers).drain(..) {
            if let Some(tether) = tether.upgrade() {
                // Pingora's pool cannot be told to drop a connection, so its socket is shut down.
                tether.cut();
            }
        }
    }
}

impl fmt::Debug for OwnConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnConnections")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Ends a gateway connection that is in pingora's pool. It gives up the socket when the connection ends.
#[derive(Debug, Default)]
pub(super) struct Tether(Mutex<Option<Arc<OwnedFd>>>);

impl Tether {
    pub(super) fn hold(&self, socket: Arc<OwnedFd>) {
        *lock(&self.0) = Some(socket);
    }

    fn cut(&self) {
        if let Some(socket) = lock(&self.0).take() {
            // An error means that the connection has ended already.
            let _ = shutdown(&socket, Shutdown::Both);
        }
    }

    fn release(&self) {
        lock(&self.0).take();
    }
}

/// What pingora keeps with a connection, to report its end.
#[derive(Debug)]
struct Tethered(Arc<Tether>);

impl Tracing for Tethered {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {
        self.0.release();
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}
