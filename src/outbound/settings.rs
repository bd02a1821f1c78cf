//! What was decided about destinations beside their URLs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::proxy::Proxy;
use crate::tls::TrustBundle;

/// What holds for a destination and for those that its answers name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whom a server's certificate must come from. Only a destination without TLS needs none.
    pub trust: Option<Arc<TrustBundle>>,
    /// Whether somebody wrote that `http://` is all right.
    pub allow_http: bool,
    /// The way through a proxy.
    pub proxy: Option<Proxy>,
    /// The name servers; if there are none, those of `/etc/resolv.conf`.
    pub dns_servers: Vec<SocketAddr>,
    /// How long, and how much.
    pub limits: Limits,
}

/// How long an exchange may take, and how large an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the TCP connection, over all addresses of the name.
    pub connect: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the beginning to the last byte of the answer.
    pub whole: Duration,
    /// The most bytes of an answer's head.
    pub head_bytes: usize,
    /// The most bytes of an answer's body.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            whole: Duration::from_secs(15),
            head_bytes: 16 * 1024,
            body_bytes: 1024 * 1024,
        }
    }
}
