//! Who talks to whom.

use std::net::{IpAddr, SocketAddr};

/// The two ends of the client's connection, and the transaction's own name.
#[derive(Debug)]
pub(crate) struct Connection {
    client: SocketAddr,
    server: SocketAddr,
    unique_id: String,
}

impl Connection {
    pub(crate) fn new(client: SocketAddr, server: SocketAddr, unique_id: &str) -> Self {
        Self {
            client,
            server,
            unique_id: unique_id.to_owned(),
        }
    }

    pub(crate) fn client(&self) -> SocketAddr {
        self.client
    }

    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// The client's address. A dual-stack socket reports IPv4 clients as `::ffff:a.b.c.d`, which no rule's list of IPv4
    /// networks would hold.
    pub(crate) fn client_address(&self) -> IpAddr {
        self.client.ip().to_canonical()
    }

    pub(crate) fn server_address(&self) -> IpAddr {
        self.server.ip().to_canonical()
    }

    /// `UNIQUE_ID`
    pub(crate) fn unique_id(&self) -> &str {
        &self.unique_id
    }
}
