//! Gateway connections that belong to one client connection: where a gateway logs connections in (NTLM,
//! Negotiate), nobody else's request may go there.

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pingora::Result;
use pingora::upstreams::peer::HttpPeer;
use tokio::net::TcpSocket;

use super::lock;

/// One client connection has no more gateway connections than this; the oldest is closed for the next.
const MOST: usize = 128;

/// What one client connection has of gateway connections. They are closed when it is dropped.
#[derive(Debug)]
pub struct PinnedConnections {
    /// Unique in this process.
    id: u64,
    in_use: AtomicBool,
    /// Second descriptors of the sockets: shutting one down closes the connection, wherever it is kept.
    sockets: Mutex<VecDeque<TcpStream>>,
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
    pub fn pin(self: &Arc<Self>, peer: &mut HttpPeer) {
        self.in_use.store(true, Ordering::Relaxed);
        peer.group_key = own_key(peer.group_key, self.id);
        let pins = Arc::downgrade(self);
        peer.options.upstream_tcp_sock_tweak_hook =
            Some(Arc::new(move |socket: &TcpSocket| match pins.upgrade() {
                Some(pins) => pins.add(socket),
                None => Ok(()),
            }));
    }

    /// The server to go on with.
    #[must_use]
    pub fn server(&self, upstream: &str) -> Option<SocketAddr> {
        lock(&self.servers).get(upstream).copied()
    }

    pub fn went_to(&self, upstream: &str, server: SocketAddr) {
        lock(&self.servers).insert(upstream.to_owned(), server);
    }

    /// # Errors
    /// There is no descriptor left: then the connection must not be made, since nothing could close it.
    fn add(&self, socket: &TcpSocket) -> Result<()> {
        let second = socket.as_fd().try_clone_to_owned();
        let second = second.map_err(|error| {
            pingora::Error::because(pingora::ErrorType::ConnectError, "no descriptor", error)
        })?;
        let mut sockets = lock(&self.sockets);
        sockets.push_back(TcpStream::from(second));
        if sockets.len() > MOST
            && let Some(oldest) = sockets.pop_front()
        {
            close(&oldest);
        }
        Ok(())
    }
}

impl Drop for PinnedConnections {
    fn drop(&mut self) {
        lock(&self.sockets).iter().for_each(close);
    }
}

fn close(socket: &TcpStream) {
    // An error: the other side has closed it, or it never connected.
    let _ = socket.shutdown(Shutdown::Both);
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
