//! Gateway connections that belong to one client connection: where a gateway logs connections in (NTLM,
//! Negotiate), nobody else's request may go there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use pingora::upstreams::peer::HttpPeer;
use rustix::net::{Shutdown, shutdown};

use super::lock;

/// What one client connection has of gateway connections. They are closed when it is dropped.
#[derive(Debug)]
pub struct PinnedConnections {
    /// Unique in this process.
    id: u64,
    in_use: AtomicBool,
    /// Second descriptors of the sockets: shutting one down ends the connection, wherever it is kept.
    sockets: Mutex<Vec<Weak<OwnedFd>>>,
    /// By upstream: the server that the last request went to.
    servers: Mutex<HashMap<String, SocketAddr>>,
    /// A login takes several requests on one gateway connection, so they go one after the other.
    pub turn: tokio::sync::Mutex<()>,
}

impl Default for PinnedConnections {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            in_use: AtomicBool::new(false),
            sockets: Mutex::default(),
            servers: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl PinnedConnections {
    /// Whether a request of this client connection was pinned before; then all that follow are.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Makes this peer's connections this client connection's own.
    pub fn pin(&self, peer: &mut HttpPeer) {
        self.in_use.store(true, Ordering::Relaxed);
        peer.group_key = own_key(peer.group_key, self.id);
    }

    /// A connection was made, or is used once more.
    pub fn add(&self, socket: &Arc<OwnedFd>) {
        let mut sockets = lock(&self.sockets);
        sockets.retain(|known| known.strong_count() > 0);
        let socket = Arc::downgrade(socket);
        if !sockets.iter().any(|known| known.ptr_eq(&socket)) {
            sockets.push(socket);
        }
    }

    /// The server to go on with.
    #[must_use]
    pub fn server(&self, upstream: &str) -> Option<SocketAddr> {
        lock(&self.servers).get(upstream).copied()
    }

    pub fn went_to(&self, upstream: &str, server: SocketAddr) {
        lock(&self.servers).insert(upstream.to_owned(), server);
    }
}

impl Drop for PinnedConnections {
    fn drop(&mut self) {
        for socket in lock(&self.sockets).iter().filter_map(Weak::upgrade) {
            // An error: the other side has closed it.
            let _ = shutdown(&socket, Shutdown::Both);
        }
    }
}

/// Another key for each client connection, so that pingora's pool keeps them apart.
fn own_key(group_key: u64, id: u64) -> u64 {
    let mut hash = openssl::sha::Sha256::new();
    hash.update(&group_key.to_be_bytes());
    hash.update(&id.to_be_bytes());
    let digest = hash.finish();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}
