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

    /// The client's address; one of IPv4 that is written as one of IPv6 is one of IPv4.
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
