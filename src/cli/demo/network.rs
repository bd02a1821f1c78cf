//! The demo's names and addresses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The host that the demo's front door serves.
pub(super) const PUBLIC_HOST: &str = "api.demo.test";
/// A gateway's name, and the name in its certificate.
pub(super) const ORDERS: (&str, &str) = ("orders", "orders.corp.test");
/// The other gateway.
pub(super) const BILLING: (&str, &str) = ("billing", "billing.corp.test");

/// Where each part of the demo listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) public: SocketAddr,
    pub(super) plain: SocketAddr,
    pub(super) orders: SocketAddr,
    pub(super) billing: SocketAddr,
    pub(super) console: SocketAddr,
}

/// A loopback port that was free a moment ago.
pub(super) fn free_port() -> io::Result<SocketAddr> {
    // Another program could take the port before the front door binds it. The demo accepts that; the start then fails
    // with a message.
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
